"""The parameters of every experiment; defaults are the papers' (where paper and code differ, README says which)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.errors import UsageError
from repro.genotypes import ConvGenotype
from repro.parameters import Parameters, parameter
from repro.references import Reference, Source
from repro.widths import reference_cells

ImageData = Literal["cifar10", "digits"]
Pixels = Literal[0, 16]
PIXELS = "side of an image; 16 halves cifar10's by averaging four pixels, 0: as they are"
Precision = Literal["auto", "float32", "tf32", "bf16"]


@dataclass(frozen=True)
class BilevelToy(Parameters):
    """Figure 2: gradient descent on alpha through one virtual step of w."""

    xi: tuple[float, ...] = parameter(
        (0.0, 0.01, 0.1, 0.5, 1.0), "rates of the virtual step, one run each; 0: no step", low=0
    )
    order: Literal[1, 2, "exact"] = parameter(
        "exact", "1 sets xi to 0; 2 differentiates by Eq. 8; exact by double backward"
    )
    alpha: float = parameter(2.0, "start of alpha")
    weight: float = parameter(-2.0, "start of w")
    alpha_lr: float = parameter(0.1, "learning rate of alpha", above=0)
    weight_lr: float = parameter(0.1, "learning rate of w", above=0)
    steps: int = parameter(300, "alternating steps", low=1)


@dataclass(frozen=True)
class Seeded(Parameters):
    """What every experiment has that computes with networks."""

    seed: int = parameter(0, "seed of initialisation, data order and augmentation", low=0, kind="seed")
    device: Literal["auto", "cpu", "cuda"] = parameter(
        "auto", "where it runs; auto takes a GPU if there is one", identifies=False
    )
    threads: int = parameter(0, "CPU threads; 0: one for each core", identifies=False, low=0, high=1024)


@dataclass(frozen=True)
class Trained(Seeded):
    """What every experiment has that trains networks."""

    checkpoint_minutes: float = parameter(
        10.0, "minutes between checkpoints within an epoch; 1e9: after whole epochs only", identifies=False, above=0
    )


@dataclass(frozen=True)
class Divided(Trained):
    """What every experiment has that several processes can share."""

    processes: int = parameter(
        1,
        "processes that share every batch, on GPUs each with its own; the numbers stay",
        identifies=False,
        low=1,
        high=4096,
    )


@dataclass(frozen=True)
class Accelerated(Seeded):
    """How steps compute on a GPU; what cannot be had is left out with a line that says why."""

    precision: Precision = parameter("auto", "of the steps that train; auto takes bf16 (autocast) on a GPU that has it")
    channels_last: Literal["auto", "off"] = parameter(
        "auto", "auto lays images out with channels last on a GPU", identifies=False
    )


@dataclass(frozen=True)
class SmallImages(Accelerated):
    """What every experiment on small images has."""

    capture: Literal["auto", "off"] = parameter(
        "auto", "auto replays each step from a CUDA graph on a GPU", identifies=False
    )

    dataset: ImageData = parameter("cifar10", "cifar10, or scikit-learn's digits", kind="data")
    images: int = parameter(0, "training images used; 0: all", low=0, kind="data")
    pixels: Pixels = parameter(0, PIXELS, kind="data", before=0)

    def check(self) -> None:
        """Refuse to halve images that are not CIFAR-10's."""
        refuse_halved(self.pixels, self.dataset)


@dataclass(frozen=True)
class ImageTraining(SmallImages, Trained):
    """What search and evaluation on small images share."""

    lr: float = parameter(0.025, "SGD's first learning rate; cosine over the epochs", above=0)
    momentum: float = parameter(0.9, "SGD's momentum; 0: none", low=0, high=1)
    weight_decay: float = parameter(3e-4, "SGD's weight decay; 0: none", low=0)
    grad_clip: float = parameter(5.0, "largest gradient norm; 0: any", low=0, formerly="clip")


def refuse_halved(pixels: int, dataset: str) -> None:
    """UsageError where images are to be halved that are not CIFAR-10's."""
    if pixels and dataset != "cifar10":
        raise UsageError(f"pixels={pixels} with dataset={dataset}: only cifar10 is halved; take pixels=0")


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
class SearchNetworkTraining(SearchSteps, ImageTraining, Divided):
    """What every search on CIFAR-10 has (A.1.1)."""

    epochs: int = parameter(50, "passes over the images that train w", low=1)
    lr_min: float = parameter(0.001, "SGD's last learning rate (0 in the paper, 0.001 in the released code)", low=0)
    alpha_weight_decay: float = parameter(1e-3, "weight decay of alpha; 0: none", low=0)
    recompute: bool = parameter(
        False, "computes cells again in the backward pass, which takes time and spares memory", identifies=False
    )
    alpha_init: float = parameter(1e-3, "deviation of alpha's start (0 in the paper, 1e-3 in the released code)", low=0)


