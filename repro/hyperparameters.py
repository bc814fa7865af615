"""The parameters of every experiment; defaults are the papers' (where paper and code differ, README says which)."""

from dataclasses import dataclass
from typing import Literal

from repro.parameters import Parameters, parameter

ImageData = Literal["cifar10", "digits"]


@dataclass(frozen=True)
class BilevelToy(Parameters):
    """Figure 2: gradient descent on alpha through one virtual step of w."""

    xi: tuple[float, ...] = parameter((0.0, 0.01, 0.1, 0.5, 1.0), "rates of the virtual step, one run each", low=0)
    order: Literal[1, 2, "exact"] = parameter(
        "exact", "1 sets xi to 0; 2 differentiates by Eq. 8; exact by double backward"
    )
    alpha: float = parameter(2.0, "start of alpha")
    weight: float = parameter(-2.0, "start of w")
    alpha_lr: float = parameter(0.1, "learning rate of alpha", low=0)
    weight_lr: float = parameter(0.1, "learning rate of w", low=0)
    steps: int = parameter(300, "alternating steps", low=1)


@dataclass(frozen=True)
class Seeded(Parameters):
    """What every experiment that trains has."""

    seed: int = parameter(0, "seed of initialisation, data order and augmentation", low=0)
    device: Literal["auto", "cpu", "cuda"] = parameter("auto", "where it runs; auto takes a GPU if there is one")
    threads: int = parameter(0, "CPU threads; 0: one for each core", low=0)


@dataclass(frozen=True)
class ImageTraining(Seeded):
    """What search and evaluation on small images share."""

    dataset: ImageData = parameter("cifar10", "cifar10, or scikit-learn's digits")
    images: int = parameter(0, "training images used; 0: all", low=0)
    lr: float = parameter(0.025, "SGD's first learning rate; cosine over the epochs", low=0)
    momentum: float = parameter(0.9, "SGD's momentum", low=0, high=1)
    weight_decay: float = parameter(3e-4, "SGD's weight decay", low=0)
    clip: float = parameter(5.0, "largest gradient norm", low=0)


@dataclass(frozen=True)
class CifarSearch(ImageTraining):
    """DARTS Sect. 3.1.1: search for convolutional cells."""

    order: Literal[1, 2, "exact"] = parameter(2, "1 sets xi to 0; 2 differentiates by Eq. 8; exact by double backward")
    epochs: int = parameter(50, "passes over the half of the images that trains w", low=1)
    batch: int = parameter(64, "images in a batch, for w and for alpha", low=2)
    train_fraction: float = parameter(0.5, "share of the images that trains w; the rest trains alpha", above=0, below=1)
    channels: int = parameter(16, "channels of the first cell", low=1)
    cells: int = parameter(8, "cells; reductions at one and two thirds", low=1)
    nodes: int = parameter(4, "intermediate nodes in a cell", low=1)
    lr_min: float = parameter(0.001, "SGD's last learning rate (paper: 0; released code: 0.001)", low=0)
    alpha_lr: float = parameter(3e-4, "Adam's learning rate for alpha", low=0)
    alpha_weight_decay: float = parameter(1e-3, "Adam's weight decay for alpha", low=0)
    alpha_init: float = parameter(1e-3, "standard deviation of alpha's start (paper: 0; released code: 1e-3)", low=0)
    xi_scale: float = parameter(1.0, "xi in units of the current learning rate of w", low=0)
    eps: float = parameter(0.01, "finite difference: step times the norm of the gradient (Eq. 8)", low=1e-12)


@dataclass(frozen=True)
class CellTraining(ImageTraining):
    """A discrete network trained from scratch (A.2.1)."""

    batch: int = parameter(96, "images in a batch", low=2)
    channels: int = parameter(36, "channels of the first cell", low=1)
    cells: int = parameter(20, "cells; reductions at one and two thirds", low=1)
    cutout: int = parameter(16, "side of the square cut out of each image, in pixels; 0: none", low=0)
    drop_path: float = parameter(
        0.2, "probability of dropping a path, reached linearly over the epochs", low=0, below=1
    )
    auxiliary: float = parameter(0.4, "weight of the auxiliary head's loss; 0: no head", low=0)


@dataclass(frozen=True)
class CifarEval(CellTraining):
    """DARTS Sect. 3.2 and A.2.1: a cell trained from scratch on CIFAR-10."""

    genotype: str = parameter(
        "run:cifar10-search", "a published cell, a JSON file, or run:EXPERIMENT for the cell it found"
    )
    epochs: int = parameter(600, "passes over the training images", low=1)
