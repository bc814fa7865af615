"""Every experiment by name, in the order of the papers."""

from collections.abc import Mapping
from typing import Any

from repro.configs import (
    cifar10_cells,
    cifar10_search,
    imagenet,
    language_cells,
    language_search,
    spos_networks,
    spos_search,
    toy,
)
from repro.configs.record import Experiment
from repro.configs.references import Reference
from repro.errors import unknown

EXPERIMENTS: Mapping[str, Experiment] = {
    each.name: each
    for each in (
        toy.TOY,
        cifar10_search.SEARCH,
        cifar10_search.JOINT,
        cifar10_cells.SELECT,
        cifar10_cells.RANDOM,
        cifar10_cells.PROGRESS,
        cifar10_cells.EVAL,
        imagenet.EVAL,
        cifar10_search.COST,
        language_search.SEARCH,
        language_cells.SELECT,
        language_cells.EVAL,
        language_cells.RANDOM,
        language_cells.PROGRESS,
        language_cells.WIKITEXT2,
        spos_networks.SUPERNET,
        spos_search.BLOCKS,
        spos_search.CHANNELS,
        spos_search.BITS,
        spos_networks.RETRAIN,
        spos_search.CORRELATION,
        spos_networks.COST,
    )
}


def find(name: str) -> Experiment:
    """Return the experiment of that name; UsageError suggests the nearest right one."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def typed(reference: Reference) -> tuple[Experiment, dict[str, Any]]:
    """Return the experiment of a reference and its changes with their types; UsageError names what is wrong in them."""
    experiment = find(reference.experiment)
    return experiment, experiment.parameters.parse(dict(reference.changes))
