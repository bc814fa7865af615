"""Networks of SPOS's spaces that are trained from scratch: found, random, uniform and published ones (Sect. 4)."""

from dataclasses import dataclass
from typing import Literal

from repro.configs.common import WEIGHTS
from repro.configs.parameters import parameter
from repro.configs.record import DAY, NOT_STATED, Changes, Experiment, Hours, Row
from repro.configs.references import Source, reference
from repro.configs.spos_networks import DESK_TRAINING, OF_3X3, ON_FOUND, SHORT, TINY, SinglePathTraining
from repro.spaces.path_spaces import SPACES


@dataclass(frozen=True)
class SposRetrain(SinglePathTraining):
    """SPOS Sect. 4: one network of a space trained from scratch and tested."""

    space: Literal[tuple(name for name, space in SPACES.items() if space.trains)] = parameter(
        "blocks", "the space that the network is of"
    )
    architecture: Source = parameter(
        "run:spos-blocks",
        "found by a search, published, one choice for all layers, random, or a file",
        file="content",
    )
    winner: Literal["evolution", "random"] = parameter("evolution", "whose best network of a search")
    mult_adds: float = parameter(
        330.0, "largest number of multiply-adds of a random network, in millions; 0: any", low=0
    )
    least_fraction: float = parameter(
        0.0, "of mult_adds, that a random network has at least; 0: any", low=0, high=1, before=0.0
    )
    iterations: int = parameter(300_000, "training steps, before a pass at rate 0 for BatchNorm's statistics", low=1)
    weights: str = parameter("", WEIGHTS, file="content")


NEAR_THE_LIMIT = {"architecture": "random", "least_fraction": 0.97}  # 320M to 330M, where the paper's lie


def channels_of(where: Changes) -> str:
    """Return the name of the run that searches channels where the blocks are these."""
    return f"run:spos-channels/supernet=run:spos-supernet/blocks={where['blocks']}"


BITS = {  # depth of the ResNet -> BitOps (2^30) of the same bits everywhere, which limit a search
    18: {"2W2A": 6.32, "3W3A": 14.21, "4W4A": 25.27},
    34: {"2W2A": 13.21, "3W3A": 29.72, "4W4A": 52.83},
}
# Networks whose multiply-adds (millions, as printed) and latency limit the searches in ProxylessNAS's space
BASELINES = {"FBNET_A": 249.0, "FBNET_B": 295.0, "FBNET_C": 375.0, "PROXYLESS_R": 320.0, "PROXYLESS_GPU": 465.0}
REBUILT = ("FBNET_A", "PROXYLESS_R", "PROXYLESS_GPU")  # those whose description has the printed multiply-adds


def within_latency(network: str) -> Changes:
    """Return what a search changes whose limit is the measured latency of a network."""
    return {"mult_adds": 0.0, "latency_of": network, "latency_table": "run:spos-latency"}


def within(baseline: str) -> dict[str, Changes]:
    """Return what the two searches within a baseline's cost change, by the cost."""
    return {"mult-adds": {"mult_adds": BASELINES[baseline]}, "latency": within_latency(baseline)}


def found_within(limit: Changes) -> dict[str, str]:
    """Return what trains the network that a search in ProxylessNAS's space found within a limit."""
    return {"architecture": str(reference("spos-mobile", **limit)), "space": "mobile"}


def _mobile() -> dict[str, Row]:
    """Return the rows of Table 5: baselines, and what is found within the cost of each."""
    rows = {}
    for name in BASELINES:
        id = name.lower().replace("_", "-")
        if name in REBUILT:
            rows[f"{id}-baseline"] = Row({"architecture": name, "space": "mobile"})
        rows |= {f"at-{id}-{cost}": Row(found_within(limit)) for cost, limit in within(name).items()}
    return rows


def _quantised(depth: int) -> dict[str, Row]:
    """Return the rows of a ResNet: in full precision, and for each bit width the same everywhere and the found one."""
    rows = {f"resnet{depth}-float": Row({"architecture": "32W32A", "space": "bits", "depth": depth})}
    for bits, limit in BITS[depth].items():
        found = f"run:spos-bits/supernet=run:spos-supernet/depth={depth},bitops={limit}"
        rows[f"resnet{depth}-{bits}"] = Row({"architecture": bits, "space": "bits", "depth": depth})
        rows[f"resnet{depth}-within-{bits}"] = Row({"architecture": found, "space": "bits", "depth": depth})
    return rows


RETRAIN = Experiment(
    name="spos-retrain",
    title="The found network trained from scratch, beside random and uniform choices",
    section="SPOS Sect. 4",
    claim="{spos_blocks.found-blocks.top1_percent} % top-1 accuracy for the found blocks, "
    "{spos_blocks.all-shuffle-3x3.top1_percent} to {spos_blocks.random-search.top1_percent} % "
    "for uniform and random ones",
    cost="16 GPU days",
    hours=(
        Hours(16 * DAY, "assumed", f"{NOT_STATED} a network of blocks", 11.69, {"space": "bits", "depth": 18}),
        Hours(16 * DAY, "assumed", f"{NOT_STATED} a network of blocks", 21.8, {"space": "bits"}),
        Hours(16 * DAY, "assumed", f"{NOT_STATED} a network of blocks", 4.5, {"space": "mobile"}),
        Hours(16 * DAY, "published", "SPOS Table 7: 16 GPU days", 3.56),
    ),
    smoke_seconds=8,
    parameters=SposRetrain,
    sizes={
        "smoke": {**TINY, "mult_adds": 0.15},
        "desk": {**DESK_TRAINING, "mult_adds": 26.25},
        "short": {**SHORT, "iterations": 40_000, "mult_adds": 105.0},
    },
    measures={
        "top1_percent": "test_accuracy",
        "flops_M": "mult_adds_millions",
        "params_M": "parameters_millions",
        "bitops_G": "bitops_giga",
    },
    rows={
        "spos_blocks": {
            "all-shuffle-3x3": Row({"architecture": "shuffle_3x3"}),
            "all-shuffle-5x5": Row({"architecture": "shuffle_5x5"}),
            "all-shuffle-7x7": Row({"architecture": "shuffle_7x7"}),
            "all-xception": Row({"architecture": "xception"}),
            "random-blocks": Row({"architecture": "random"}),
            "random-search": Row({"winner": "random"}),
            "found-blocks": Row(),
        },
        "spos_channels": {
            "random-channels": Row({**NEAR_THE_LIMIT, **OF_3X3}),
            "channels-of-3x3": Row({"architecture": channels_of(OF_3X3), **OF_3X3}),
            "random-blocks-and-channels": Row({**NEAR_THE_LIMIT, "space": "channels"}),
            "found-channels": Row({"architecture": channels_of(ON_FOUND), **ON_FOUND}),
        },
        "spos_released": {"released": Row({"architecture": "SPOS_RELEASED"})},
        "spos_bits": {**_quantised(18), **_quantised(34)},
        "spos_mobile": _mobile(),
    },
    notebook="34_spos_retrain.ipynb",
    recipe="spos_training:retrain",
)
