"""What a run is: its parameters by value, the content of files they name, and in place of a reference the run itself.

`params.json` holds a description: its version, experiment, profile, every value, `contents` of files, and `needs`, the
descriptions of the runs that the parameters name. Its identity is what decides whether two runs are one; a folder's
name is for people.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from repro.configs import profiles
from repro.configs.parameters import Parameters
from repro.configs.record import Experiment
from repro.configs.references import Reference
from repro.configs.registry import find, typed
from repro.errors import ReproError, UsageError
from repro.files import content_of, listing_of
from repro.settings import data_folder
from repro.spaces.genotypes import PUBLISHED, load, of_kind

Description = Mapping[str, Any]
VERSION = 2  # of descriptions; the first had none


def resolve(experiment: Experiment, profile: str, overrides: Mapping[str, Any]) -> Parameters:
    """Return the parameters: the paper's, changed by the profile, changed by `overrides`; checks what they name."""
    changed = {**profiles.changes(profile, experiment), **experiment.parameters.renamed(overrides)}
    params = experiment.parameters.build({**experiment.parameters.preset_of(changed), **changed})
    params.refuse_idle(differences(experiment, profile, params))
    if isinstance(name := getattr(params, "genotype", None), str):
        of_kind(load(name), params.CELL, name)
    usual = experiment.references(experiment.parameters())
    for name, reference in experiment.references(params).items():
        given, wanted = (find(each.experiment).gives for each in (reference, usual.get(name, reference)))
        if wanted and given != wanted:
            raise UsageError(f"{name}={reference} gives {given or 'nothing of the kind'}, and {wanted} is needed")
    for reference in experiment.needs(params):
        needed, changes = typed(reference)
        resolve(needed, profile, changes)
    return params


def describe(experiment: Experiment, profile: str, params: Parameters) -> dict[str, Any]:
    """Return the description of a run by today's code, which is what params.json holds."""
    description = {"version": VERSION, "experiment": experiment.name, "profile": profile, "parameters": params.values()}
    if contents := _contents(params):
        description["contents"] = contents
    if needs := _needs(experiment, profile, params):
        description["needs"] = needs
    return description


def identity(description: Description) -> dict[str, Any]:
    """Return what makes a described run what it is, under today's names; two runs with the same identity are one.

    Raises UsageError for parameters that are none of the experiment's.
    """
    needs = {name: identity(need) for name, need in needs_of(description).items()}
    contents = {name: {"content": digest} for name, digest in description.get("contents", {}).items()}
    values = {**parameters_of(description).identity(), **needs, **contents}
    return {"experiment": description["experiment"], "profile": description["profile"], "parameters": values}


def parameters_of(description: Description) -> Parameters:
    """Return the parameters of a described run, under today's names; UsageError for one that its experiment lacks."""
    older = "version" not in description
    return find(description["experiment"]).parameters.read(description["parameters"], older=older)


def needs_of(description: Description) -> Mapping[str, Description]:
    """Return the descriptions of the runs that a described one names, by the parameter's name."""
    if "needs" in description:
        return description["needs"]
    experiment = find(description["experiment"])  # older runs say only the names of those that they need
    return _needs(experiment, description["profile"], parameters_of(description))


def unseeded(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity without its seeds and those of its needs: runs with the same one are one arm."""
    kinds = find(found["experiment"]).parameters.kinds()
    values = {name: value for name, value in found["parameters"].items() if kinds[name] != "seed"}
    needs = {name: unseeded(value) for name, value in values.items() if _is_run(value)}
    return {**found, "parameters": {**values, **needs}}


def seeds(found: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the seeds of an identity, its own first, then those of its needs, from the outermost in."""
    kinds = find(found["experiment"]).parameters.kinds()
    own = [value for name, value in found["parameters"].items() if kinds[name] == "seed"]
    return (*own, *(seed for value in found["parameters"].values() if _is_run(value) for seed in seeds(value)))


@lru_cache(maxsize=4096)
def identity_of(text: str) -> str | None:
    """Return the identity that the text of a params.json stands for, as text; None where it stands for no run."""
    try:
        return as_text(identity(json.loads(text)))
    except (ReproError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def as_text(found: Mapping[str, Any]) -> str:
    """Return an identity as text that is equal where the identities are."""
    return json.dumps(found, sort_keys=True)


def differences(experiment: Experiment, profile: str, params: Parameters) -> dict[str, Any]:
    """Return the values that identify a run and differ from the profile's parameters."""
    kinds = experiment.parameters.kinds()
    return {name: value for name, value in set_besides(experiment, profile, params).items() if name in kinds}


def set_besides(experiment: Experiment, profile: str, params: Parameters) -> dict[str, Any]:
    """Return all values that differ from the profile's parameters, whether they identify the run or not."""
    preset = experiment.parameters.preset_of(params.values())
    usual = experiment.parameters.build({**preset, **profiles.changes(profile, experiment)}).values()
    return {name: value for name, value in params.values().items() if value != usual[name]}


def name_of(experiment: Experiment, profile: str, params: Parameters, contents: Mapping[str, str]) -> str:
    """Return the name of the run's folder: the profile, and what differs from its parameters; contents: of files."""
    changed = [
        f"{name}={_text(value)}" + (f"~{contents[name][:8]}" if name in contents else "")
        for name, value in differences(experiment, profile, params).items()
    ]
    name = ",".join([profile, *changed])
    return name if len(name) <= 230 else _shortened(name, 200)


def _needs(experiment: Experiment, profile: str, params: Parameters) -> dict[str, dict[str, Any]]:
    """Return the descriptions of the runs that the parameters name, by the parameter's name."""
    found = {}
    for name, reference in experiment.references(params).items():
        needed, changes = typed(reference)
        found[name] = describe(needed, profile, resolve(needed, profile, changes))
    return found


def _contents(params: Parameters) -> dict[str, str]:
    """Return a checksum of every file and folder that the parameters name, by the parameter's name."""
    found = {}
    for name, how in params.files().items():
        value = getattr(params, name)
        if not value or isinstance(value, Reference):
            continue
        if how == "content" and value not in PUBLISHED and os.path.exists(value):
            found[name] = content_of(Path(value))
        elif how == "listing" and params.dataset == "imagenet" and (data_folder() / value).is_dir():
            found[name] = listing_of(data_folder() / value)
    return found


def _is_run(value: Any) -> bool:
    return isinstance(value, Mapping) and "experiment" in value


def _text(value: Any) -> str:
    """Return a value as a part of a folder's name."""
    text = quote("+".join(map(str, value)) if isinstance(value, list) else str(value), safe="+=:,")
    return text if len(text) <= 80 else _shortened(text, 60)


def _shortened(text: str, length: int) -> str:
    """Return the beginning of a text and a checksum of all of it: a folder's name has at most 255 bytes."""
    return f"{text[:length]}~{hashlib.sha256(text.encode()).hexdigest()[:12]}"
