"""What runs cost, as numbers with their source: hours by their share of the paper's work, and disk.

Where a paper gives no number one is filled in, in the experiment's record, and says so: `derived` from a published one
or `assumed`. Hours are those of a whole run with the paper's parameters; a run with fewer epochs, steps, cells or
candidates counts by its share. On a GPU whose steps `benchmarks.certify` has measured, theirs are the hours. At smoke
and desk, which run on cores, the hours are those that records have measured at that size.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from repro.configs.parameters import Parameters
from repro.configs.record import Experiment, Hours
from repro.files import read_object

STATE = 4 * 2 * 2  # bytes a parameter: float32, weights and momentum (or average), in two checkpoints
AS_LONG = {"epochs", "iterations", "genotype", "snapshot", "precision"}  # a step takes as long, or is measured so
STEPS = {"experiment", "where", "variant", "passed", "hours"}  # what is read of steps that were measured
OTHERS = 2e6  # bytes of notebook, metrics, figures and tables of a run


def published(experiment: Experiment, params: Parameters) -> Hours:
    """Return what is known of such a run's cost, with hours and disk by its share of the paper's work."""
    found = share(experiment.hours, experiment.parameters(), params)
    assert found is not None, f"{experiment.name}: its last hours must be those of any run"
    return found


def shipped(experiment: Experiment, profile: str) -> tuple[Hours, ...]:
    """Return what a record has measured of runs of a profile."""
    if profile == "smoke" and experiment.smoke_seconds:
        source = "measured on two cores, by its share of the profile's work"
        return (Hours(experiment.smoke_seconds / 3600, "shipped", source),)
    return experiment.desk_hours if profile == "desk" else ()


def share(known: Sequence[Hours], usual: Parameters, params: Parameters) -> Hours | None:
    """Return the first hours whose values a run has, by its share of the work of the `usual` run that they are of."""
    values = params.values()
    cost = next((cost for cost in known if cost.where.items() <= values.items()), None)
    return cost and replace(cost, hours=cost.hours * work(values) / work({**usual.values(), **cost.where}))


def certified(path: Path) -> dict[str, list[Hours]]:
    """Return hours by experiment, of the fastest steps whose numbers passed in a file of `benchmarks.certify`."""
    found = defaultdict(list)
    may = lambda row: isinstance(row, dict) and row.keys() >= STEPS and row["passed"] and row["variant"] != "plain"
    rows = filter(may, read_object(path, rows=dict)["rows"].values())
    for row in sorted(rows, key=lambda row: row["hours"]):
        source = f"the steps of {path.name}: {row['variant']}"
        found[row["experiment"]].append(Hours(row["hours"], "measured", source, where=row["where"]))
    return found


def by_steps(known: list[Hours], experiment: Experiment, params: Parameters) -> Hours | None:
    """Return such hours for a run whose steps are the paper's, by its share of them; None where they are others."""
    usual, values = experiment.parameters().values(), params.values()
    for each in known:
        alike = {**usual, **each.where, **{name: values[name] for name in AS_LONG & values.keys()}}
        if all(alike[name] == value for name, value in params.part("data", "protocol").items()):
            return replace(each, hours=each.hours * work(values) / work({**usual, **each.where}))
    return None


def work(values: Mapping[str, Any]) -> float:
    """Return how much a run does, in what its time is proportional to: images, epochs of all trainings, candidates."""
    if "iterations" in values and "batch" in values:
        return values["iterations"] * values["batch"]
    if "generations" in values:
        return values["generations"] * values["population"] * trainings(values)
    return values.get("networks") or values.get("epochs", 1) * trainings(values)


def trainings(values: Mapping[str, Any]) -> int:
    """Return how many networks a run trains, or searches on; where equal cells are trained once, at most."""
    return values.get("samples") or prod(len(values.get(name, [0])) for name in ("search_seeds", "snapshots"))


def disk(hours: Hours, params: Parameters) -> float:
    """Return about how many bytes a finished run takes: its checkpoints, and what every run has."""
    return OTHERS + STATE * 1e6 * hours.millions * trainings(params.values())