@dataclass(frozen=True)
class CifarSearch(SearchNetworkTraining):
    """DARTS Sect. 3.1.1: search for convolutional cells."""

    IDLE: ClassVar = {"order": {1: ("xi_scale", "eps", "compare_every"), "exact": ("eps", "compare_every")}}

    order: Literal[1, 2, "exact"] = parameter(2, "1 sets xi to 0; 2 differentiates by Eq. 8; exact by double backward")
    compare_every: int = parameter(
        0, "steps between comparisons of Eq. 8 with the exact derivative, from epoch 2 on; 0: none", low=0, before=0
    )
    train_fraction: float = parameter(0.5, "share of the images that trains w; the rest trains alpha", above=0, below=1)
    alpha_lr: float = parameter(3e-4, "Adam's learning rate for alpha; 0: alpha stays", low=0)
    xi_scale: float = parameter(1.0, "xi in units of the current learning rate of w; 0: no step", low=0)
    eps: float = parameter(0.01, "step of the finite difference times the gradient's norm (Eq. 8)", low=1e-12)


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


@dataclass(frozen=True)
class CellTraining(ImageTraining):
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
class CifarEval(CellTraining, Divided):
    """DARTS Sect. 3.2 and A.2.1: a cell trained from scratch on CIFAR-10."""

    CELL: ClassVar = ConvGenotype

    genotype: Source = parameter(
        "run:cifar10-select", "a published cell, a JSON file, or run:EXPERIMENT for what it found", file="content"
    )
    snapshot: int = parameter(0, "epoch of the search whose cell is trained; 0: its last", low=0, before=0)
    valid_images: int = parameter(
        0,
        "last training images, held out: they give a validation error; 0: none",
        low=0,
        before=0,
    )
    epochs: int = parameter(600, "passes over the training images", low=1)
    weights: str = parameter("", "a checkpoint of the released code, tested as it is; empty to train", file="content")

    def check(self) -> None:
        """Refuse a snapshot of what is no search."""
        super().check()
        refuse_snapshot(self.snapshot, self.genotype)


def refuse_snapshot(snapshot: int, genotype: Source) -> None:
    """UsageError where an epoch of something is asked for that is no run."""
    if snapshot and not isinstance(genotype, Reference):
        raise UsageError(f"snapshot={snapshot} of genotype={genotype}: only a search has epochs; take run:EXPERIMENT")


@dataclass(frozen=True)
class ShortTraining(CellTraining):
    """DARTS Sect. 3.2: cells compared by validation error after a short training; no test image is touched."""

    epochs: int = parameter(100, "passes over the images that train", low=1)
    train_fraction: float = parameter(0.5, "share of the images that trains; the rest validates", above=0, below=1)


@dataclass(frozen=True)
class CifarSelect(ShortTraining):
    """DARTS Sect. 3.2: the best of the cells that several searches found."""

    search: Reference = parameter("run:cifar10-search", "the search whose cells are compared")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)


@dataclass(frozen=True)
class CifarRandom(ShortTraining):
    """DARTS Sect. 3.2: the best of randomly drawn cells."""

    samples: int = parameter(24, "cells drawn", low=1)
    nodes: int = parameter(4, "intermediate nodes in a cell", low=1)


@dataclass(frozen=True)
class CifarProgress(ShortTraining):
    """DARTS Figure 3, left: the cells of a search at snapshots, each trained briefly."""

    search: Reference = parameter("run:cifar10-search", "the search whose cells are trained")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)
    snapshots: tuple[int, ...] = parameter((1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50), "epochs of the search", low=1)

    def check(self) -> None:
        """Refuse a data set on which the width of the published cells is not known."""
        super().check()
        reference_cells(self.dataset)


@dataclass(frozen=True)
class ImageNetEval(Accelerated, Divided):
    """DARTS A.2.3: a cell trained from scratch on ImageNet, in the mobile setting."""

    PRESETS: ClassVar = {
        # Deviation: for several GPUs; 0.1 for every 128 images, reached over the first epochs (Goyal et al., 2017)
        "large-batch": {"batch": 1024, "lr": 0.8, "warmup": 5, "compile": "auto"}
    }
    CELL: ClassVar = ConvGenotype

    genotype: Source = parameter(
        "run:cifar10-select", "a published cell, a JSON file, or run:EXPERIMENT for what it found", file="content"
    )
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
        4,
        "processes that decode images, for each process that trains; 0: that one does",
        identifies=False,
        low=0,
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
    weights: str = parameter(
        "", "a run's folder or a checkpoint of the released code, tested as it is; empty to train", file="content"
    )
