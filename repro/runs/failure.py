"""Why a run failed: failure.txt in its folder, one line and the traceback under it, gone as soon as the run goes on."""

import os
import re
import traceback
from contextlib import suppress
from pathlib import Path

from repro.errors import Diverged, ReproError, line
from repro.files import plain, write_bytes

NAME = "failure.txt"
DIVERGED = "The training diverged."  # the second line, where that is so
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def keep(path: Path, error: Exception) -> None:
    """Write why the run in the folder `path` failed, if that is possible: the error itself is the one to be shown."""
    kind = f"{DIVERGED}\n" if isinstance(error, Diverged) else ""
    text = f"{line(reason(error))}\n{kind}\n{COLOURS.sub('', traceback_of(error)).rstrip()}\n"
    with suppress(ReproError, OSError):
        write_bytes(path / NAME, text.encode(errors="backslashreplace"))


def reason(error: Exception) -> str:
    """Return what an error says, led by its class where it is not one of this package's."""
    return str(error) if isinstance(error, ReproError) else f"{type(error).__name__}: {error}"


def traceback_of(error: Exception) -> str:
    """Return an error's traceback, be it of this process or of the one that it is told of."""
    return getattr(error, "trace", "") or "".join(traceback.format_exception(error))


def clear(path: Path) -> None:
    """Remove what is kept of the run's last failure; ReproError if that is not allowed."""
    try:
        (path / NAME).unlink(missing_ok=True)
    except OSError as error:
        raise ReproError(f"cannot remove {path / NAME}: {error.strerror}; remove it, then run again") from error


def diverged(path: Path) -> bool:
    """Return whether the run failed because its numbers were finite no more."""
    try:
        with open(path / NAME, encoding="utf-8", errors="replace", opener=plain) as file:
            return [file.readline(10_000), file.readline(100).rstrip("\n")][1:] == [DIVERGED]
    except OSError:
        return False


def read(path: Path) -> str:
    """Return the line that says why the run failed, empty if it has not."""
    if not os.path.lexists(path / NAME):
        return ""
    try:
        with open(path / NAME, encoding="utf-8", errors="replace", opener=plain) as file:
            first = file.readline(10_000).strip()
    except OSError:
        first = ""
    return line(first) if first else f"its {NAME} cannot be read"
