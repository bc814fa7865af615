"""One experiment, four sizes: a profile only changes parameters, and this is the whole table.

`paper` is the papers' protocol: the defaults. `short` is a day on one GPU with real data. `desk` tests the claims on
real data in an evening on a laptop (`profile_desk`). `smoke` is a first look on
data that ships inside dependencies: minutes on a laptop; its numbers say that the path works, never what the papers
found.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from repro import profile_desk
from repro.errors import unknown
from repro.experiments import Experiment, find
from repro.widths import WIDTHS, reference_width

# One thread: networks this small gain nothing from more, and on a busy machine lose by waiting for each other.
DIGITS = {"dataset": "digits", "threads": 1, "cells": 3}
TINY_STEPS = {**DIGITS, "images": 1000, "batch": 32, "channels": 4, "nodes": 2}
TINY_SEARCH = {**TINY_STEPS, "alpha_lr": 0.01}
TINY_TRAINING = {**DIGITS, "batch": 96, "channels": 8, "cutout": 2}
TINY_PICTURES = {"dataset": "pictures", "threads": 1, "workers": 0, "classes": 8, "size": 64, "resize": 72}
TINY_IMAGENET = {**TINY_PICTURES, "batch": 16, "lr": 0.05, "channels": 8, "cells": 3, "epochs": 5}
ENGLISH = {"corpus": "english", "threads": 1, "tokens": 20_000, "bptt": 20}
TINY_RECURRENT = {**ENGLISH, "batch": 32, "hidden_size": 64}
MILD = {"lr": 5.0, "dropout_input": 0.2, "dropout_output": 0.2}  # the paper's rate and dropout drown so small a search
TINY_PATHS = {"dataset": "digits", "threads": 1, "batch": 64, "lr": 0.3, "iterations": 120}
TINY_EVOLUTION = {"threads": 1, "bn_images": 512, "generations": 4, "population": 16}
TINY_EVOLUTION |= {"parents": 4, "mutation": 6, "crossover": 6}
SHORT_PATHS = {"dataset": "cifar10", "batch": 256, "lr": 0.125}
MACRO_SUPERNET = "run:spos-supernet/dataset=cifar10,iterations=40000,batch=256,lr=0.125,valid_images=5000"

CHANGES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "smoke": {
        "cifar10-search": {**TINY_SEARCH, "epochs": 4},
        "cifar10-select": {**TINY_TRAINING, "epochs": 2, "search_seeds": (0, 1)},
        "cifar10-eval": {**TINY_TRAINING, "epochs": 6},
        "cifar10-random": {**TINY_TRAINING, "epochs": 2, "samples": 3, "nodes": 2},
        "cifar10-joint": {**TINY_SEARCH, "epochs": 2},
        "cifar10-progress": {**TINY_TRAINING, "epochs": 2, "search_seeds": (0, 1), "snapshots": (1, 2, 4)},
        "imagenet-eval": TINY_IMAGENET,
        "cifar10-cost": {**TINY_STEPS, "steps": 10, "warm_up_steps": 2},
        "ptb-search": {**TINY_RECURRENT, **MILD, "nodes": 4, "epochs": 2, "alpha_lr": 0.03},
        "ptb-select": {**TINY_RECURRENT, "epochs": 1, "search_seeds": (0, 1)},
        "ptb-eval": {**TINY_RECURRENT, "epochs": 5, "patience": 1},
        "ptb-random": {**TINY_RECURRENT, "nodes": 4, "epochs": 1, "samples": 2},
        "ptb-progress": {**TINY_RECURRENT, "epochs": 1, "search_seeds": (0, 1), "snapshots": (1, 2)},
        "wikitext2-eval": {**TINY_RECURRENT, "epochs": 3, "patience": 1},
        "spos-supernet": {**TINY_PATHS, "valid_images": 300, "bn_images": 512, "evaluated_paths": 4},
        "spos-blocks": {**TINY_EVOLUTION, "mult_adds": 0.15},
        "spos-channels": {**TINY_EVOLUTION, "mult_adds": 0.15},
        "spos-bits": {**TINY_EVOLUTION, "bitops": 0.0015},
        "spos-retrain": {**TINY_PATHS, "mult_adds": 0.15},
        "spos-correlation": {
            "threads": 1,
            "benchmark": "trained",
            "bn_images": 512,
            "iterations": 40,
        },
        "spos-cost": {"dataset": "digits", "threads": 1, "batch": 64, "paths": 4, "steps": 3, "warm_up_steps": 2},
    },
    "desk": profile_desk.CHANGES,
    "short": {
        "cifar10-search": {"epochs": 25},
        "cifar10-select": {"epochs": 10},
        "cifar10-eval": {"epochs": 100},
        "cifar10-random": {"epochs": 10, "samples": 4},
        "cifar10-joint": {"epochs": 25},
        "cifar10-progress": {"epochs": 10, "search_seeds": (0, 1), "snapshots": (1, 5, 10, 15, 20, 25)},
        # Deviation: in a tenth of the epochs the learning rate falls as far
        "imagenet-eval": {"epochs": 25, "lr_decay": 0.737},
        "ptb-search": {"epochs": 20},
        "ptb-select": {"epochs": 20},
        "ptb-eval": {"epochs": 200},
        "ptb-random": {"epochs": 20, "samples": 4},
        "ptb-progress": {"epochs": 10, "search_seeds": (0, 1), "snapshots": (1, 5, 10, 15, 20)},
        "wikitext2-eval": {"epochs": 50},
        "spos-supernet": {**SHORT_PATHS, "iterations": 20_000, "valid_images": 5_000, "bn_images": 10_000},
        "spos-blocks": {"bn_images": 10_000, "mult_adds": 105.0},
        "spos-channels": {"bn_images": 10_000, "mult_adds": 105.0},
        "spos-bits": {"bn_images": 10_000, "bitops": 2.07},
        "spos-retrain": {**SHORT_PATHS, "iterations": 40_000, "mult_adds": 105.0},
        "spos-correlation": {"bn_images": 10_000},
        "spos-cost": {"dataset": "cifar10"},
    },
    "paper": {"spos-correlation": {"supernet": MACRO_SUPERNET}},  # not in the paper: the benchmark's data set
}

FOUR, TEN = tuple(range(4)), tuple(range(10))
SPACES = ("blocks", "channels", "bits", "macro")
CHANNELS_OF_3X3 = "run:spos-channels/supernet=run:spos-supernet/blocks=shuffle_3x3"
UNIFORM = ("shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception")
BITS = {  # depth of the ResNet -> BitOps (2^30) of the same bits everywhere, which limit a search
    18: {"2W2A": 6.32, "3W3A": 14.21, "4W4A": 25.27},
    34: {"2W2A": 13.21, "3W3A": 29.72, "4W4A": 52.83},
}


def _mixed_precision() -> Iterator[tuple[str, Mapping[str, Any], tuple[int, ...]]]:
    """Yield what the rows of SPOS's table of quantised networks need: searches, and retraining beside uniform bits."""
    for depth, limits in BITS.items():
        supernet = f"run:spos-supernet/depth={depth}"
        for uniform, limit in limits.items():
            yield "spos-bits", {"supernet": supernet, "bitops": limit}, (0,)
            for name in (uniform, f"run:spos-bits/supernet={supernet},bitops={limit}"):
                yield "spos-retrain", {"architecture": name, "space": "bits", "depth": depth}, (0,)


