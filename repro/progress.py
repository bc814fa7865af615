"""Progress that a person can follow: one live bar with an ETA in a terminal, one line in an executed notebook."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

from tqdm import tqdm

from repro.settings import leads

tqdm.set_lock(RLock())  # of this process: its own one would be shared by all, and is left behind where one is killed
_bar: tqdm | None = None
_said: set[str] = set()


def show(bundle: dict[str, str], **metadata: Any) -> None:
    """Show a value, given as MIME type -> content, in a notebook; elsewhere do nothing."""
    ipython = sys.modules.get("IPython")
    if ipython and ipython.get_ipython():
        ipython.display.display(bundle, raw=True, metadata=metadata)


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
    """Show a bar of `total` epochs; `reach` moves it within an epoch. An outer bar stays as it is meanwhile."""
    global _bar
    outer = _bar
    interval = float(os.environ.get("REPRO_PROGRESS_SECONDS", "0.5" if sys.stderr.isatty() else "10"))
    form = "{desc}: {percentage:3.0f}% |{bar:20}| {n:.1f}/{total} [{elapsed}<{remaining}]{postfix}"
    with tqdm(
        total=total,
        initial=done,
        desc=label,
        mininterval=interval,
        maxinterval=interval,
        bar_format=form,
        file=sys.stderr,
        disable=not leads(),
    ) as _bar:
        try:
            yield _bar
        finally:
            _bar = outer


def reach(epochs: float) -> None:
    """Move the bar to so many epochs."""
    if _bar is not None:
        _bar.update(epochs - _bar.n)
