"""A stage is a list of measurements, by name. What each gives is written at once, so that a kill costs one at most.

A measurement that was cut off, or that lacks what a user can bring, is taken again by the next call, after those never
tried; one that failed otherwise is not. After a failure a new process measures the rest: a GPU may be left broken.
"""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from repro.errors import ReproError, line
from repro.files import as_json, read_object, write_json

Rows = Mapping[str, Callable[[], dict[str, Any]]]
DONE, FAILED, BROKEN = 0, 1, 3  # exit statuses of a stage's process: BROKEN asks for a new one


class Settings(NamedTuple):
    """What is measured where, and until when."""

    folder: Path
    device: str  # as asked for
    size: str  # tiny or paper
    until: float  # seconds since the epoch

    @property
    def of(self) -> str:
        """Return what must be alike where another call goes on."""
        return f"--device {self.device}" + " --small" * (self.size == "tiny")

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.until - time.time()


class Stage(NamedTuple):
    """A module with `rows(settings)`."""

    name: str
    least: float  # seconds; with less it is not started
    most: float  # seconds of a call


# In order of worth; at tiny size a stage takes seconds
STAGES = (
    Stage("facts", 15, 40),
    Stage("correctness", 20, 180),
    Stage("kernels", 15, 60),
    Stage("steps", 30, 200),
    Stage("profile", 20, 60),
    Stage("search", 45, float("inf")),
)
LEAST = 5.0  # seconds, at tiny size


def file_of(folder: Path, name: str) -> Path:
    """Return the file of a stage."""
    return folder / f"{[stage.name for stage in STAGES].index(name) + 1:02}-{name}.json"


def read(folder: Path, name: str) -> dict[str, Any]:
    """Return what a stage has written so far; ReproError if the file is damaged."""
    path = file_of(folder, name)
    return read_object(path, rows=dict) if path.exists() else {"stage": name, "rows": {}, "finished": False}


def write(folder: Path, held: dict[str, Any]) -> None:
    """Write what a stage knows."""
    write_json(file_of(folder, held["stage"]), held)


def cut_off(folder: Path, name: str, reason: str, final: bool) -> bool:
    """Note of the measurement that was under way why it ended; whether there was one. final: it is not tried again."""
    held = read(folder, name)
    row = held.pop("running", None)
    if row is not None:
        held["rows"][row] = {"error" if final else "unfinished": reason}
        write(folder, held)
    return row is not None


def work(name: str, settings: Settings) -> int:
    """Take the measurements of a stage that are left; return the exit status."""
    held = {**read(settings.folder, name), "finished": False, "of": settings.of}
    for word in ("error", "running"):
        held.pop(word, None)
    try:
        import torch  # which the starter does without

        rows = import_module(f"benchmarks.certify.{name}").rows(settings)
    except Exception as error:
        write(settings.folder, {**held, "error": told(error)})
        return FAILED
    known = held["rows"]
    left = [row for row in rows if row not in known] + [row for row in rows if "unfinished" in known.get(row, {})]
    for row in left:
        write(settings.folder, {**held, "running": row})
        known[row] = taken(rows[row])
        write(settings.folder, held)
        if "error" in known[row] and torch.cuda.is_initialized():
            return BROKEN
    write(settings.folder, {**held, "finished": not any("unfinished" in known[row] for row in rows)})
    return DONE


def taken(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a measurement gives and how long it took, or why it failed."""
    began = time.monotonic()
    try:
        found = measure()
        as_json(found)  # numbers that are not finite fail here
    except Exception as error:
        found = {"unfinished" if isinstance(error, ReproError | ModuleNotFoundError) else "error": told(error)}
    return {**found, "took": round(time.monotonic() - began, 2)}


def told(error: Exception) -> str:
    """Return an error as one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"{(error.name or str(error)).partition('.')[0]} is not installed"
    return line(error) if isinstance(error, ReproError) else f"{type(error).__name__}: {line(error)}"
