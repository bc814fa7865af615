"""What each experiment costs, as numbers with their source: GPU hours of the authors, and parameters of the networks.

Where a paper gives no number one is filled in here, and says so: `derived` from a published one, `recalled` and not
checked against the paper, or `assumed`. Hours are those of a whole run with the paper's parameters; a run with fewer
epochs, steps, cells or candidates counts by its share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from repro.experiments import Experiment
from repro.parameters import Parameters
from repro.results.published import RECALLED

DAY = 24.0
KINDS = ("published", "derived", "recalled", "assumed")  # of hours, the surest first
# Seconds of a run of the smoke profile, with its notebook, measured beside another one on two cores
SMOKE: Mapping[str, float] = {
    "bilevel-toy": 4,
    "cifar10-search": 23,
    "cifar10-joint": 13,
    "cifar10-select": 9,
    "cifar10-random": 10,
    "cifar10-progress": 13,
    "cifar10-eval": 9,
    "imagenet-eval": 9,
    "ptb-search": 17,
    "ptb-select": 7,
    "ptb-random": 7,
    "ptb-progress": 10,
    "ptb-eval": 10,
    "wikitext2-eval": 9,
    "spos-supernet": 8,
    "spos-blocks": 13,
    "spos-channels": 12,
    "spos-bits": 12,
    "spos-retrain": 8,
    "spos-correlation": 22,
}
STATE = 4 * 2 * 2  # bytes a parameter: float32, weights and momentum (or average), in two checkpoints
OTHERS = 2e6  # bytes of notebook, metrics, figures and tables of a run


@dataclass(frozen=True)
class Cost:
    """GPU hours of a whole run, how they are known, and the millions of parameters that a checkpoint holds."""

    hours: float
    kind: str  # one of KINDS
    source: str
    millions: float = 0.0
    where: Mapping[str, Any] = field(default_factory=dict)  # for these values of parameters


SUPERNET = "SPOS: 12 GPU days"
RETRAINING = "SPOS: 16 GPU days"
SEARCH = "SPOS: less than 1 GPU day, counted as 1"
STEPS = "some dozens of steps; counted as 72 seconds"
NOT_STATED = "not stated; counted as"

COSTS: Mapping[str, tuple[Cost, ...]] = {
    "bilevel-toy": (Cost(0.01, "assumed", "seconds; counted as 36"),),
    "cifar10-search": (
        Cost(DAY, "assumed", f"{NOT_STATED} one with 8 cells and 16 channels", 0.9, {"cells": 20, "channels": 6}),
        Cost(1.5 * DAY / 4, "derived", "DARTS Table 1: four searches in 1.5 GPU days", 1.93, {"order": 1}),
        Cost(4 * DAY / 4, "derived", "DARTS Table 1: four searches in 4 GPU days", 1.93),
    ),
    "cifar10-joint": (Cost(1.5 * DAY / 4, "assumed", f"{NOT_STATED} a first-order search", 1.93),),
    "cifar10-select": (Cost(DAY, "published", "DARTS Table 1: 1 GPU day", 3.3),),
    "cifar10-random": (Cost(4 * DAY, "published", "DARTS Table 1: 4 GPU days", 3.3),),
    "cifar10-progress": (Cost(11 * DAY, "derived", "44 trainings like the four of cifar10-select's GPU day", 3.3),),
    "cifar10-eval": (Cost(1.5 * DAY, "published", "DARTS Table 1: 1.5 GPU days", 3.3),),
    "imagenet-eval": (Cost(12 * DAY, "published", "DARTS A.2.3: 12 GPU days", 4.7),),
    "cifar10-cost": (Cost(0.02, "assumed", STEPS),),
    "ptb-search": (
        Cost(0.5 * DAY / 4, "derived", "DARTS Table 2: four searches in 0.5 GPU days", 4.81, {"order": 1}),
        Cost(DAY / 4, "published", "DARTS Sect. 3.1.2: 6 hours", 4.81),
    ),
    "ptb-select": (Cost(DAY, "published", "DARTS Table 2: 1 GPU day", 23.0),),
    "ptb-random": (Cost(2 * DAY, "published", "DARTS Table 2: 2 GPU days", 23.0),),
    "ptb-progress": (Cost(11 * DAY, "derived", "44 trainings like the four of ptb-select's GPU day", 23.0),),
    "ptb-eval": (Cost(3 * DAY, "published", "DARTS Table 2: 3 GPU days", 23.0),),
    "wikitext2-eval": (Cost(3 * DAY, "assumed", f"{NOT_STATED} ptb-eval", 33.0),),
    "spos-supernet": (
        Cost(12 * DAY, "recalled", SUPERNET, 8.39, {"space": "blocks"}),
        Cost(12 * DAY, "assumed", f"{NOT_STATED} the supernet of blocks", 12.67, {"space": "channels"}),
        Cost(12 * DAY, "assumed", f"{NOT_STATED} the supernet of blocks", 17.17, {"space": "bits", "depth": 18}),
        Cost(12 * DAY, "assumed", f"{NOT_STATED} the supernet of blocks", 32.32, {"space": "bits"}),
        Cost(12 * DAY, "assumed", f"{NOT_STATED} the supernet of blocks, image by image", 4.17),
    ),
    "spos-blocks": (Cost(DAY, "recalled", SEARCH),),
    "spos-channels": (Cost(DAY, "assumed", f"{NOT_STATED} spos-blocks"),),
    "spos-bits": (Cost(DAY, "assumed", f"{NOT_STATED} spos-blocks"),),
    "spos-retrain": (
        Cost(16 * DAY, "assumed", f"{NOT_STATED} a network of blocks", 11.69, {"space": "bits", "depth": 18}),
        Cost(16 * DAY, "assumed", f"{NOT_STATED} a network of blocks", 21.8, {"space": "bits"}),
        Cost(16 * DAY, "recalled", RETRAINING, 3.56),
    ),
    "spos-correlation": (Cost(DAY / 10, "assumed", "not stated; 100 networks judged, a tenth of spos-blocks' 1,000"),),
    "spos-cost": (Cost(0.02, "assumed", STEPS),),
}


def published(experiment: Experiment, params: Parameters) -> Cost:
    """Return what is known of such a run's cost, with hours and disk by its share of the paper's work."""
    values, usual = params.values(), experiment.parameters().values()
    cost = next(cost for cost in COSTS[experiment.name] if cost.where.items() <= values.items())
    whole = work({**usual, **cost.where})
    return Cost(cost.hours * work(values) / whole, cost.kind, cost.source, cost.millions, cost.where)


def told(experiment: Experiment) -> str:
    """Return what the paper paid, in words, and whether that was not checked."""
    recalled = published(experiment, experiment.parameters()).kind == "recalled"
    return f"{experiment.cost} ({RECALLED})" if recalled else experiment.cost


def work(values: Mapping[str, Any]) -> float:
    """Return how much a run does, in what its time is proportional to: images, epochs of all trainings, candidates."""
    if "iterations" in values and "batch" in values:
        return values["iterations"] * values["batch"]
    if "generations" in values:
        return values["generations"] * values["population"]
    return values.get("networks") or values.get("epochs", 1) * trainings(values)


def trainings(values: Mapping[str, Any]) -> int:
    """Return how many networks a run trains; where equal cells are trained once, at most."""
    return values.get("samples") or prod(len(values.get(name, [0])) for name in ("search_seeds", "snapshots"))


def disk(cost: Cost, params: Parameters) -> float:
    """Return about how many bytes a finished run takes: its checkpoints, and what every run has."""
    return OTHERS + STATE * 1e6 * cost.millions * trainings(params.values())