def reference(cell: str, data: str, width: str = "hidden_size") -> dict[str, Any]:
    """Return the changes that train a cell of others in DARTS's own setup, as wide as the table `widths` says."""
    return {"genotype": cell, width: reference_width(cell, data, WIDTHS[data][0])}


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
        ("cifar10-cost", {}, (0,)),
        ("ptb-search", {}, (0, 1)),
        ("ptb-select", {}, (0,)),
        ("ptb-eval", {}, (0,)),
        ("ptb-random", {}, (0,)),
        ("ptb-progress", {}, (0,)),
        ("wikitext2-eval", {}, (0,)),
        *(("spos-supernet", {"space": space}, (0,)) for space in SPACES),
        ("spos-blocks", {}, (0,)),
        ("spos-channels", {}, (0,)),
        ("spos-bits", {}, (0,)),
        *(("spos-retrain", {"architecture": name}, (0,)) for name in ("run:spos-blocks", "shuffle_3x3", "random")),
        ("spos-correlation", {}, (0,)),
        ("spos-cost", {}, (0,)),
    ),
    "desk": profile_desk.PLAN,
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
        ("cifar10-cost", {}, (0,)),
        ("ptb-search", {}, (0, 1, 2, 3)),
        ("ptb-select", {}, (0,)),
        ("ptb-eval", {}, (0,)),
        ("ptb-random", {}, (0,)),
        ("ptb-progress", {}, (0,)),
        ("wikitext2-eval", {}, (0,)),
        *(("spos-supernet", {"space": space}, (0,)) for space in SPACES),
        ("spos-blocks", {}, (0,)),
        ("spos-channels", {}, (0,)),
        ("spos-bits", {}, (0,)),
        *(("spos-retrain", {"architecture": name}, (0,)) for name in ("run:spos-blocks", *UNIFORM, "random")),
        ("spos-correlation", {}, (0,)),
        ("spos-cost", {}, (0,)),
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
        ("cifar10-eval", reference("NASNET", "cifar10", "channels"), (0,)),
        ("cifar10-eval", reference("AMOEBANET", "cifar10", "channels"), (0,)),
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
        ("cifar10-cost", {}, (0,)),
        ("ptb-search", {"order": 1}, FOUR),
        ("ptb-search", {}, FOUR),
        ("ptb-select", {"search": "run:ptb-search/order=1"}, (0,)),
        ("ptb-select", {}, (0,)),
        ("ptb-eval", {"genotype": "run:ptb-select/search=run:ptb-search/order=1"}, (0,)),
        ("ptb-eval", {}, (0,)),
        ("ptb-random", {}, (0,)),
        ("ptb-eval", {"genotype": "run:ptb-random"}, (0,)),
        ("ptb-eval", reference("ENAS_RNN", "ptb"), (0,)),
        ("ptb-progress", {}, (0,)),
        ("wikitext2-eval", {}, (0,)),
        ("wikitext2-eval", reference("ENAS_RNN", "wikitext-2"), (0,)),
        ("spos-blocks", {}, (0,)),
        ("spos-channels", {}, (0,)),
        ("spos-channels", {"supernet": "run:spos-supernet/blocks=shuffle_3x3"}, (0,)),
        ("spos-retrain", {}, (0,)),
        ("spos-retrain", {"winner": "random"}, (0,)),
        *(("spos-retrain", {"architecture": name}, (0,)) for name in UNIFORM),
        ("spos-retrain", {"architecture": "random"}, tuple(range(5))),
        ("spos-retrain", {"architecture": "run:spos-channels", "space": "channels"}, (0,)),
        ("spos-retrain", {"architecture": "SPOS_RELEASED"}, (0,)),
        ("spos-retrain", {"architecture": CHANNELS_OF_3X3, "space": "channels", "blocks": "shuffle_3x3"}, (0,)),
        *_mixed_precision(),
        ("spos-correlation", {}, (0,)),
        ("spos-cost", {}, (0,)),
    ),
}


def changes(profile: str, experiment: Experiment) -> Mapping[str, Any]:
    """Return what `profile` changes in the paper's parameters of `experiment`."""
    if profile not in [*CHANGES]:  # a list: it may be anything
        raise unknown("profile", profile, CHANGES)
    return CHANGES[profile].get(experiment.name, {})


def plan(profile: str) -> Iterator[tuple[Experiment, dict[str, Any]]]:
    """Yield every run of a profile: the experiment and its changes to the profile's parameters."""
    if profile not in PLAN:
        raise unknown("profile", profile, PLAN)
    for name, overrides, seeds in PLAN[profile]:
        for seeded in [{"seed": seed} for seed in seeds] or [{}]:
            yield find(name), {**overrides, **seeded}
