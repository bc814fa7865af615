"""The parameters of the SPOS experiments; defaults are the paper's, or the released code's where that is silent."""

from dataclasses import dataclass
from typing import Literal

from repro.hyperparameters import PIXELS, Accelerated, Pixels, Precision, Trained, refuse_halved
from repro.parameters import parameter
from repro.references import Reference, Source

Blocks = Literal["all", "shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception"]


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
    workers: int = parameter(
        4, "processes that decode imagenet's pictures; 0: the training one", identifies=False, low=0, high=1024
    )

    def check(self) -> None:
        """Refuse to halve images that are not CIFAR-10's."""
        refuse_halved(self.pixels, self.dataset)


@dataclass(frozen=True)
class PathTraining(PathImages, Trained):
    """What a supernet and a network of its space have in common: images, layout and training (SPOS Sect. 4)."""

    space: Literal["blocks", "channels", "bits", "macro"] = parameter(
        "blocks", "choices: blocks; blocks and channels; bits and channels of a ResNet; NAS-Bench-Macro's blocks"
    )
    blocks: Blocks = parameter("all", "choice blocks of the spaces blocks and channels: all four or one of them")
    depth: Literal[18, 34] = parameter(18, "layers of the ResNet in the space bits")
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


@dataclass(frozen=True)
class SposSupernet(PathTraining):
    """SPOS Sect. 3: a supernet trained along one sampled path a step."""

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
    weights: str = parameter("", "the authors' supernet checkpoint, taken as it is; empty to train", file="content")


@dataclass(frozen=True)
class SposSearch(SinglePathNetworks):
    """SPOS Sect. 3, Algorithm 1: evolution over the paths of a trained supernet, within hard limits."""

    supernet: Reference = parameter(
        "run:spos-supernet", "the trained supernet, of the experiment's space if it names none"
    )
    bn_images: int = parameter(
        20_000, "training images that give a candidate its BatchNorm statistics", low=2, formerly="recalibration"
    )
    generations: int = parameter(20, "generations", low=1)
    population: int = parameter(50, "candidates in a generation", low=1)
    parents: int = parameter(10, "best candidates of all so far that have children", low=1)
    mutation: int = parameter(25, "mutants in a generation; 0: none", low=0)
    crossover: int = parameter(25, "crossings in a generation; the rest is drawn at random; 0: none", low=0)
    mutation_probability: float = parameter(
        0.1, "of a new choice at each place of a mutant", above=0, high=1, formerly="probability"
    )
    mult_adds: float = parameter(330.0, "largest number of multiply-adds, in millions; 0: any", low=0)
    parameters: float = parameter(0.0, "largest number of parameters, in millions; 0: any", low=0)
    bitops: float = parameter(0.0, "largest number of BitOps, in units of 2 to the 30; 0: any", low=0)
    latency: float = parameter(0.0, "largest latency of one image, in milliseconds on this machine; 0: any", low=0)


@dataclass(frozen=True)
class SposBlocks(SposSearch):
    """SPOS Sect. 4, building block search."""


@dataclass(frozen=True)
class SposChannels(SposSearch):
    """SPOS Sect. 4, channel search, together with blocks in one gene."""


@dataclass(frozen=True)
class SposBits(SposSearch):
    """SPOS Sect. 4, mixed-precision quantisation search."""

    mult_adds: float = parameter(0.0, "largest number of multiply-adds, in millions; 0: any", low=0)
    bitops: float = parameter(
        6.32, "largest number of BitOps, in units of 2 to the 30; 6.32 is that of 2W2A; 0: any", low=0
    )


@dataclass(frozen=True)
class SposRetrain(PathTraining):
    """SPOS Sect. 4: one network of a space trained from scratch and tested."""

    space: Literal["blocks", "channels", "bits"] = parameter("blocks", "the space that the network is of")
    architecture: Source = parameter(
        "run:spos-blocks",
        "found by a search, published, one choice for all layers, random, or a file",
        file="content",
    )
    winner: Literal["evolution", "random"] = parameter("evolution", "whose best network of a search")
    mult_adds: float = parameter(
        330.0, "largest number of multiply-adds of a random network, in millions; 0: any", low=0
    )
    iterations: int = parameter(300_000, "training steps, before a pass at rate 0 for BatchNorm's statistics", low=1)
    weights: str = parameter("", "a checkpoint of the authors, tested as it is; empty to train", file="content")


@dataclass(frozen=True)
class SposCorrelation(SinglePathNetworks, Trained):
    """SPOS Sect. 4, correlation: the ranking by inherited weights against that by training from scratch."""

    supernet: Reference = parameter("run:spos-supernet", "the trained supernet, of the space macro if it names none")
    benchmark: Literal["nas-bench-macro", "trained"] = parameter(
        "nas-bench-macro", "where the truth is from: a table in the data folder, or networks trained here"
    )
    networks: int = parameter(100, "networks compared, drawn at random; all, where there are fewer", low=2)
    bn_images: int = parameter(
        20_000, "training images that give a candidate its BatchNorm statistics", low=2, formerly="recalibration"
    )
    iterations: int = parameter(0, "training steps of each network trained here; 0 for the supernet's", low=0)


@dataclass(frozen=True)
class SposCost(PathImages):
    """SPOS Table 7: a training step of the whole mixture beside one along a sampled path, of the same supernet."""

    space: Literal["blocks", "macro"] = parameter("blocks", "choices: building blocks, or NAS-Bench-Macro's")
    batch: int = parameter(256, "images in a step", low=2)
    paths: int = parameter(10, "paths drawn uniformly, over which memory and time are averaged", low=1)
    steps: int = parameter(5, "steps along each path, and as many of the mixture, that are timed in turn", low=1)
    warm_up_steps: int = parameter(5, "steps of either before those; 0: none", low=0)
