"""Cells trained on CIFAR-10, briefly to choose among them, or in full (DARTS Sect. 3.2, A.2.1)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs.cifar10_search import DIGITS
from repro.configs.common import GENOTYPE, WEIGHTS, Divided, SmallImageTraining, refuse_snapshot
from repro.configs.parameters import parameter
from repro.configs.record import CELL, DAY, SIZE, Experiment, Hours, Row, best_of
from repro.configs.references import Reference, Source
from repro.configs.widths import reference_cells
from repro.spaces.genotypes import ConvGenotype


@dataclass(frozen=True)
class ConvTraining(SmallImageTraining):
    """A discrete network trained from scratch (A.2.1)."""

    batch: int = parameter(96, "images in a batch", low=2)
    channels: int = parameter(36, "channels of the first cell", low=1)
    cells: int = parameter(20, "cells; reductions at one and two thirds", low=1)
    cutout: int = parameter(16, "side of the square cut out of each image, in pixels; 0: none", low=0)
    drop_path_rate: float = parameter(
        0.2,
        "probability of dropping a path, reached linearly over the epochs; 0: none",
        low=0,
        below=1,
        formerly="drop_path",
    )
    auxiliary_weight: float = parameter(
        0.4, "weight of the auxiliary head's loss; 0: no head", low=0, formerly="auxiliary"
    )
    compile: Literal["auto", "off"] = parameter(
        "off", "auto compiles the network on a GPU where that works", identifies=False
    )


@dataclass(frozen=True)
class CifarEval(ConvTraining, Divided):
    """DARTS Sect. 3.2 and A.2.1: a cell trained from scratch on CIFAR-10."""

    CELL: ClassVar = ConvGenotype

    genotype: Source = parameter("run:cifar10-select", GENOTYPE, file="content")
    snapshot: int = parameter(0, "epoch of the search whose cell is trained; 0: its last", low=0, before=0)
    valid_images: int = parameter(
        0,
        "last training images, held out: they give a validation error; 0: none",
        low=0,
        before=0,
    )
    epochs: int = parameter(600, "passes over the training images", low=1)
    weights: str = parameter("", WEIGHTS, file="content")
    test_each_epoch: bool = parameter(
        False, "tests after every epoch too, as the released code does; the training stays the same", identifies=False
    )

    def check(self) -> None:
        """Refuse a snapshot of what is no search."""
        super().check()
        refuse_snapshot(self.snapshot, self.genotype)


@dataclass(frozen=True)
class ShortConvTraining(ConvTraining):
    """DARTS Sect. 3.2: cells compared by validation error after a short training; no test image is touched."""

    epochs: int = parameter(100, "passes over the images that train", low=1)
    train_fraction: float = parameter(0.5, "share of the images that trains; the rest validates", above=0, below=1)


@dataclass(frozen=True)
class CifarSelect(ShortConvTraining):
    """DARTS Sect. 3.2: the best of the cells that several searches found."""

    search: Reference = parameter("run:cifar10-search", "the search whose cells are compared")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)


@dataclass(frozen=True)
class CifarRandom(ShortConvTraining):
    """DARTS Sect. 3.2: the best of randomly drawn cells."""

    samples: int = parameter(24, "cells drawn", low=1)
    nodes: int = parameter(4, "intermediate nodes in a cell", low=1)


@dataclass(frozen=True)
class CifarProgress(ShortConvTraining):
    """DARTS Figure 3, left: the cells of a search at snapshots, each trained briefly."""

    search: Reference = parameter("run:cifar10-search", "the search whose cells are trained")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)
    snapshots: tuple[int, ...] = parameter((1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50), "epochs of the search", low=1)

    def check(self) -> None:
        """Refuse a data set on which the width of the published cells is not known."""
        super().check()
        reference_cells(self.dataset)


TINY = {**DIGITS, "batch": 32, "channels": 8, "cutout": 2}  # a batch of 96 leaves too few steps to beat chance
DESK = {"pixels": 16, "threads": 1, "images": 20_000, "channels": 8, "cells": 5, "cutout": 8}

SELECT = Experiment(
    name="cifar10-select",
    title="The best of several searches for convolutional cells",
    section="DARTS Sect. 3.2",
    claim="one of four cells, chosen by validation error after 100 epochs",
    cost="1 GPU day",
    hours=(Hours(DAY, "published", "DARTS Table 1: 1 GPU day", 3.3),),
    smoke_seconds=9,
    parameters=CifarSelect,
    sizes={
        "smoke": {**TINY, "epochs": 2, "search_seeds": (0, 1)},
        "desk": {**DESK, "epochs": 4},
        "short": {"epochs": 10},
    },
    notebook="02_cifar10_select.ipynb",
    recipe="cifar10_cells:select",
    gives=CELL,
)

RANDOM = Experiment(
    name="cifar10-random",
    title="The best of random convolutional cells",
    section="DARTS Sect. 3.2, Table 1",
    claim="test error 3.29 ± 0.15 %: the best of 24 random cells, chosen as the searched cells are",
    cost="4 GPU days",
    hours=(Hours(4 * DAY, "published", "DARTS Table 1: 4 GPU days", 3.3),),
    smoke_seconds=10,
    parameters=CifarRandom,
    sizes={
        "smoke": {**TINY, "epochs": 2, "samples": 3, "nodes": 2},
        "desk": {**DESK, "epochs": 4, "samples": 8},
        "short": {"epochs": 10, "samples": 4},
    },
    notebook="04_cifar10_random.ipynb",
    recipe="cifar10_cells:draw_randomly",
    searches=True,
    gives=CELL,
)

PROGRESS = Experiment(
    name="cifar10-progress",
    title="Figure 3, left: how the cells get better as the search goes on",
    section="DARTS Sect. 3.2, Figure 3",
    claim="the cells improve over the search and level off near NASNet-A's and AmoebaNet-A's error",
    cost="a short training for every snapshot of four searches",
    hours=(Hours(11 * DAY, "derived", "44 trainings like the four of cifar10-select's GPU day", 3.3),),
    smoke_seconds=13,
    parameters=CifarProgress,
    sizes={
        "smoke": {**TINY, "epochs": 2, "search_seeds": (0, 1), "snapshots": (1, 2, 4)},
        "desk": {**DESK, "epochs": 4, "search_seeds": (0, 1), "snapshots": (1, 2, 4, 7, 10)},
        "short": {"epochs": 10, "search_seeds": (0, 1), "snapshots": (1, 5, 10, 15, 20, 25)},
    },
    notebook="06_cifar10_progress.ipynb",
    recipe="cifar10_cells:follow_progress",
)

EVAL = Experiment(
    name="cifar10-eval",
    title="The found convolutional cell trained from scratch",
    section="DARTS Sect. 3.2, A.2.1, Table 1",
    claim="test error 3.00 ± 0.14 % (first order), 2.76 ± 0.09 % (second order), 3.3M parameters, 10 runs",
    cost="1.5 GPU days a run on a GTX 1080Ti",
    hours=(Hours(1.5 * DAY, "published", "DARTS Table 1: 1.5 GPU days", 3.3),),
    smoke_seconds=9,
    parameters=CifarEval,
    sizes={
        "smoke": {**TINY, "epochs": 6},
        "desk": {**DESK, "valid_images": 5_000, "epochs": 8, "genotype": "DARTS_V2"},
        "short": {"epochs": 100},
    },
    measures={"test_error_percent": "test_error", **SIZE},
    rows={
        "darts_table1_cifar10": {
            "nasnet-a-their-setup": Row({"genotype": "NASNET"}, "channels"),
            "amoebanet-a-their-setup": Row({"genotype": "AMOEBANET"}, "channels"),
            "random": Row({"genotype": "run:cifar10-random"}),
            "darts-1st": Row(best_of("run:cifar10-search/order=1")),
            "darts-2nd": Row(),
        },
        "darts_ablations": {
            "coordinate-descent": Row(best_of("run:cifar10-joint")),
            "simultaneous-sgd": Row(best_of("run:cifar10-joint/strategy=simultaneous")),
            "deeper-search": Row(best_of("run:cifar10-search/cells=20,channels=6")),
        },
    },
    notebook="03_cifar10_eval.ipynb",
    recipe="cifar10_cells:evaluate_cell",
    gives=CELL,
)
