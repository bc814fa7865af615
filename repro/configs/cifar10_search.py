"""Searches for convolutional cells on CIFAR-10: parameters (A.1.1; where paper and code differ, README says which)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs.common import (
    ORDER,
    TERMS,
    Diagnosed,
    Divided,
    Order,
    Precision,
    SmallImages,
    SmallImageTraining,
    refuse_exact,
)
from repro.configs.parameters import parameter
from repro.configs.record import CELL, DAY, NOT_STATED, ONE_CORE, STEPS, Experiment, Hours
from repro.spaces.genotypes import CONVOLUTIONAL


@dataclass(frozen=True)
class SearchSteps(SmallImages):
    """The network of a search on CIFAR-10 (A.1.1), and what its steps compute on."""

    # bfloat16 turns the gradient of alpha: its cosine with float32's is about 0.98, in second order 0.8 to 0.9
    precision: Precision = parameter("float32", "of the steps; auto takes bf16 (autocast) on a GPU that has it")
    batch: int = parameter(64, "images in a batch, for w and for alpha", low=2)
    channels: int = parameter(16, "channels of the first cell", low=1)
    cells: int = parameter(8, "cells; reductions at one and two thirds", low=1)
    nodes: int = parameter(4, "intermediate nodes in a cell", low=1)


@dataclass(frozen=True)
class SearchNetworkTraining(SearchSteps, SmallImageTraining, Divided):
    """What every search on CIFAR-10 has (A.1.1)."""

    epochs: int = parameter(50, "passes over the images that train w", low=1)
    lr_min: float = parameter(0.001, "SGD's last learning rate (0 in the paper, 0.001 in the released code)", low=0)
    alpha_weight_decay: float = parameter(1e-3, "weight decay of alpha; 0: none", low=0)
    recompute: bool = parameter(
        False, "computes cells again in the backward pass, which takes time and spares memory", identifies=False
    )
    dense: bool = parameter(
        False,
        "ordinary convolutions in place of depthwise ones on a GPU: more operations, less memory",
        identifies=False,
    )
    alpha_init: float = parameter(1e-3, "deviation of alpha's start (0 in the paper, 1e-3 in the released code)", low=0)


@dataclass(frozen=True)
class CifarSearch(SearchNetworkTraining, Diagnosed):
    """DARTS Sect. 3.1.1: search for convolutional cells."""

    IDLE: ClassVar = {
        "order": {
            1: ("xi_scale", "eps", "compare_every", "terms"),
            2: ("terms",),
            "exact": ("eps", "compare_every", "terms"),
            "implicit": ("eps", "compare_every"),
            "unrolled": ("eps", "compare_every"),
        }
    }

    order: Order = parameter(2, ORDER)
    terms: int = parameter(3, TERMS, low=1, high=20, before=3)
    compare_every: int = parameter(
        0, "steps between comparisons of Eq. 8 with the exact derivative, from epoch 2 on; 0: none", low=0, before=0
    )
    train_fraction: float = parameter(0.5, "share of the images that trains w; the rest trains alpha", above=0, below=1)
    alpha_lr: float = parameter(3e-4, "Adam's learning rate for alpha; 0: alpha stays", low=0)
    xi_scale: float = parameter(1.0, "xi in units of the current learning rate of w; 0: no step", low=0)
    eps: float = parameter(0.01, "step of the finite difference times the gradient's norm (Eq. 8)", low=1e-12)

    def check(self) -> None:
        """Refuse an exact Hessian of too many alphas."""
        super().check()
        refuse_exact(self.eigenvalue, 2 * CONVOLUTIONAL.rows(self.nodes).start * len(CONVOLUTIONAL.operations))


@dataclass(frozen=True)
class CifarJoint(SearchNetworkTraining):
    """DARTS Sect. 3.3: alpha and w trained on the same images, all of them."""

    IDLE: ClassVar = {"strategy": {"simultaneous": ("alpha_lr", "alpha_weight_decay")}}

    strategy: Literal["coordinate", "simultaneous", "simultaneous-apart"] = parameter(
        "coordinate",
        "alpha and w in turn; in one step of w's SGD; or in one step, alpha by an SGD of its own",
        today={"simultaneous": "simultaneous-apart"},
    )
    alpha_lr: float = parameter(
        3e-4, "learning rate of alpha: Adam's in turn, its own SGD's in one step; 0: it stays", low=0
    )


@dataclass(frozen=True)
class CifarCost(SearchSteps):
    """DARTS Table 1, search cost: steps of a search in first and in second order, timed in turn."""

    steps: int = parameter(20, "steps of each order that are timed", low=1)
    warm_up_steps: int = parameter(5, "steps of each order before those; 0: none", low=0)


# One thread: networks this small gain nothing from more, and on a busy machine lose by waiting for each other.
DIGITS = {"dataset": "digits", "threads": 1, "cells": 3}
TINY_STEPS = {**DIGITS, "images": 1000, "batch": 32, "channels": 4, "nodes": 2}
TINY = {**TINY_STEPS, "alpha_lr": 0.01}
DESK = {"pixels": 16, "threads": 1, "images": 10_000, "channels": 8, "cells": 5}
DESK_EPOCHS = 10  # of 79 steps each
DESK_ALPHA_LR = 7.4e-3  # times 790 steps: 5.9, the paper's 3e-4 x 19,550

SEARCH = Experiment(
    name="cifar10-search",
    title="Search for convolutional cells",
    section="DARTS Sect. 2, 3.1.1, A.1.1",
    claim="four searches, without the choice among their cells, took 1.5 (first order) and 4 (second order) GPU days",
    cost="one search 0.4 (first order) or 1 (second order) GPU day on a GTX 1080Ti",
    hours=(
        Hours(DAY, "assumed", f"{NOT_STATED} one with 8 cells and 16 channels", 0.9, {"cells": 20, "channels": 6}),
        Hours(1.5 * DAY / 4, "derived", "DARTS Table 1: four searches in 1.5 GPU days", 1.93, {"order": 1}),
        Hours(4 * DAY / 4, "derived", "DARTS Table 1: four searches in 4 GPU days", 1.93),
    ),
    smoke_seconds=23,
    parameters=CifarSearch,
    sizes={
        "smoke": {**TINY, "epochs": 4},
        "desk": {**DESK, "epochs": DESK_EPOCHS, "alpha_lr": DESK_ALPHA_LR, "compare_every": 50},
        "short": {"epochs": 25},
    },
    notebook="01_cifar10_search.ipynb",
    recipe="cifar10_search:search",
    searches=True,
    gives=CELL,
)

JOINT = Experiment(
    name="cifar10-joint",
    title="The alternatives: alpha and w trained on the same images",
    section="DARTS Sect. 3.3",
    claim="cells with 4.16 ± 0.16 % (coordinate descent) and 3.56 ± 0.10 % (one step for both) test error",
    cost="about that of a first-order search",
    hours=(Hours(1.5 * DAY / 4, "assumed", f"{NOT_STATED} a first-order search", 1.93),),
    smoke_seconds=13,
    desk_hours=(
        Hours(0.15, "shipped", ONE_CORE, where={"strategy": "simultaneous"}),
        Hours(0.24, "shipped", ONE_CORE),
    ),
    parameters=CifarJoint,
    sizes={
        "smoke": {**TINY, "epochs": 2},
        "desk": {**DESK, "epochs": DESK_EPOCHS // 2, "alpha_lr": DESK_ALPHA_LR},  # it sees all images: as many steps
        "short": {"epochs": 25},
    },
    notebook="05_cifar10_joint.ipynb",
    recipe="cifar10_search:search_jointly",
    searches=True,
    gives=CELL,
)

COST = Experiment(
    name="cifar10-cost",
    title="Table 1, search cost: what the second order costs",
    section="DARTS Sect. 3.2, Table 1",
    claim="searching took 1.5 (first order) and 4 (second order) GPU days, 2.67 times as much",
    cost="minutes",
    hours=(Hours(0.02, "assumed", STEPS),),
    parameters=CifarCost,
    sizes={"smoke": {**TINY_STEPS, "steps": 10, "warm_up_steps": 2}, "desk": DESK},
    notebook="08_cifar10_cost.ipynb",
    recipe="step_cost:compare_orders",
)
