"""Which run directory a run has: opened for writing, read, looked up by what the run is.

Published runs have the same layout in a folder of their own. Tables, claims and the report read them beside those of
the runs folder (`folders`, `shown_run`); nothing is computed from them, and nothing written into them.
"""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from repro.configs import profiles
from repro.configs.parameters import Parameters
from repro.configs.record import Experiment
from repro.configs.references import Reference, Source, parse_reference
from repro.configs.registry import find, typed
from repro.errors import FOREIGN, ReproError
from repro.files import make_folder, read_object, read_text, write_json
from repro.runs import failure
from repro.runs.directory import Follower, Run, is_published
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


@once
def described(path: Path) -> Description:
    """Return the description that the run directory `path` holds; ReproError where that is none, or a newer one."""
    held = read_object(path / "params.json", experiment=str, profile=str, parameters=dict)
    if held.get("version", VERSION) not in range(1, VERSION + 1):
        raise ReproError(f"{path / 'params.json'} is of version {held['version']!r}, not known here: update repro")
    return held
