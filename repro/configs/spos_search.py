"""What is done with a trained supernet: evolution over its paths, its ranking against the truth (SPOS Sect. 3, 4)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from repro.configs.common import Evolution, Trained
from repro.configs.parameters import parameter
from repro.configs.record import DAY, NOT_STATED, PATH, Experiment, Hours
from repro.configs.references import Reference, Source
from repro.configs.spos_networks import MACRO_SUPERNET, SinglePathNetworks


class Limit(NamedTuple):
    """How a cost is limited: by which parameter, in which unit, and what results call it."""

    parameter: str
    unit: float
    measure: str


GIGA = 2**30  # the unit of the paper's BitOps
LIMITS = {
    "multiply-adds": Limit("mult_adds", 1e6, "mult_adds_millions"),
    "parameters": Limit("parameters", 1e6, "parameters_millions"),
    "BitOps": Limit("bitops", GIGA, "bitops_giga"),
    "milliseconds": Limit("latency", 1, "latency_milliseconds"),
}


@dataclass(frozen=True)
class PathSearch(SinglePathNetworks, Evolution):
    """SPOS Sect. 3, Algorithm 1: evolution over the paths of a trained supernet, within hard limits."""

    supernet: Reference = parameter(
        "run:spos-supernet", "the trained supernet, of the experiment's space if it names none"
    )
    bn_images: int = parameter(
        20_000, "training images that give a candidate its BatchNorm statistics", low=2, formerly="recalibration"
    )
    mutation_probability: float = parameter(
        0.1, "of a new choice at each place of a mutant", above=0, high=1, formerly="probability"
    )
    mult_adds: float = parameter(330.0, "largest number of multiply-adds, in millions; 0: any", low=0)
    parameters: float = parameter(0.0, "largest number of parameters, in millions; 0: any", low=0)
    bitops: float = parameter(0.0, "largest number of BitOps, in units of 2 to the 30; 0: any", low=0)


@dataclass(frozen=True)
class SposSearch(PathSearch):
    """A search within a limit of latency too."""

    latency: float = parameter(0.0, "largest latency by the table, in milliseconds of its batch; 0: any", low=0)
    latency_of: str = parameter("", "a network whose latency by the table is the largest; empty: any", before="")
    latency_table: Source = parameter("", "the table of measured blocks, run:spos-latency; empty: none", before="")


@dataclass(frozen=True)
class SposBits(SposSearch):
    """SPOS Sect. 4, mixed-precision quantisation search."""

    mult_adds: float = parameter(0.0, "largest number of multiply-adds, in millions; 0: any", low=0)
    bitops: float = parameter(
        6.32, "largest number of BitOps, in units of 2 to the 30; 6.32 is that of 2W2A; 0: any", low=0
    )


@dataclass(frozen=True)
class SposEvolution(PathSearch):
    """SPOS Figures 2 and 3: evolution on supernets of both samplings, and random search, iteration by iteration."""

    supernet: Reference = parameter("run:spos-supernet", "supernets trained by sampling uniformly over the cost")
    uniform: Reference = parameter("run:spos-supernet", "the same, trained by sampling uniformly over the paths")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2), "seeds of the supernets, each searched on", low=0)


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


TINY = {"threads": 1, "bn_images": 512, "generations": 4, "population": 16, "parents": 4, "mutation": 6, "crossover": 6}
DESK = {"threads": 1, "bn_images": 1_280}
MACRO = "run:spos-supernet/space=macro"  # at desk
CANDIDATES = {"generations": 10, "population": 20, "parents": 4, "mutation": 10, "crossover": 10}  # at desk
AS_BLOCKS = f"{NOT_STATED} spos-blocks"


def of_space(space: str) -> dict[str, dict[str, str]]:
    """Return what the runs that a search names are of where they do not say so."""
    return {"supernet": {"space": space}, "latency_table": {"space": space}}


BLOCKS = Experiment(
    name="spos-blocks",
    title="Evolution over building blocks",
    section="SPOS Sect. 3, Algorithm 1; Sect. 4, building block search",
    claim="{spos_blocks.found-blocks.top1_percent} % top-1 accuracy on ImageNet with "
    "{spos_blocks.found-blocks.flops_M}M multiply-adds, above random search on the same supernet",
    cost="less than 1 GPU day",
    hours=(Hours(DAY, "published", "SPOS Table 7: less than 1 GPU day, counted as 1"),),
    smoke_seconds=13,
    parameters=SposSearch,
    sizes={
        "smoke": {**TINY, "mult_adds": 0.15},
        "desk": {**DESK, **CANDIDATES, "mult_adds": 26.25},
        "short": {"bn_images": 10_000, "mult_adds": 105.0},
    },
    notebook="31_spos_blocks.ipynb",
    recipe="spos_search:search_paths",
    fills=of_space("blocks"),
    gives=PATH,
)

CHANNELS = Experiment(
    name="spos-channels",
    title="Evolution over channels",
    section="SPOS Sect. 3 and 4, channel search",
    claim="{spos_channels.found-channels.top1_percent} % top-1 accuracy on ImageNet with "
    "{spos_channels.found-channels.flops_M}M multiply-adds, with channels searched on the blocks that were found",
    cost="not stated",
    hours=(Hours(DAY, "assumed", AS_BLOCKS),),
    smoke_seconds=12,
    parameters=SposSearch,
    sizes={**BLOCKS.sizes},
    notebook="32_spos_channels.ipynb",
    recipe="spos_search:search_paths",
    fills=of_space("channels"),
    gives=PATH,
)

BITS = Experiment(
    name="spos-bits",
    title="Evolution over bit widths and channels",
    section="SPOS Sect. 3 and 4, mixed-precision quantisation search",
    claim="ResNet-18: {spos_bits.resnet18-within-2W2A.top1_percent}, "
    "{spos_bits.resnet18-within-3W3A.top1_percent} and {spos_bits.resnet18-within-4W4A.top1_percent} % "
    "with fewer BitOps than 2, 3 and 4 bits everywhere",
    cost="not stated",
    hours=(Hours(DAY, "assumed", AS_BLOCKS),),
    smoke_seconds=12,
    parameters=SposBits,
    sizes={
        "smoke": {**TINY, "bitops": 0.0015},
        "desk": {**DESK, **CANDIDATES, "bitops": 0.52},
        "short": {"bn_images": 10_000, "bitops": 2.07},
    },
    notebook="33_spos_bits.ipynb",
    recipe="spos_search:search_paths",
    fills=of_space("bits"),
    gives=PATH,
)

EVOLUTION = Experiment(
    name="spos-evolution",
    title="Figures 2 and 3: both samplings, and evolution against random search",
    section="SPOS Sect. 4, Figures 2 and 3",
    claim="the best candidate's held-out accuracy rises from about 67.9 to 68.7 % in 20 iterations, a little higher "
    "where the cost is sampled first; random search stays below evolution",
    cost="not stated",
    hours=(Hours(9 * DAY, "assumed", f"{NOT_STATED} 9 of spos-blocks"),),
    smoke_seconds=12,
    parameters=SposEvolution,
    sizes={
        "smoke": {**TINY, "generations": 3, "population": 8, "mutation": 3, "crossover": 3, "mult_adds": 0.15}
        | {"search_seeds": (0, 1)},
        "desk": {**DESK, **CANDIDATES, "mult_adds": 0.0, "search_seeds": (0, 1, 2, 3)}
        | {"supernet": MACRO, "uniform": MACRO},
        "short": {"bn_images": 10_000, "mult_adds": 105.0, "search_seeds": (0, 1)},
    },
    notebook="37_spos_evolution.ipynb",
    recipe="spos_evolution:follow_iterations",
    fills={**of_space("blocks"), "uniform": {"space": "blocks", "sampling": "uniform"}},
)

CORRELATION = Experiment(
    name="spos-correlation",
    title="Does the supernet rank networks as training from scratch does?",
    section="SPOS Sect. 4, correlation",
    claim="a positive Kendall tau between both rankings",
    cost="not stated",
    hours=(Hours(DAY / 10, "assumed", "not stated; 100 networks judged, a tenth of spos-blocks' 1,000"),),
    smoke_seconds=22,
    parameters=SposCorrelation,
    sizes={
        "smoke": {"threads": 1, "benchmark": "trained", "bn_images": 512, "iterations": 40},
        "desk": {**DESK, "networks": 200},
        "short": {"bn_images": 10_000},
        "paper": {"supernet": MACRO_SUPERNET},  # not in the paper: the benchmark's data set
    },
    notebook="35_spos_correlation.ipynb",
    recipe="spos_correlation:correlate",
    fills={"supernet": {"space": "macro"}},
)
