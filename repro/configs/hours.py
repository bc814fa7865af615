"""What runs cost, as numbers with their source: hours by their share of the paper's work, and disk.

Where a paper gives no number one is filled in, in the experiment's record, and says so: `derived` from a published one
or `assumed`. Hours are those of a whole run with the paper's parameters;
a run with fewer epochs, steps, cells or candidates counts by its share.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

from repro.configs.parameters import Parameters
from repro.configs.record import Experiment, Hours

STATE = 4 * 2 * 2  # bytes a parameter: float32, weights and momentum (or average), in two checkpoints
OTHERS = 2e6  # bytes of notebook, metrics, figures and tables of a run


def published(experiment: Experiment, params: Parameters) -> Hours:
    """Return what is known of such a run's cost, with hours and disk by its share of the paper's work."""
    values, usual = params.values(), experiment.parameters().values()
    cost = next(cost for cost in experiment.hours if cost.where.items() <= values.items())
    whole = work({**usual, **cost.where})
    return Hours(cost.hours * work(values) / whole, cost.kind, cost.source, cost.millions, cost.where)


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
