"""A run directory: everything one run was asked for, did and found.

runs/cifar10-search/smoke,order=1,seed=3/    the profile, then what differs from its parameters
  params.json       every value; reopening it with others is refused, naming the difference
  provenance.json   commit, versions, device, data checksums, and start, seconds and command of every session
  metrics.jsonl     one line per epoch
  checkpoint.pt     all state after the last epoch; checkpoint.previous.pt the one before
  notebook.ipynb    as executed
  failure.txt       why it failed, until it goes on
  result.json       headline numbers; written last: it exists = done
"""

import fcntl
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from repro import failure, profiles, provenance
from repro.errors import ReproError, UsageError
from repro.experiments import Experiment, Reference, find, parse_reference
from repro.files import append, make_folder, read_json, read_lines, read_object, write_bytes, write_json
from repro.parameters import Parameters
from repro.settings import leads, runs_folder


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
        """The run's name for people: experiment and folder."""
        return f"{self.experiment}/{self.path.name}"

    @property
    def result(self) -> dict[str, Any] | None:
        """The headline numbers, or None while the run is not done."""
        path = self.path / "result.json"
        return read_object(path) if path.exists() else None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the headline numbers: from now on the run is done. A run that is done stays as it is."""
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
        """Add one line to metrics.jsonl; ReproError on a full disk."""
        provenance.update(self.path)
        append(self.path / "metrics.jsonl", json.dumps(row, allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; one cut short by a crash is left out, ReproError names a damaged one."""
        return read_lines(self.path / "metrics.jsonl")

    def restart(self, rows: list[dict[str, Any]]) -> None:
        """Let metrics.jsonl hold `rows`: those that a checkpoint covers."""
        write_bytes(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def save(self, name: str, value: Any) -> None:
        """Write `value` as the JSON file `name` of this run."""
        write_json(self.path / name, value)

    def keep(self, name: str, value: Any) -> None:
        """Write the JSON file `name`, once; ReproError if the run began with another value."""
        path = self.path / name
        if path.exists() and read_json(path) != value:
            raise ReproError(f"{path} differs from what the run would now work on: start it in another runs folder")
        self.save(name, value)

    def load(self, name: str, **kinds: Any) -> Any:
        """Read the JSON file `name` of this run; with `kinds`, an object that has such entries."""
        return read_object(self.path / name, **kinds) if kinds else read_json(self.path / name)

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
        provenance.update(self.path, **facts)

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

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write nothing."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Add one row to the metrics, in memory."""
        self.rows.append(dict(row))

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows so far."""
        return list(self.rows)

    def restart(self, rows: list[dict[str, Any]]) -> None:
        """Go on from `rows`."""
        self.rows = list(rows)

    def fail(self, error: Exception) -> None:
        """Write nothing."""

    def save(self, name: str, value: Any) -> None:
        """Write nothing."""

    def child(self, name: str) -> "Follower":
        """Return a part of this run."""
        return Follower(self.path / name, self.experiment, self.profile, self.params)

    def record(self, **facts: Any) -> None:
        """Write nothing."""

    def session(self) -> AbstractContextManager[None]:
        """Hold nothing."""
        return nullcontext()


def open_run(experiment: Experiment, profile: str, overrides: Mapping[str, Any]) -> Run:
    """Create the run directory, or reopen it if its parameters are the same, but for those that do not identify it."""
    params = resolve(experiment, profile, overrides)
    place = locate(experiment, profile, params)
    if not leads():
        return Follower(place, experiment.name, profile, params)
    run = Run(place, experiment.name, profile, params)
    asked = {"experiment": experiment.name, "profile": profile, "parameters": params.values()}
    path = make_folder(run.path) / "params.json"
    held = _held(path) if path.exists() else None
    if held is not None:
        _refuse_other(path, params, held["parameters"])
    failure.clear(run.path)
    if held != asked:
        with lock(run.path / ".brief.lock", wait=5.0):
            write_json(path, asked)
    return run


def read_run(path: Path) -> Run:
    """Open an existing run directory for reading."""
    held = _held(path / "params.json")
    try:
        experiment = find(held["experiment"])
        return Run(path, experiment.name, held["profile"], experiment.parameters.build(held["parameters"]))
    except UsageError as error:
        raise ReproError(f"{path / 'params.json'} is not a run's parameters: {error}") from error


def existing_runs(experiment: str = "*") -> list[Run]:
    """Return all run directories below the runs folder, of one experiment or of all, in order of their names."""
    return [read_run(path.parent) for path in sorted(runs_folder().glob(f"{experiment}/*/params.json"))]


def find_needed(reference: Reference | str, profile: str) -> Run:
    """Return the finished run that `reference` names; ReproError says which command makes it."""
    if isinstance(reference, str):
        reference = parse_reference(reference)
    experiment = find(reference.experiment)
    params = resolve(experiment, profile, dict(reference.changes))
    run = Run(locate(experiment, profile, params), experiment.name, profile, params)
    if run.result is None:
        options = "".join(f" -p {key}={value}" for key, value in reference.changes)
        command = f"repro run {experiment.name}{options} --profile {profile}"
        raise ReproError(f"{run.name} is needed and not finished; make it with: {command}, or add --with-needs")
    return run


def resolve(experiment: Experiment, profile: str, overrides: Mapping[str, Any]) -> Parameters:
    """Return the parameters: the paper's, changed by the profile, changed by `overrides`; checks the runs they name."""
    changed = {**profiles.changes(profile, experiment), **overrides}
    params = experiment.parameters.build({**experiment.parameters.preset_of(changed), **changed})
    experiment.needs(params)
    return params


def locate(experiment: Experiment, profile: str, params: Parameters) -> Path:
    """Return the run's folder, named by the profile and what differs from the profile's parameters."""
    changed = [f"{name}={_text(value)}" for name, value in differences(experiment, profile, params).items()]
    name = ",".join([profile, *changed])
    return runs_folder() / experiment.name / (name if len(name) <= 240 else _shortened(name, 200))


def differences(experiment: Experiment, profile: str, params: Parameters) -> dict[str, Any]:
    """Return the values that identify a run and differ from the profile's parameters."""
    preset = experiment.parameters.preset_of(params.values())
    usual = experiment.parameters.build({**preset, **profiles.changes(profile, experiment)}).values()
    return {name: value for name, value in params.identity().items() if value != usual[name]}


@contextmanager
def lock(path: Path, wait: float) -> Iterator[None]:
    """Hold `path` as a lock; wait at most `wait` seconds, then ReproError names the process that holds it."""
    with open(path, "a+", encoding="utf-8") as file:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                    raise ReproError(f"{path.parent} is in use by {holder}; wait for it or stop it") from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _text(value: Any) -> str:
    """Return a value as a part of a folder's name."""
    text = quote("+".join(map(str, value)) if isinstance(value, list) else str(value), safe="+=:,")
    return text if len(text) <= 80 else _shortened(text, 60)


def _shortened(text: str, length: int) -> str:
    """Return the beginning of a text and a checksum of all of it: a folder's name has at most 255 bytes."""
    return f"{text[:length]}~{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _held(path: Path) -> dict[str, Any]:
    """Return what a params.json holds."""
    return read_object(path, experiment=str, profile=str, parameters=dict)


def _refuse_other(path: Path, params: Parameters, held: Mapping[str, Any]) -> None:
    asked = params.identity()
    names = sorted(asked.keys() | (held.keys() - params.values().keys()))
    other = [f"{n}={held.get(n)!r} there, {asked.get(n)!r} asked" for n in names if asked.get(n) != held.get(n)]
    if other:
        raise ReproError(
            f"{path.parent} holds a run with other parameters ({'; '.join(other)}); "
            "choose another runs folder with --runs, or delete it"
        )
