"""What is read of runs is read once: while a snapshot is taken, whatever was looked at is remembered."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_seen: dict[tuple, Any] | None = None


def begin() -> None:
    """Take what runs are from now on for what they are in this process: for one that makes a report and ends."""
    global _seen
    _seen = {}


@contextmanager
def taken() -> Iterator[None]:
    """Take runs for what they are when they are first looked at, until the end; what they become later is not seen."""
    global _seen
    outer = _seen
    begin()
    try:
        yield
    finally:
        _seen = outer


def once(look: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that reads runs: in a snapshot, the same arguments are looked at once."""

    @functools.wraps(look)
    def looked(*arguments: Any) -> Any:
        if _seen is None:
            return look(*arguments)
        key = look, *arguments
        if key not in _seen:
            _seen[key] = look(*arguments)
        return _seen[key]

    return looked
