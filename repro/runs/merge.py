"""Merge the runs folders of other machines into this one, by copying: nothing finished is ever overwritten.

A run is copied aside, whole and synced, and then renamed: contents and times, with the modes of new files. One that is
unfinished gives way to a finished one and to one that is further; two finished ones with different results are a
conflict, which is named and left to a person. Symbolic links and files that are not plain are refused.
"""

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from repro.errors import ReproError, UsageError, line
from repro.files import LARGEST, make_folder, own
from repro.runs.locks import LOCKS, WORKING, is_held, lock
from repro.runs.run import Run, held_identity, misnamed, read_run
from repro.runs.states import state
from repro.settings import runs_folder

ASIDE = ".merging"  # below the runs folder, deeper than any run: no report sees it
WORDS = {word: word for word in ("copied", "replaced", "kept", "refused", "damaged")}
WORDS |= {"same": "the same", "conflict": "in conflict"}
DEEPEST = 9  # folders in each other below a run's
BAD = ("conflict", "refused", "damaged")


@dataclass(frozen=True)
class Merged:
    """What became of one run: copied, replaced, kept, the same, conflict, refused or damaged; and why."""

    name: str
    word: str
    why: str = ""


def merge(source: Path) -> Iterator[Merged]:
    """Merge the runs folder `source`, run by run; UsageError if it is none, or this one."""
    target = make_folder(runs_folder())
    source = Path(os.path.abspath(source))
    paths = [path for group in _folders(source) for path in _folders(group) if (path / "params.json").exists()]
    if not paths:
        raise UsageError(f"{source} holds no runs: expected EXPERIMENT/RUN/params.json below it")
    if (
        source.resolve() in (target.resolve(), *target.resolve().parents)
        or target.resolve() in source.resolve().parents
    ):
        raise UsageError(f"{source} and the runs folder {target} lie in each other: name a folder of another machine")
    with lock(target / f"{ASIDE}.lock", wait=0):
        _clear(target)
        (target / ASIDE).mkdir(mode=0o700)
        try:
            for path in paths:
                yield _merge_run(path, target)
        finally:
            _clear(target)


def _merge_run(path: Path, target: Path) -> Merged:
    name, place = f"{path.parent.name}/{path.name}", target / path.parent.name / path.name
    try:
        refuse_odd_files(path)
    except (ReproError, OSError) as error:
        return Merged(name, "refused", line(error))
    try:
        run = read_whole(path)
    except (ReproError, ValueError, OSError) as error:
        return Merged(name, "damaged", line(error))
    try:
        word, why = _compare(run, place)
        if word in ("copied", "replaced"):
            _bring(path, place, target)
        return Merged(name, word, why)
    except (ReproError, ValueError) as error:
        return Merged(name, "refused", line(error))


def _compare(run: Run, place: Path) -> tuple[str, str]:
    """Return what is to be done with a run whose place is `place`, and why."""
    if any(is_held(run.path / name) for name in LOCKS):
        return "refused", f"{run.path} is running; wait for it or stop it"
    if not os.path.lexists(place):
        return "copied", ""
    try:
        refuse_odd_files(place)
        here = read_whole(place)
    except (ReproError, ValueError, OSError) as error:
        return "refused", f"the run here is damaged ({line(error)}); delete it and merge again"
    if held_identity(place) != held_identity(run.path):
        return "conflict", "the run here has other parameters"
    if here.result is not None and run.result is not None:
        return _compare_results(run.result, here.result)
    if here.result is not None:
        return "kept", "it is finished here"
    ours, theirs = state(here).epochs, state(run).epochs
    if run.result is None and theirs <= ours:
        return "kept", f"not finished, {ours} epochs here and {theirs} there"
    return "replaced", f"{f'{theirs} epochs' if run.result is None else 'finished'} there, {ours} epochs here"


def _compare_results(theirs: dict, ours: dict) -> tuple[str, str]:
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    if not names:
        return "same", ""
    there, here = (json.dumps(result.get(names[0]))[:60] for result in (theirs, ours))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return "conflict", f"both are finished: {names[0]} is {here} here and {there} there{more}; delete one of both"


