"""Supernets of single paths: what their training has in common with that of one network, and their steps timed."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs import record
from repro.configs.common import PIXELS, WEIGHTS, Accelerated, Pixels, Precision, Trained, refuse_halved
from repro.configs.parameters import parameter
from repro.configs.record import DAY, NOT_STATED, STEPS, Experiment, Hours
from repro.configs.references import Reference, Source
from repro.errors import UsageError, unknown
from repro.spaces.path_spaces import BLOCKS, SPACES


@dataclass(frozen=True)
class SinglePathNetworks(Accelerated):
    """What every experiment on single-path networks has: they compute in float32, as the authors' code does."""

    precision: Precision = parameter(
        "float32",
        "of networks that train or are judged; auto takes bf16 (autocast) on a GPU that has it",
        before="float32",
    )


@dataclass(frozen=True)
class PathImages(SinglePathNetworks):
    """The images that a supernet, or a network of its space, is trained on."""

    IDLE: ClassVar = {"dataset": dict.fromkeys(("cifar10", "digits"), ("folder", "classes"))}

    dataset: Literal["imagenet", "cifar10", "digits"] = parameter(
        "imagenet", "imagenet, cifar10, or scikit-learn's digits; each with its layout of the networks", kind="data"
    )
    images: int = parameter(0, "training images used; 0 for all", low=0, kind="data")
    pixels: Pixels = parameter(0, PIXELS, kind="data", before=0)
    folder: str = parameter(
        "imagenet",
        "imagenet's train/CLASS/ and val/CLASS/; a path, or a name in the data folder",
        kind="data",
        file="listing",
    )
    classes: int = parameter(1000, "class folders expected in imagenet's", low=2, kind="data", before=1000)
    workers: int = parameter(
        -1,
        "processes that decode imagenet's pictures; 0: the training one; -1: 4, on a GPU its cores",
        identifies=False,
        low=-1,
        high=1024,
    )

    def check(self) -> None:
        """Refuse to halve images that are not CIFAR-10's."""
        refuse_halved(self.pixels, self.dataset)


@dataclass(frozen=True)
class SinglePathTraining(PathImages, Trained):
    """What a supernet and a network of its space have in common: images, layout and training (SPOS Sect. 4)."""

    space: Literal[tuple(SPACES)] = parameter(
        "blocks", "choices: blocks; blocks and channels; bits and channels of a ResNet; NAS-Bench-Macro's blocks"
    )
    blocks: Source = parameter(
        "all", "choice blocks, in blocks and channels: all, one, or those of SPOS or run:spos-blocks, to fix"
    )
    depth: Literal[18, 34] = parameter(18, "layers of the ResNet in the space bits")
    ends_bits: Literal[4, 8, 32] = parameter(32, "of first and last layer in the space bits; 32: float", before=32)
    width: float = parameter(1.0, "factor of all numbers of channels; 1 is the published layout", above=0)
    iterations: int = parameter(150_000, "training steps", low=1)
    batch: int = parameter(1024, "images in a step; what is left of a pass makes a smaller one on imagenet only", low=2)
    lr: float = parameter(0.5, "SGD's first learning rate; linear to 0 over the steps", above=0)
    momentum: float = parameter(0.9, "SGD's momentum; 0: none", low=0, high=1)
    weight_decay: float = parameter(4e-5, "SGD's weight decay, for weights of more than one dimension; 0: none", low=0)
    label_smoothing: float = parameter(0.1, "share of the label spread over all classes; 0: none", low=0, below=1)
    dropout: float = parameter(
        0.1, "dropout before the classifier, in the spaces blocks and channels; 0: none", low=0, below=1
    )

    def check(self) -> None:
        """Refuse blocks that there are not, and a space in which fixed ones leave nothing to choose."""
        super().check()
        if self.blocks in ("all", *BLOCKS):
            return
        if isinstance(self.blocks, Reference) and self.blocks.experiment != "spos-blocks":
            raise UsageError(f"blocks={self.blocks}: only a search of blocks finds some; take run:spos-blocks")
        published = SPACES["blocks"].published
        if not isinstance(self.blocks, Reference) and self.blocks not in published:
            raise unknown("blocks", self.blocks, ["all", *BLOCKS, *published, "run:spos-blocks"])
        if self.space != "channels":
            raise UsageError(f"blocks={self.blocks} fixes the block of every layer: take space=channels")


