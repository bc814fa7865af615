"""Whether a run's data and protocol are the paper's, so that its numbers may stand beside the paper's, and its mark.

A run is compared by its parameters of data and protocol and those of the runs that it needs, seeds left out. The
profile does not count, nor does what files hold, since the paper's files are not here to compare with.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from repro.configs import profiles
from repro.configs.record import Experiment
from repro.configs.registry import find
from repro.runs.identity import VERSION, Description, as_text, differences, needs_of, parameters_of, resolve
from repro.runs.run import Run, described
from repro.runs.snapshot import once


def stated(experiment: Experiment, profile: str, changes: Mapping[str, Any]) -> Description:
    """Return the description of the run that these changes to a profile's parameters make."""
    params = resolve(experiment, profile, changes)
    return {"version": VERSION, "experiment": experiment.name, "profile": profile, "parameters": params.values()}


def whole(held: Description) -> dict[str, Any]:
    """Return the data and protocol of a described run and, in place of the runs that it names, the same of them."""
    own = parameters_of(held).part("data", "protocol")
    if own.get("precision") == "float32":  # the papers' arithmetic, also where the default is another
        own["precision"] = find(held["experiment"]).parameters().values()["precision"]
    return {"experiment": held["experiment"], **own, **{name: whole(need) for name, need in needs_of(held).items()}}


def text_of(held: Description) -> str:
    """Return data and protocol of a described run as text, which is equal for two runs that are alike."""
    return as_text(whole(held))


@once
def text_at(path: Path) -> str:
    """Return `text_of` the run in a folder."""
    return text_of(described(path))


def as_published(run: Run) -> bool:
    """Whether the run, and all that it needs, is one of those that the papers describe: those of the plan `paper`."""
    return text_at(run.path) in _published()


def comparable(run: Run) -> bool:
    """Whether the data that the run itself is about are the paper's, all of them."""
    return all(
        values == resolve(experiment, "paper", {}).part("data") for experiment, values in _data(described(run.path))
    )


def data(run: Run) -> str:
    """Return what the run was made on, for people: the data set, and what of the paper's it is."""
    found = {}
    for experiment, values in _data(described(run.path)):
        paper = resolve(experiment, "paper", {}).part("data")
        name = "dataset" if "dataset" in values else "corpus"
        less = [f"{each}={value}" for each, value in values.items() if value != paper[each]]
        found[", ".join([values[name], *less] if values[name] == paper[name] else [values[name]])] = None
    return ", ".join(found)


def label(run: Run, known: Mapping[str, Any] = {}) -> str:
    """Return the profile and what differs from its parameters, but for the seed and the values that are `known`."""
    kinds = run.params.kinds()
    changed = differences(find(run.experiment), run.profile, run.params).items()
    own = [f"{name}={value}" for name, value in changed if kinds[name] != "seed" and str(known.get(name)) != str(value)]
    return ", ".join([run.profile, *own])


def mark(run: Run) -> str:
    """Return what must stand in a picture of a run: what made it; nothing where it is as published."""
    return "" if as_published(run) else " · ".join(filter(None, [f"{run.experiment}: {label(run)}", data(run)]))


def _data(held: Description) -> Iterator[tuple[Experiment, dict[str, Any]]]:
    """Yield the parameters of data of a described run or, where it has none, of those that it needs."""
    if values := parameters_of(held).part("data"):
        yield find(held["experiment"]), values
    else:
        for need in needs_of(held).values():
            yield from _data(need)


@cache
def _published() -> frozenset[str]:
    """Return the runs that the plan `paper` makes, and those that they need."""
    todo, found = [stated(find(name), "paper", changes) for name, changes, _ in profiles.profile("paper").plan], set()
    while todo:
        held = todo.pop()
        todo += needs_of(held).values()
        found.add(text_of(held))
    return frozenset(found)
