"""Progress that a person can follow: one live bar with an ETA in a terminal, one line in an executed notebook."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

from repro.settings import leads

try:
    from tqdm import tqdm
except ModuleNotFoundError:  # a machine with PyTorch alone: there are lines, and no bar

    class tqdm:
        """A bar that nobody sees."""

        n = 0
        write, set_lock = staticmethod(print), staticmethod(lambda lock: None)
        __init__ = __exit__ = update = set_postfix = lambda self, *_, **__: None
        __enter__ = lambda self: self


tqdm.set_lock(RLock())  # of this process: its own one would be shared by all, and is left behind where one is killed
_bar: tqdm | None = None
_ended: list[str] | None = None  # last states of the bars within `one_line`
_said: set[str] = set()


def in_notebook() -> bool:
    """Whether IPython shows what is displayed here, as in a notebook."""
    ipython = sys.modules.get("IPython")
    return bool(ipython and ipython.get_ipython())


def show(bundle: dict[str, str], **metadata: Any) -> None:
    """Show a value, given as MIME type -> content, in a notebook; elsewhere do nothing."""
    if in_notebook():
        sys.modules["IPython"].display.display(bundle, raw=True, metadata=metadata)


def note(text: str) -> None:
    """Say one line beside the bar; of several processes, the first one speaks."""
    if leads():
        tqdm.write(text, file=sys.stderr)


def note_once(text: str) -> None:
    """Say one line that stands once, however often it is true."""
    if text not in _said:
        _said.add(text)
        note(text)


@contextmanager
def bar(label: str, done: int, total: int) -> Iterator[tqdm]:
    """Show a bar of `total` epochs; `reach` moves it within an epoch. An outer bar stays as it is meanwhile.

    A notebook shows the outer one alone, since it keeps the lines between which a terminal moves.
    """
    global _bar
    outer, stream = _bar, sys.stdout if in_notebook() else sys.stderr  # a notebook shows stderr as if it were an error
    interval = float(os.environ.get("REPRO_PROGRESS_SECONDS", "0.5" if stream.isatty() else "10"))
    form = "{desc}: {percentage:3.0f}% |{bar:20}| {n:.1f}/{total} [{elapsed}<{remaining}]{postfix}"
    hidden = not leads() or (outer is not None and in_notebook())
    with tqdm(
        total=total,
        initial=done,
        desc=label,
        mininterval=interval,
        maxinterval=interval,
        bar_format=form,
        file=stream,
        disable=hidden,
        leave=_ended is None,
    ) as _bar:
        try:
            yield _bar
        finally:
            if _ended is not None and not hidden:
                _ended.append(str(_bar))
            _bar = outer


@contextmanager
def one_line() -> Iterator[None]:
    """In a notebook, keep one line of all bars within: the last state of the last one, and how many were before it."""
    global _ended
    _ended = [] if in_notebook() and leads() else None
    try:
        yield
    finally:
        if _ended:
            print(_ended[-1] + f"; {len(_ended) - 1} more before it" * (len(_ended) > 1))
        _ended = None


def reach(epochs: float) -> None:
    """Move the bar to so many epochs."""
    if _bar is not None:
        _bar.update(epochs - _bar.n)
