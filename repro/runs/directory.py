"""A run directory: everything one run was asked for, did and found.

runs/cifar10-search/smoke,order=1,seed=3/    the profile, then what differs from its parameters
  params.json       every value: what the run is, whatever its folder is called (see `identity`)
  provenance.json   commit, versions, device, data checksums, and start, seconds and command of every session
  metrics.jsonl     one line per epoch
  checkpoint.pt     all state after an epoch or within one; checkpoint.previous.pt the one before
  notebook.ipynb    as executed
  failure.txt       why it failed, until it goes on
  result.json       headline numbers; written last: it exists = done
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from repro.configs.parameters import Parameters
from repro.errors import Diverged, ReproError, broken_numbers
from repro.files import append, make_folder, read_json, read_lines, read_object, write_bytes, write_json
from repro.runs import failure, provenance
from repro.runs.locks import lock
from repro.runs.snapshot import once
from repro.settings import published_folder, runs_folder

# Of the rows in a run's files: the name in older runs -> today's
FORMER_ENTRIES = {"shares": "softmax_alpha", "alone": "stand_alone"}

PUBLISHED = " (published)"  # marks the name of a published run


@dataclass
class Run:
    """One run: where it is, of which experiment, with which parameters."""

    path: Path
    experiment: str
    profile: str
    params: Parameters
    writes: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The run's name for people: experiment and folder, and a mark where it is a published one."""
        return f"{self.experiment}/{self.path.name}{PUBLISHED * self.published}"

    @property
    def published(self) -> bool:
        """Whether it is one of the published runs, which are read and never written."""
        return is_published(self.path)

    @property
    def result(self) -> dict[str, Any] | None:
        """The headline numbers, or None while the run is not done."""
        return _result(self.path / "result.json")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the headline numbers: from now on the run is done. A run that is done stays as it is.

        Raises Diverged for a number that is not finite.
        """
        self._refuse_broken(result)
        with lock(self.path / ".brief.lock", wait=5.0):
            if self.result is None:
                provenance.update(self.path)
                write_json(self.path / "result.json", dict(result))
        failure.clear(self.path)

    def fail(self, error: Exception) -> None:
        """Keep why the run failed, unless that is known already, or another process is at work on it."""
        with suppress(ReproError, OSError), lock(self.path / ".lock", wait=1.0):
            if self.result is None and not failure.read(self.path):
                failure.keep(self.path, error)

    def log(self, row: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl; ReproError on a full disk, Diverged for a number that is not finite."""
        self._refuse_broken(row)
        provenance.update(self.path)
        append(self.path / "metrics.jsonl", json.dumps(row, allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; one cut short by a crash is left out, ReproError names a damaged one."""
        rows = read_lines(self.path / "metrics.jsonl")
        return [*map(_renamed, rows)]

    def restart(self, rows: list[dict[str, Any]]) -> None:
        """Let metrics.jsonl hold `rows`: those that a checkpoint covers."""
        write_bytes(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def save(self, name: str, value: Any) -> None:
        """Write `value` as the JSON file `name` of this run; Diverged for a number that is not finite."""
        self._refuse_broken(value)
        write_json(self.path / name, value)

    def _refuse_broken(self, value: Any) -> None:
        if broken := next(broken_numbers(value), None):
            raise Diverged(f"{self.path.name}: {broken[0]} is {broken[1]}: take a smaller learning rate")

    def keep(self, name: str, value: Any) -> None:
        """Write the JSON file `name`, once; ReproError if the run began with another value."""
        path = self.path / name
        if path.exists() and read_json(path) != value:
            raise ReproError(f"{path} differs from what the run would now work on: start it in another runs folder")
        self.save(name, value)

    def load(self, name: str, **kinds: Any) -> Any:
        """Read the JSON file `name` of this run; with `kinds`, an object that has such entries."""
        if kinds:
            return read_object(self.path / name, **kinds)
        held = read_json(self.path / name)
        return [*map(_renamed, held)] if isinstance(held, list) else held

    def child(self, name: str) -> "Run":
        """Return a part of this run with its own metrics and checkpoint, in a folder of that name."""
        return Run(make_folder(self.path / name), self.experiment, self.profile, self.params)

    def record(self, **facts: Any) -> None:
        """Add facts (device, checksums) to provenance.json; ReproError if the data are not those it began with."""
        held = provenance.read(self.path).get("data", {})
        if other := [name for name, value in facts.get("data", {}).items() if held.get(name, value) != value]:
            raise ReproError(
                f"{self.name}: {', '.join(other)} changed since the run began: restore the data, "
                "or delete the run's folder and run again"
            )
        provenance.update(self.path, **facts | ({"data": {**held, **facts["data"]}} if "data" in facts else {}))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the run for writing, count the seconds, keep why it failed; ReproError if another process holds it."""
        with lock(self.path / ".lock", wait=10.0):
            failure.clear(self.path)
            provenance.begin(self.path)
            try:
                yield
            except Exception as error:
                with suppress(ReproError):
                    provenance.update(self.path)  # raises where the run goes on elsewhere: then it has not failed
                    failure.keep(self.path, error)
                raise
            finally:
                provenance.end(self.path)


@dataclass
class Follower(Run):
    """The run as the other processes of a group have it: they compute, and leave the writing to the first."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    writes: ClassVar[bool] = False

    def _leave(self, *_: Any, **__: Any) -> None: ...

    finish = fail = save = record = _leave

    def log(self, row: Mapping[str, Any]) -> None:
        """Add one row to the metrics, in memory."""
        self.rows.append(dict(row))

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows so far."""
        return list(self.rows)

    def restart(self, rows: list[dict[str, Any]]) -> None:
        """Go on from `rows`."""
        self.rows = list(rows)

    def child(self, name: str) -> "Follower":
        """Return a part of this run."""
        return Follower(self.path / name, self.experiment, self.profile, self.params)

    def session(self) -> AbstractContextManager[None]:
        """Hold nothing."""
        return nullcontext()


def is_published(path: Path) -> bool:
    """Whether a run's folder is one of the published ones."""
    return path.parent.parent == published_folder() != runs_folder()


def _renamed(row: Any) -> Any:
    """Return a row with its entries under today's names; what is no row as it is."""
    return {FORMER_ENTRIES.get(name, name): value for name, value in row.items()} if isinstance(row, dict) else row


@once
def _result(path: Path) -> dict[str, Any] | None:
    return read_object(path) if path.exists() else None
