"""The experiment of DARTS on ImageNet (A.2.3)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs.common import GENOTYPE, WEIGHTS, Accelerated, Divided
from repro.configs.parameters import parameter
from repro.configs.record import CELL, DAY, SIZE, Experiment, Hours, Row
from repro.configs.references import Source
from repro.spaces.genotypes import ConvGenotype


@dataclass(frozen=True)
class ImageNetEval(Accelerated, Divided):
    """DARTS A.2.3: a cell trained from scratch on ImageNet, in the mobile setting."""

    PRESETS: ClassVar = {
        # Deviation: for several GPUs; 0.1 for every 128 images, reached over the first epochs (Goyal et al., 2017)
        "large-batch": {"batch": 1024, "lr": 0.8, "warmup": 5, "compile": "auto"}
    }
    IDLE: ClassVar = {"dataset": {"pictures": ("folder",)}}
    CELL: ClassVar = ConvGenotype

    genotype: Source = parameter("run:cifar10-select", GENOTYPE, file="content")
    preset: Literal["published", "large-batch"] = parameter(
        "published", "other defaults; large-batch, for several GPUs, deviates from the paper"
    )
    dataset: Literal["imagenet", "pictures"] = parameter(
        "imagenet", "imagenet, or photographs of scikit-learn", kind="data"
    )
    folder: str = parameter(
        "imagenet",
        "holds train/CLASS/ and val/CLASS/; a path, or a name in the data folder",
        kind="data",
        file="listing",
    )
    classes: int = parameter(1000, "class folders expected", low=2, kind="data")
    images: int = parameter(0, "training images used, of all classes alike; 0 for all", low=0, kind="data")
    unreadable: Literal["refuse", "skip"] = parameter(
        "refuse", "what to do with an image that cannot be decoded", kind="data"
    )
    workers: int = parameter(
        -1,
        "processes that decode images, for each that trains; 0: that one does; -1: 4, on a GPU its cores",
        identifies=False,
        low=-1,
        high=1024,
    )
    size: int = parameter(224, "side of an image, in pixels", low=32, high=10_000)
    resize: int = parameter(
        256, "short side of a validation image before its middle is cut out, in pixels", low=32, high=10_000
    )
    epochs: int = parameter(250, "passes over the training images", low=1)
    batch: int = parameter(128, "images in a batch of all processes together", low=2)
    lr: float = parameter(0.1, "SGD's first learning rate", above=0)
    lr_decay: float = parameter(0.97, "factor of the learning rate from epoch to epoch", above=0, high=1)
    warmup: float = parameter(0.0, "epochs over which the learning rate rises linearly; 0: none", low=0)
    momentum: float = parameter(0.9, "SGD's momentum; 0: none", low=0, high=1)
    weight_decay: float = parameter(3e-5, "SGD's weight decay; 0: none", low=0)
    grad_clip: float = parameter(5.0, "largest gradient norm; 0: any", low=0, formerly="clip")
    label_smoothing: float = parameter(0.1, "share of the target spread over all classes; 0: none", low=0, below=1)
    auxiliary_weight: float = parameter(
        0.4, "weight of the auxiliary head's loss; 0 for no head", low=0, formerly="auxiliary"
    )
    drop_path_rate: float = parameter(
        0.0,
        "probability of dropping a path, reached linearly over the epochs; 0: none",
        low=0,
        below=1,
        formerly="drop_path",
    )
    channels: int = parameter(48, "channels of the first cell", low=2)
    cells: int = parameter(14, "cells; reductions at one and two thirds", low=1)
    compile: Literal["auto", "off"] = parameter(
        "off", "auto compiles the network on a GPU where that works", identifies=False
    )
    weights: str = parameter("", WEIGHTS, file="content")


TINY = {"dataset": "pictures", "threads": 1, "workers": 0, "classes": 8, "size": 64, "resize": 72}
TINY |= {"batch": 16, "lr": 0.05, "channels": 8, "cells": 3, "epochs": 5}

EVAL = Experiment(
    name="imagenet-eval",
    title="The found cell in the mobile setting",
    section="DARTS A.2.3, Table 3",
    claim="top-1 error 26.7 %, top-5 error 8.7 %, 4.7M parameters, 574M multiply-adds",
    cost="12 GPU days",
    hours=(Hours(12 * DAY, "published", "DARTS A.2.3: 12 GPU days", 4.7),),
    smoke_seconds=9,
    parameters=ImageNetEval,
    # Deviation: in a tenth of the epochs the learning rate falls as far
    sizes={"smoke": TINY, "short": {"epochs": 25, "lr_decay": 0.737}},
    measures={
        "top1_error_percent": "top1_error",
        "top5_error_percent": "top5_error",
        **SIZE,
        "mult_adds_millions": "mult_adds_millions",
    },
    rows={"darts_table3_imagenet": {"darts": Row()}},
    notebook="07_imagenet_eval.ipynb",
    recipe="imagenet:evaluate_cell",
    gives=CELL,
)
