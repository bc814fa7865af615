"""Searches in NAS-Bench-201's space, where a table has the truth of every cell (Dong and Yang, ICLR 2020)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs.common import (
    ORDER,
    TERMS,
    Diagnosed,
    Divided,
    Evolution,
    Order,
    Precision,
    SmallImages,
    SmallImageTraining,
    Trained,
)
from repro.configs.parameters import parameter
from repro.configs.record import NOT_STATED, ONE_CORE, Experiment, Hours
from repro.configs.spos_search import CANDIDATES


@dataclass(frozen=True)
class CellNetworks(SmallImages):
    """The networks of NAS-Bench-201, and how each cell that is found is looked up."""

    precision: Precision = parameter("float32", "of the steps; auto takes bf16 (autocast) on a GPU that has it")
    channels: int = parameter(16, "channels of the first stage; each of two more has twice as many", low=1)
    cells: int = parameter(5, "cells in a stage: 5 in the benchmark, and in its own searches", low=1)


@dataclass(frozen=True)
class CellSearch(CellNetworks, SmallImageTraining, Divided, Diagnosed):
    """DARTS in NAS-Bench-201's space, by the benchmark's protocol where that differs from DARTS A.1.1."""

    IDLE: ClassVar = {
        "order": {
            1: ("xi_scale", "eps", "terms"),
            2: ("terms",),
            "exact": ("eps", "terms"),
            "implicit": ("eps",),
            "unrolled": ("eps",),
        }
    }

    order: Order = parameter(1, ORDER)
    terms: int = parameter(3, TERMS, low=1, high=20)
    epochs: int = parameter(50, "passes over the images that train w", low=1)
    batch: int = parameter(64, "images in a batch, for w and for alpha", low=2)
    train_fraction: float = parameter(0.5, "share of the images that trains w; the rest trains alpha", above=0, below=1)
    weight_decay: float = parameter(5e-4, "SGD's weight decay; 0: none", low=0)
    lr_min: float = parameter(0.001, "SGD's last learning rate; 0: it falls to nothing", low=0)
    alpha_lr: float = parameter(3e-4, "Adam's learning rate for alpha; 0: alpha stays", low=0)
    alpha_weight_decay: float = parameter(1e-3, "weight decay of alpha; 0: none", low=0)
    xi_scale: float = parameter(1.0, "xi in units of the current learning rate of w; 0: no step", low=0)
    eps: float = parameter(0.01, "step of the finite difference times the gradient's norm (Eq. 8)", low=1e-12)
    temperature: float = parameter(
        1.0,
        "T of the last epoch in softmax(alpha / T), which falls from 1 geometrically; 1: as published",
        above=0,
        high=1,
    )


@dataclass(frozen=True)
class CellPaths(CellNetworks, Trained, Evolution):
    """SPOS in NAS-Bench-201's space: uniform paths, then evolution and random search over the shared weights."""

    sampling: Literal["uniform", "fair"] = parameter(
        "uniform", "one path a step; or as many as an edge has operations, each of which is trained once"
    )
    epochs: int = parameter(230, "passes over the images that train the supernet", low=1)
    batch: int = parameter(256, "images in a step", low=2)
    lr: float = parameter(0.125, "SGD's first learning rate; linear to 0 over the steps", above=0)
    momentum: float = parameter(0.9, "SGD's momentum; 0: none", low=0, high=1)
    weight_decay: float = parameter(4e-5, "SGD's weight decay, for weights of more than one dimension; 0: none", low=0)
    label_smoothing: float = parameter(0.1, "share of the label spread over all classes; 0: none", low=0, below=1)
    valid_images: int = parameter(
        5_000, "training images kept out, as many of each class: candidates are judged by them", low=1
    )
    bn_images: int = parameter(20_000, "training images that give a candidate its BatchNorm statistics", low=2)
    search_every: int = parameter(10, "epochs between searches over the weights so far; the last has one too", low=1)
    ranked: int = parameter(1_000, "random cells whose ranking is held against the table after the last epoch", low=2)


# At desk, on one thread, a run is to take 20 to 25 minutes. Images are halved, and 8 channels with 2 cells a stage keep
# the benchmark's three stages and two reductions at a tenth of its multiply-adds; a search has 5,000 images for w and
# 5,000 for alpha, 25 times. Alpha's rate times steps is that of the benchmark's 50 epochs, 3e-4 x 19,550 = 5.9.
LOOKS_AT = {"eigenvalue": "exact", "gap": True}  # 30 alphas
ANNEALED = {"temperature": 0.05}
# A step of fair sampling trains five paths: a fifth of the epochs trains as many
FAIR = {
    name: {"epochs": epochs // 5, "search_every": 2} for name, epochs in (("paper", 230), ("short", 60), ("desk", 25))
}
SMALL = {"dataset": "digits", "threads": 1, "channels": 4, "cells": 1}
DESK = {"pixels": 16, "threads": 1, "channels": 8, "cells": 2}
AS_SECOND = f"{NOT_STATED} a search of second order"
AS_DARTS = "NAS-Bench-201: its own searches took 10,890 s (first order) and 29,902 s (second)"

NB201_SEARCH = Experiment(
    name="nb201-search",
    title="DARTS where every cell's accuracy is known",
    section="NAS-Bench-201, Sect. 4",
    claim="searches of first and of second order end at cells of skip connections, with a true accuracy of 54.30 %",
    cost="3.0 (first order) or 8.3 (second order) GPU hours",
    hours=(
        Hours(8.3, "published", AS_DARTS, 1.69, {"order": 2}),
        *(Hours(8.3, "assumed", AS_SECOND, 1.69, {"order": order}) for order in ("exact", "implicit", "unrolled")),
        Hours(3.0, "published", AS_DARTS, 1.69),
    ),
    smoke_seconds=9,
    desk_hours=(
        Hours(0.19, "shipped", ONE_CORE, where={"order": 1}),
        Hours(0.32, "shipped", ONE_CORE, where={"order": 2}),
        Hours(0.34, "shipped", ONE_CORE, where={"order": "exact"}),
    ),
    parameters=CellSearch,
    sizes={
        "smoke": {**SMALL, "images": 640, "batch": 32, "epochs": 6, "alpha_lr": 0.03},
        "desk": {**DESK, "images": 10_000, "epochs": 25, "alpha_lr": 3e-3, **LOOKS_AT},
        "short": {"epochs": 25},
    },
    notebook="40_nb201_search.ipynb",
    recipe="nb201_search:search",
    searches=True,
)

NB201_PATHS = Experiment(
    name="nb201-paths",
    title="Single paths where every cell's accuracy is known",
    section="SPOS Sect. 3 and 4, in NAS-Bench-201's space",
    claim="not in the papers: do inherited weights rank the cells of a space whose truth is known?",
    cost="not stated",
    hours=(Hours(8.0, "assumed", "not stated; counted as 8", 1.69),),
    smoke_seconds=10,
    parameters=CellPaths,
    sizes={
        "smoke": {**SMALL, "batch": 64, "lr": 0.1, "epochs": 16, "valid_images": 300, "bn_images": 256}
        | {"search_every": 4, "generations": 3, "population": 8, "parents": 3, "mutation": 3, "crossover": 3}
        | {"ranked": 24},
        "desk": {**DESK, "batch": 128, "lr": 0.0625, "epochs": 25, "valid_images": 2_000, "bn_images": 1_280}
        | {"search_every": 5, **CANDIDATES},
        "short": {"epochs": 60, "bn_images": 10_000},
    },
    notebook="41_nb201_paths.ipynb",
    recipe="nb201_paths:search_paths",
    searches=True,
)
