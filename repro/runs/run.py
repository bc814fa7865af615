"""A run directory: everything one run was asked for, did and found.

runs/cifar10-search/smoke,order=1,seed=3/    the profile, then what differs from its parameters
  params.json       every value: what the run is, whatever its folder is called (see `identity`)
  provenance.json   commit, versions, device, data checksums, and start, seconds and command of every session
  metrics.jsonl     one line per epoch
  checkpoint.pt     all state after an epoch or within one; checkpoint.previous.pt the one before
  notebook.ipynb    as executed
  failure.txt       why it failed, until it goes on
  result.json       headline numbers; written last: it exists = done

Published runs have the same layout in a folder of their own. Tables, claims and the report read them beside those of
the runs folder (`folders`, `shown_run`); nothing is computed from them, and nothing written into them.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from repro.configs import profiles
from repro.configs.parameters import Parameters
from repro.configs.record import Experiment
from repro.configs.references import Reference, Source, parse_reference
from repro.configs.registry import find, typed
from repro.errors import FOREIGN, Diverged, ReproError, broken_numbers
from repro.files import append, make_folder, read_json, read_lines, read_object, read_text, write_bytes, write_json
from repro.runs import failure, provenance
from repro.runs.identity import (
    VERSION,
    Description,
    as_text,
    describe,
    identity,
    identity_of,
    name_of,
    parameters_of,
    resolve,
)
from repro.runs.locks import lock
from repro.runs.snapshot import once
from repro.settings import leads, published_folder, runs_folder

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
    """Open the run with these parameters in its folder, which is made if there is none."""
    params = resolve(experiment, profile, overrides)
    asked = describe(experiment, profile, params)
    place = _place(experiment, params, asked)
    if not leads():
        return Follower(place, experiment.name, profile, params)
    run = Run(place, experiment.name, profile, params)
    path = make_folder(run.path) / "params.json"
    held = described(run.path) if path.exists() else {"name": run.path.name}
    failure.clear(run.path)
    if held.get("parameters") != asked["parameters"]:  # new, or of other values that do not identify it
        with lock(run.path / ".brief.lock", wait=5.0):
            write_json(path, {**asked, **({"name": held["name"]} if "name" in held else {})})
    return run


@once
def read_run(path: Path) -> Run:
    """Open an existing run directory for reading; a published run must be finished, or have diverged.

    ReproError says what is wrong in its parameters.
    """
    held = described(path)
    if is_published(path) and not (path / "result.json").exists() and not failure.diverged(path):
        raise ReproError(f"{path / 'result.json'} does not exist, and published runs are finished: restore it")
    try:
        experiment, params = find(held["experiment"]), parameters_of(held)
        profiles.changes(held["profile"], experiment)
        for reference in experiment.needs(params):
            needed, changes = typed(reference)
            resolve(needed, held["profile"], changes)
        if held_identity(path) is None:
            identity(held)  # says why
    except FOREIGN as error:
        raise ReproError(f"{path / 'params.json'} is not a run's parameters: {error}") from error
    return Run(path, experiment.name, held["profile"], params)


def folders(experiment: str = "*") -> list[Path]:
    """Return the folders of all runs, of one experiment or of all: first those of the runs folder, then published ones.

    Where both hold one run, the reader takes the first finished one.
    """
    stores = dict.fromkeys((runs_folder(), published_folder()))
    return [path.parent for store in stores for path in sorted(store.glob(f"{experiment}/*/params.json"))]


def is_published(path: Path) -> bool:
    """Whether a run's folder is one of the published ones."""
    return path.parent.parent == published_folder() != runs_folder()


def _place(experiment: Experiment, params: Parameters, asked: Description) -> Path:
    """Return the run's folder: the one that holds it, whatever it is called, else the one that it is to have."""
    folder, wanted = runs_folder() / experiment.name, as_text(identity(asked))
    usual = folder / name_of(experiment, asked["profile"], params, asked.get("contents", {}))
    if held_identity(usual) == wanted or not folder.exists():
        return usual
    if place := places(folder).get(wanted):
        return place
    taken = (usual / "params.json").exists()  # by a run that had this name when its profile had other values
    return folder / f"{usual.name}~{hashlib.sha256(wanted.encode()).hexdigest()[:8]}" if taken else usual


@once
def places(folder: Path) -> dict[str | None, Path]:
    """Return where the runs in an experiment's folder are, by their identities; of equal ones the first."""
    paths = [file.parent for file in sorted(folder.glob("*/params.json"), reverse=True)]
    return {held_identity(path): path for path in paths}


@once
def held_identity(path: Path) -> str | None:
    """Return the identity of the run in a folder, as text; None where there is none."""
    try:
        return identity_of(read_text(path / "params.json"))
    except (OSError, ValueError):
        return None


def given_name(path: Path) -> str | None:
    """Return the name that the run in a folder was given when it began; None where that was not noted yet."""
    try:
        return described(path).get("name")
    except ReproError:
        return None


def misnamed(run: Run) -> str:
    """Say why a run does not count where it is: it was brought there by hand. Empty where it does."""
    if run.path.parent.name != run.experiment:
        return f"lies under {run.path.parent.name}, but is a run of {run.experiment}: move it there"
    if (name := given_name(run.path)) not in (None, run.path.name):
        return f"was made as {name} and does not count under another name: rename it"
    return ""


def run_of(experiment: Experiment, profile: str, overrides: Mapping[str, Any]) -> Run:
    """Return the run with these parameters, finished or not, begun or not; no folder is made."""
    params = resolve(experiment, profile, overrides)
    place = _place(experiment, params, describe(experiment, profile, params))
    return Run(place, experiment.name, profile, params)


def needed_run(reference: Reference, profile: str) -> Run:
    """Return the run that `reference` names, finished or not, begun or not."""
    experiment, changes = typed(reference)
    return run_of(experiment, profile, changes)


def shown_run(reference: Reference, profile: str) -> Run:
    """Return the run that tables show for `reference`: the published one where one's own is not finished."""
    run = needed_run(reference, profile)
    return run if run.result is not None else published_run(reference, profile) or run


def published_run(reference: Reference, profile: str) -> Run | None:
    """Return the published run that `reference` names; None where it is not published."""
    run = needed_run(reference, profile)
    wanted = as_text(identity(describe(find(run.experiment), profile, run.params)))
    place = places(published_folder() / run.experiment).get(wanted)
    return replace(run, path=place) if place else None


def find_needed(reference: Source, profile: str) -> Run:
    """Return the finished run that `reference` names; ReproError says which command makes it."""
    reference = parse_reference(reference)
    run = needed_run(reference, profile)
    if run.result is None:
        options = "".join(f" -p {shlex.quote(f'{key}={value}')}" for key, value in reference.changes)
        command = f"repro run {run.experiment}{options} --profile {profile}"
        raise ReproError(f"{run.name} is needed and not finished; make it with: {command}, or add --with-needs")
    return run


def _renamed(row: Any) -> Any:
    """Return a row with its entries under today's names; what is no row as it is."""
    return {FORMER_ENTRIES.get(name, name): value for name, value in row.items()} if isinstance(row, dict) else row


@once
def described(path: Path) -> Description:
    """Return the description that the run directory `path` holds; ReproError where that is none, or a newer one."""
    held = read_object(path / "params.json", experiment=str, profile=str, parameters=dict)
    if held.get("version", VERSION) not in range(1, VERSION + 1):
        raise ReproError(f"{path / 'params.json'} is of version {held['version']!r}, not known here: update repro")
    return held


@once
def _result(path: Path) -> dict[str, Any] | None:
    return read_object(path) if path.exists() else None
