"""A cache of what is read of runs: within a snapshot, no file is read twice."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_seen: dict[tuple, Any] | None = None


def begin() -> None:
    """Read runs once from now on: for a process that makes a report and ends."""
    global _seen
    _seen = {}


@contextmanager
def taken() -> Iterator[None]:
    """Read runs once within the block; what changes in them meanwhile is not seen."""
    global _seen
    outer = _seen
    begin()
    try:
        yield
    finally:
        _seen = outer


def once(look: Callable[..., Any]) -> Callable[..., Any]:
    """Cache a function that reads runs, by its arguments, within a snapshot."""

    @functools.wraps(look)
    def looked(*arguments: Any) -> Any:
        if _seen is None:
            return look(*arguments)
        key = look, *arguments
        if key not in _seen:
            _seen[key] = look(*arguments)
        return _seen[key]

    return looked