@dataclass(frozen=True)
class SposSupernet(SinglePathTraining):
    """SPOS Sect. 3: a supernet trained along one sampled path a step."""

    clip_each: bool = parameter(
        True, "PACT's clips in the space bits: one for each number of bits, not one for all", before=True
    )
    sampling: Literal["bins", "uniform"] = parameter(
        "bins", "bins draws a bin of the cost, then a path within it; uniform draws among all paths"
    )
    valid_images: int = parameter(
        50_000, "training images kept out, as many of each class: candidates are judged by them", formerly="held_out"
    )
    bn_images: int = parameter(
        20_000, "training images that give a candidate its BatchNorm statistics", low=2, formerly="recalibration"
    )
    evaluated_paths: int = parameter(10, "random paths judged after the last step", low=1, formerly="judged")
    weights: str = parameter("", WEIGHTS, file="content")


@dataclass(frozen=True)
class SposCost(PathImages):
    """SPOS Table 7: a training step along a sampled path beside one along two and one of the whole mixture."""

    space: Literal[tuple(name for name, space in SPACES.items() if len(space.choices) == 1)] = parameter(
        "blocks", "choices: building blocks, or NAS-Bench-Macro's"
    )
    batch: int = parameter(256, "images in a step", low=2)
    paths: int = parameter(10, "paths drawn uniformly, over which memory and time are averaged", low=1)
    steps: int = parameter(5, "steps along each path, and as many of the mixture, that are timed in turn", low=1)
    warm_up_steps: int = parameter(5, "steps of either before those; 0: none", low=0)


TINY = {"dataset": "digits", "threads": 1, "batch": 64, "lr": 0.3, "iterations": 120}
DESK = {"pixels": 16, "threads": 1, "dataset": "cifar10", "batch": 128}
DESK_TRAINING = {**DESK, "lr": 0.0625, "iterations": 8_000}
SHORT = {"dataset": "cifar10", "batch": 256, "lr": 0.125}
MACRO_SUPERNET = "run:spos-supernet/dataset=cifar10,iterations=40000,batch=256,lr=0.125,valid_images=5000"
OF_3X3 = {"space": "channels", "blocks": "shuffle_3x3"}
ON_FOUND = {"space": "channels", "blocks": "run:spos-blocks"}  # the paper's best; blocks and channels at once beside it
AS_BLOCKS = f"{NOT_STATED} the supernet of blocks"


SUPERNET = Experiment(
    name="spos-supernet",
    title="A supernet trained by uniform single-path sampling",
    section="SPOS Sect. 3",
    claim="one training serves every later search: 150,000 steps on ImageNet",
    cost="12 GPU days",
    hours=(
        Hours(12 * DAY, "published", "SPOS Table 7: 12 GPU days", 8.39, {"space": "blocks"}),
        Hours(12 * DAY, "assumed", AS_BLOCKS, 12.67, {"space": "channels"}),
        Hours(12 * DAY, "assumed", AS_BLOCKS, 15.92, {"space": "mobile"}),
        Hours(12 * DAY, "assumed", AS_BLOCKS, 17.17, {"space": "bits", "depth": 18}),
        Hours(12 * DAY, "assumed", AS_BLOCKS, 32.32, {"space": "bits"}),
        Hours(12 * DAY, "assumed", f"{AS_BLOCKS}, image by image", 4.17),
    ),
    smoke_seconds=8,
    parameters=SposSupernet,
    sizes={
        "smoke": {**TINY, "valid_images": 300, "bn_images": 512, "evaluated_paths": 4},
        "desk": {**DESK_TRAINING, "valid_images": 5_000, "bn_images": 1_280},
        "short": {**SHORT, "iterations": 20_000, "valid_images": 5_000, "bn_images": 10_000},
    },
    notebook="30_spos_supernet.ipynb",
    recipe="spos_training:train_supernet",
    gives=record.SUPERNET,
)


COST = Experiment(
    name="spos-cost",
    title="Table 7: one path beside two and the whole mixture",
    section="SPOS Sect. 4, Table 7",
    claim="24 GB of memory for one path at a batch of 256, 37 for ProxylessNAS, which runs two, and 63 for FBNet, "
    "which trains the whole mixture: 1.54 and 2.63 times as much",
    cost="minutes",
    hours=(Hours(0.02, "assumed", STEPS),),
    parameters=SposCost,
    sizes={
        "smoke": {"dataset": "digits", "threads": 1, "batch": 64, "paths": 4, "steps": 3, "warm_up_steps": 2},
        "desk": {**DESK, "paths": 6, "steps": 3, "warm_up_steps": 2},
        "short": {"dataset": "cifar10"},
    },
    notebook="36_spos_cost.ipynb",
    recipe="step_cost:compare_paths",
)
