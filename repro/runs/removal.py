"""Runs deleted by name: from the runs folder alone, and never one that a process is at work on."""

import os
import shutil
from pathlib import Path

from repro.configs.registry import EXPERIMENTS
from repro.errors import ReproError, UsageError, nearest
from repro.runs.locks import lock
from repro.settings import runs_folder


def removable(name: str) -> Path:
    """Return the folder of the run called EXPERIMENT/NAME, or at that path; UsageError where it is none of one's own.

    A damaged run is one too, whatever its folder holds.
    """
    folders = [path for each in EXPERIMENTS for path in sorted((runs_folder() / each).glob("*")) if path.is_dir()]
    known = {f"{path.parent.name}/{path.name}": path for path in folders}
    if path := known.get(name.rstrip("/")):
        return path
    if (path := Path(os.path.abspath(name))) in folders:
        return path
    hint = f"{nearest(name, known)}expected EXPERIMENT/NAME, as repro status prints it"
    raise UsageError(f"no run {name} in {runs_folder()}: {hint}")


def remove(path: Path) -> str:
    """Delete a run's folder and return its name; ReproError where a process is at work on it, or it must stay."""
    if path.is_symlink():
        path.unlink()
    else:
        with lock(path / ".notebook.lock", wait=0.0), lock(path / ".lock", wait=0.0):
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise ReproError(f"{path} cannot be deleted: {error.strerror}") from error
    return f"{path.parent.name}/{path.name}"