def read_whole(path: Path) -> Run:
    """Return the run at `path`; ReproError unless its folder bears its name and all numbers are whole."""
    run = read_run(path)
    if wrong := misnamed(run):
        raise ReproError(f"it {wrong}")
    rows = run.metrics()
    if not isinstance(run.result, dict | None) or not all(isinstance(row, dict) for row in rows):
        raise ReproError("result.json or metrics.jsonl is not a run's")
    state(run)
    return run


def _bring(path: Path, place: Path, target: Path) -> None:
    """Put a copy of the run `path` at `place`, replacing what is there by a rename, under its locks."""
    fresh, old = (target / ASIDE / kind / place.parent.name / place.name for kind in ("new", "old"))
    for folder in (fresh, old, place):
        make_folder(folder.parent)
    _copy(path, fresh)
    with ExitStack() as held:
        if place.exists():
            for name in WORKING:
                held.enter_context(lock(place / name, wait=0))
            os.rename(place, old)
        os.rename(fresh, place)
    _sync(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def _copy(path: Path, to: Path) -> None:
    """Copy a run's folder and sync it; locks and half-written files stay behind."""
    to.mkdir()
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.name in LOCKS or ".partial" in entry.name or entry.name == "checkpoint.next.pt":
            continue
        if entry.is_dir(follow_symlinks=False):
            _copy(Path(entry.path), to / entry.name)
        else:
            with _plain(entry.path) as there, open(to / entry.name, "xb", opener=own) as here:
                held = os.fstat(there.fileno())
                _copy_content(there.fileno(), here.fileno(), held.st_size)
                os.utime(here.fileno(), ns=(held.st_atime_ns, held.st_mtime_ns))
                os.fsync(here.fileno())
    _sync(to)


@contextmanager
def _plain(path: str) -> Iterator[BinaryIO]:
    """Open a plain file for reading, and no link that has taken its place; ReproError if it is none."""
    try:
        with open(path, "rb", opener=own) as file:
            yield file
    except OSError as error:
        raise ReproError(f"{path} cannot be copied: {error.strerror or error}") from error


def _copy_content(there: int, here: int, size: int) -> None:
    """Copy the first `size` bytes of one open file to another; what is a hole there is one here."""
    os.ftruncate(here, size)
    start = end = 0
    while start < size:
        if start == end:
            try:
                start = os.lseek(there, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return  # there is only a hole left
            end = os.lseek(there, start, os.SEEK_HOLE)
        if not (piece := os.pread(there, min(end - start, 2**20), start)):
            return
        start += os.pwrite(here, piece, start)


def _clear(target: Path) -> None:
    """Put back what a merge that was killed had moved aside, and drop its copies."""
    if (target / ASIDE).is_symlink():
        raise UsageError(f"{target / ASIDE} is a symbolic link, and merge would write there: remove it")
    for old in (target / ASIDE / "old").glob("*/*"):
        place = target / old.parent.name / old.name
        if not place.exists():
            os.rename(old, place)
    shutil.rmtree(target / ASIDE, ignore_errors=True)


def refuse_odd_files(path: Path) -> None:
    """ReproError where a run's folder holds a symbolic link, or what is no plain file."""
    found = []
    for folder, names, files in os.walk(path):
        found += [Path(folder, name) for name in (*names, *files)]
        if len(Path(folder).parts) - len(path.parts) > DEEPEST:
            raise ReproError(f"{path.name} holds folders that lie more than {DEEPEST} deep in each other")
    for each in (path.parent, path, *found):
        mode = os.lstat(each).st_mode
        if stat.S_ISREG(mode) and os.lstat(each).st_size > LARGEST:
            raise ReproError(f"{each.relative_to(path.parent.parent)} has more than {LARGEST:,} bytes")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a plain file"
            raise ReproError(f"{each.relative_to(path.parent.parent)} is {kind}")


def _folders(path: Path) -> list[Path]:
    """Return the folders right below `path`."""
    try:
        return sorted(Path(entry.path) for entry in os.scandir(path) if entry.is_dir() and entry.name != ASIDE)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): expected a runs folder") from error


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
