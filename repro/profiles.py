"""One experiment, three sizes: a profile only changes parameters, and this is the whole table.

`paper` is the papers' protocol: the defaults. `short` is a day on one GPU with real data. `smoke` is a first look on
data that ships inside dependencies: minutes on a laptop; its numbers say that the path works, never what the papers
found.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from repro.errors import unknown
from repro.experiments import Experiment, find

# One thread: networks this small gain nothing from more, and on a busy machine lose by waiting for each other.
DIGITS = {"dataset": "digits", "threads": 1, "cells": 3}
TINY_SEARCH = {**DIGITS, "batch": 32, "channels": 4, "nodes": 2, "alpha_lr": 0.01}
TINY_TRAINING = {**DIGITS, "batch": 96, "channels": 8, "cutout": 2}
TINY_PICTURES = {"dataset": "pictures", "threads": 1, "workers": 0, "classes": 8, "size": 64, "resize": 72}
TINY_IMAGENET = {**TINY_PICTURES, "batch": 16, "lr": 0.05, "channels": 8, "cells": 3, "epochs": 5}
ENGLISH = {"corpus": "english", "threads": 1, "tokens": 20_000, "bptt": 20}
TINY_RECURRENT = {**ENGLISH, "batch": 32, "size": 64}

CHANGES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "smoke": {
        "cifar10-search": {**TINY_SEARCH, "epochs": 4},
        "cifar10-select": {**TINY_TRAINING, "epochs": 2, "search_seeds": (0, 1)},
        "cifar10-eval": {**TINY_TRAINING, "epochs": 6},
        "cifar10-random": {**TINY_TRAINING, "epochs": 2, "samples": 3, "nodes": 2},
        "cifar10-joint": {**TINY_SEARCH, "epochs": 2},
        "cifar10-progress": {**TINY_TRAINING, "epochs": 2, "search_seeds": (0, 1), "snapshots": (1, 2, 4)},
        "imagenet-eval": TINY_IMAGENET,
        "ptb-search": {**TINY_RECURRENT, "nodes": 4, "epochs": 3, "alpha_lr": 0.03},
        "ptb-select": {**TINY_RECURRENT, "epochs": 1, "search_seeds": (0, 1)},
        "ptb-eval": {**TINY_RECURRENT, "epochs": 5, "patience": 1},
        "ptb-random": {**TINY_RECURRENT, "nodes": 4, "epochs": 1, "samples": 2},
        "ptb-progress": {**TINY_RECURRENT, "epochs": 1, "search_seeds": (0, 1), "snapshots": (1, 3)},
        "wikitext2-eval": {**TINY_RECURRENT, "epochs": 3, "patience": 1},
    },
    "short": {
        "cifar10-search": {"epochs": 25},
        "cifar10-select": {"epochs": 10},
        "cifar10-eval": {"epochs": 100},
        "cifar10-random": {"epochs": 10, "samples": 4},
        "cifar10-joint": {"epochs": 25},
        "cifar10-progress": {"epochs": 10, "search_seeds": (0, 1), "snapshots": (1, 5, 10, 15, 20, 25)},
        # Deviation: in a tenth of the epochs the learning rate falls as far; bf16 takes less time on a GPU
        "imagenet-eval": {"epochs": 25, "lr_decay": 0.737, "precision": "bf16", "channels_last": "auto"},
        "ptb-search": {"epochs": 20},
        "ptb-select": {"epochs": 20},
        "ptb-eval": {"epochs": 200},
        "ptb-random": {"epochs": 20, "samples": 4},
        "ptb-progress": {"epochs": 10, "search_seeds": (0, 1), "snapshots": (1, 5, 10, 15, 20)},
        "wikitext2-eval": {"epochs": 50},
    },
    "paper": {},
}

FOUR, TEN = tuple(range(4)), tuple(range(10))
# What `repro run --all` runs: experiment, changes to the profile's parameters, seeds (None: the experiment has none).
PLAN: Mapping[str, tuple[tuple[str, Mapping[str, Any], tuple[int, ...]], ...]] = {
    "smoke": (
        ("bilevel-toy", {}, ()),
        ("cifar10-search", {"order": 1}, (0,)),
        ("cifar10-search", {}, (0, 1)),
        ("cifar10-select", {}, (0,)),
        ("cifar10-eval", {}, (0, 1)),
        ("cifar10-random", {}, (0,)),
        ("cifar10-joint", {}, (0,)),
        ("cifar10-joint", {"strategy": "simultaneous"}, (0,)),
        ("cifar10-progress", {}, (0,)),
        ("imagenet-eval", {}, (0,)),
        ("ptb-search", {}, (0, 1)),
        ("ptb-select", {}, (0,)),
        ("ptb-eval", {}, (0,)),
        ("ptb-random", {}, (0,)),
        ("ptb-progress", {}, (0,)),
        ("wikitext2-eval", {}, (0,)),
    ),
    "short": (
        ("bilevel-toy", {}, ()),
        ("cifar10-search", {"order": 1}, (0, 1)),
        ("cifar10-search", {}, (0, 1, 2, 3)),
        ("cifar10-select", {}, (0,)),
        ("cifar10-eval", {}, (0,)),
        ("cifar10-random", {}, (0,)),
        ("cifar10-joint", {}, (0,)),
        ("cifar10-joint", {"strategy": "simultaneous"}, (0,)),
        ("cifar10-progress", {}, (0,)),
        ("imagenet-eval", {}, (0,)),
        ("ptb-search", {}, (0, 1, 2, 3)),
        ("ptb-select", {}, (0,)),
        ("ptb-eval", {}, (0,)),
        ("ptb-random", {}, (0,)),
        ("ptb-progress", {}, (0,)),
        ("wikitext2-eval", {}, (0,)),
    ),
    "paper": (
        ("bilevel-toy", {}, ()),
        ("cifar10-search", {"order": 1}, FOUR),
        ("cifar10-search", {}, FOUR),
        ("cifar10-select", {"search": "run:cifar10-search/order=1"}, (0,)),
        ("cifar10-select", {}, (0,)),
        ("cifar10-eval", {"genotype": "run:cifar10-select/search=run:cifar10-search/order=1"}, TEN),
        ("cifar10-eval", {}, TEN),
        ("cifar10-random", {}, (0,)),
        ("cifar10-eval", {"genotype": "run:cifar10-random"}, TEN),
        ("cifar10-joint", {}, FOUR),
        ("cifar10-joint", {"strategy": "simultaneous"}, FOUR),
        ("cifar10-select", {"search": "run:cifar10-joint"}, (0,)),
        ("cifar10-select", {"search": "run:cifar10-joint/strategy=simultaneous"}, (0,)),
        ("cifar10-eval", {"genotype": "run:cifar10-select/search=run:cifar10-joint"}, TEN),
        ("cifar10-eval", {"genotype": "run:cifar10-select/search=run:cifar10-joint/strategy=simultaneous"}, TEN),
        ("cifar10-search", {"cells": 20, "channels": 6}, FOUR),
        ("cifar10-select", {"search": "run:cifar10-search/cells=20,channels=6"}, (0,)),
        ("cifar10-eval", {"genotype": "run:cifar10-select/search=(run:cifar10-search/cells=20,channels=6)"}, TEN),
        ("cifar10-progress", {}, (0,)),
        ("imagenet-eval", {}, (0,)),
        ("ptb-search", {"order": 1}, FOUR),
        ("ptb-search", {}, FOUR),
        ("ptb-select", {"search": "run:ptb-search/order=1"}, (0,)),
        ("ptb-select", {}, (0,)),
        ("ptb-eval", {"genotype": "run:ptb-select/search=run:ptb-search/order=1"}, (0,)),
        ("ptb-eval", {}, (0,)),
        ("ptb-random", {}, (0,)),
        ("ptb-eval", {"genotype": "run:ptb-random"}, (0,)),
        ("ptb-eval", {"genotype": "ENAS_RNN"}, (0,)),
        ("ptb-progress", {}, (0,)),
        ("wikitext2-eval", {}, (0,)),
        ("wikitext2-eval", {"genotype": "ENAS_RNN"}, (0,)),
    ),
}


def changes(profile: str, experiment: Experiment) -> Mapping[str, Any]:
    """Return what `profile` changes in the paper's parameters of `experiment`."""
    if profile not in CHANGES:
        raise unknown("profile", profile, CHANGES)
    return CHANGES[profile].get(experiment.name, {})


def plan(profile: str) -> Iterator[tuple[Experiment, dict[str, Any]]]:
    """Yield every run of a profile: the experiment and its changes to the profile's parameters."""
    if profile not in PLAN:
        raise unknown("profile", profile, PLAN)
    for name, overrides, seeds in PLAN[profile]:
        for seeded in [{"seed": seed} for seed in seeds] or [{}]:
            yield find(name), {**overrides, **seeded}
