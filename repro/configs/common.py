"""The parameters that experiments of several kinds have, and the texts that explain them."""

from dataclasses import dataclass
from typing import Literal

from repro.configs.parameters import Parameters, parameter
from repro.configs.references import Reference, Source
from repro.errors import UsageError

ImageData = Literal["cifar10", "digits"]
Pixels = Literal[0, 16]
Eigenvalue = Literal["off", "exact", "power"]
Order = Literal[1, 2, "exact", "implicit", "unrolled"]
Precision = Literal["auto", "float32", "tf32", "bf16"]
MOST_ALPHAS = 256  # of an exact Hessian: the two cells of the published search have 224
PIXELS = "side of an image; 16 halves cifar10's by averaging four pixels, 0: as they are"
GENOTYPE = "a published cell, a file or text of one, or run:EXPERIMENT for what it found"
ORDER = "1 sets xi to 0; 2 takes Eq. 8; exact by double backward; beyond the paper: implicit, unrolled"
TERMS = "terms of implicit's Neumann series, or virtual steps of unrolled"
WEIGHTS = "a run's folder or the authors' checkpoint, tested as it is; empty to train"


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
        "off",
        "auto: channels last on a GPU in bf16; on an H200 gradients were wrong (docs/gpu.md)",
        identifies=False,
    )


@dataclass(frozen=True)
class Replayed(Seeded):
    """What every experiment has whose steps a GPU can replay."""

    capture: Literal["auto", "off"] = parameter(
        "auto", "auto replays each step from a CUDA graph on a GPU", identifies=False
    )


@dataclass(frozen=True)
class SmallImages(Replayed, Accelerated):
    """What every experiment on small images has."""

    dataset: ImageData = parameter("cifar10", "cifar10, or scikit-learn's digits", kind="data")
    images: int = parameter(0, "training images used; 0: all", low=0, kind="data")
    pixels: Pixels = parameter(0, PIXELS, kind="data", before=0)

    def check(self) -> None:
        """Refuse to halve images that are not CIFAR-10's."""
        refuse_halved(self.pixels, self.dataset)


@dataclass(frozen=True)
class SmallImageTraining(SmallImages, Trained):
    """What search and evaluation on small images share."""

    lr: float = parameter(0.025, "SGD's first learning rate; cosine over the epochs", above=0)
    momentum: float = parameter(0.9, "SGD's momentum; 0: none", low=0, high=1)
    weight_decay: float = parameter(3e-4, "SGD's weight decay; 0: none", low=0)
    grad_clip: float = parameter(5.0, "largest gradient norm; 0: any", low=0, formerly="clip")


@dataclass(frozen=True)
class Evolution(Parameters):
    """What every evolution over paths has (SPOS Algorithm 1); `spos.evolution.Settings` says the same to the search."""

    generations: int = parameter(20, "generations of a search", low=1)
    population: int = parameter(50, "candidates in a generation", low=1)
    parents: int = parameter(10, "best candidates of all so far that have children", low=1)
    mutation: int = parameter(25, "mutants in a generation; 0: none", low=0)
    crossover: int = parameter(25, "crossings in a generation; the rest is drawn at random; 0: none", low=0)
    mutation_probability: float = parameter(0.1, "of a new choice at each place of a mutant", above=0, high=1)


@dataclass(frozen=True)
class Diagnosed(Seeded):
    """What a search can be looked at for, after every epoch; it stays the same search (Zela et al., ICLR 2020)."""

    eigenvalue: Eigenvalue = parameter(
        "off",
        "largest of the Hessian in alpha; exact takes a backward pass for each alpha, power some dozen",
        before="off",
    )
    gap: bool = parameter(
        False,
        "validates the derived operations alone too, with the search's weights; takes as long again",
        before=False,
    )


def refuse_exact(eigenvalue: Eigenvalue, alphas: int) -> None:
    """UsageError for the exact Hessian over so many alphas that power iteration does."""
    if eigenvalue == "exact" and alphas > MOST_ALPHAS:
        raise UsageError(
            f"eigenvalue=exact: the Hessian over {alphas} alphas takes as many backward passes, and at most "
            f"{MOST_ALPHAS} are taken: give eigenvalue=power, or search a smaller cell"
        )


def refuse_halved(pixels: int, dataset: str) -> None:
    """UsageError where images are to be halved that are not CIFAR-10's."""
    if pixels and dataset != "cifar10":
        raise UsageError(f"pixels={pixels} with dataset={dataset}: only cifar10 is halved; take pixels=0")


def refuse_snapshot(snapshot: int, genotype: Source) -> None:
    """UsageError where an epoch of something is asked for that is no run."""
    if snapshot and not isinstance(genotype, Reference):
        raise UsageError(f"snapshot={snapshot} of genotype={genotype}: only a search has epochs; take run:EXPERIMENT")
