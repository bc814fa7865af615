"""ProxylessNAS's space (SPOS Sect. 4, Table 5): one supernet, ten searches; latency by measured blocks."""

from dataclasses import dataclass
from typing import Literal

from repro.configs.common import PIXELS, Pixels, refuse_halved
from repro.configs.parameters import parameter
from repro.configs.record import DAY, PATH, Experiment, Hours
from repro.configs.spos_networks import SinglePathNetworks
from repro.configs.spos_search import AS_BLOCKS, CANDIDATES, DESK, TINY, SposSearch, of_space
from repro.spaces.path_spaces import BLOCKS, SPACES


@dataclass(frozen=True)
class SposLatency(SinglePathNetworks):
    """SPOS Sect. 4, Table 5: what every block of a space takes on this machine, and how far sums are from the whole."""

    threads: int = parameter(0, "CPU threads, the same throughout; 0: one for each core", low=0, high=1024)
    space: Literal[tuple(SPACES)] = parameter("mobile", "whose blocks are measured")
    blocks: Literal["all", *BLOCKS] = parameter(
        "all", "choice blocks of the spaces blocks and channels: all four or one of them"
    )
    depth: Literal[18, 34] = parameter(18, "layers of the ResNet in the space bits")
    width: float = parameter(1.0, "factor of all numbers of channels; 1 is the published layout", above=0)
    layout: Literal["imagenet", "cifar10", "digits"] = parameter(
        "imagenet", "the data set that the networks are laid out for; no image of it is read"
    )
    classes: int = parameter(1000, "classes of imagenet's layout", low=2)
    pixels: Pixels = parameter(0, PIXELS)
    batch: int = parameter(32, "images whose latency is measured", low=1)
    rounds: int = parameter(20, "times that each block and each network is measured, in turn", low=2)
    networks: int = parameter(20, "whole networks, drawn at random, that the sums are held against", low=2)

    def check(self) -> None:
        """Refuse to halve images that are not CIFAR-10's."""
        refuse_halved(self.pixels, self.layout)


@dataclass(frozen=True)
class SposMobile(SposSearch):
    """SPOS Sect. 4, Table 5: search in ProxylessNAS's space; its limit is Proxyless-R's number of multiply-adds."""

    mult_adds: float = parameter(320.0, "largest number of multiply-adds, in millions; 0: any", low=0)


LATENCY = Experiment(
    name="spos-latency",
    title="Latency as a sum of measured blocks",
    section="SPOS Sect. 4, Table 5",
    claim="latency of a batch of 32 on a Titan XP limits five searches; how it was had of a path is not said",
    cost="minutes",
    hours=(Hours(0.2, "assumed", "20 rounds of 141 blocks and 25 networks; counted as 12 minutes"),),
    smoke_seconds=6,
    parameters=SposLatency,
    sizes={
        "smoke": {"threads": 1, "layout": "digits", "batch": 4, "rounds": 5, "networks": 8},
        "desk": {"threads": 1, "layout": "cifar10", "pixels": 16},
        "short": {"layout": "cifar10"},
    },
    notebook="39_spos_latency.ipynb",
    recipe="spos_latency:measure",
)

MOBILE = Experiment(
    name="spos-mobile",
    title="Evolution in ProxylessNAS's space, within multiply-adds and latency",
    section="SPOS Sect. 3 and 4, Table 5",
    claim="one supernet serves ten searches; each network found is more accurate than the one whose cost limited it",
    cost="less than 1 GPU day",
    hours=(Hours(DAY, "assumed", AS_BLOCKS),),
    smoke_seconds=12,
    parameters=SposMobile,
    sizes={
        "smoke": {**TINY, "mult_adds": 0.22},
        "desk": {**DESK, **CANDIDATES, "mult_adds": 24.2},
        "short": {"bn_images": 10_000, "mult_adds": 96.8},
    },
    notebook="38_spos_mobile.ipynb",
    recipe="spos_search:search_paths",
    fills=of_space("mobile"),
    gives=PATH,
)
