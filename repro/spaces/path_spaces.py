"""The spaces of single-path networks, one record each (SPOS Sect. 4): choices, layouts, network and published genes.

What else speaks of a space asks its record: a new one is a record in SPACES and its network in `repro.spos`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from repro.spaces.layouts import Layout, MacroLayout, MobileLayout, ResidualLayout
from repro.spaces.mobile import BLOCKS as MOBILE_BLOCKS
from repro.spaces.mobile import DESCRIBED, EVERY, Residual
from repro.spaces.space import Gene, Space

# Choices, in the order of genes
BLOCKS = {"shuffle_3x3": 3, "shuffle_5x5": 5, "shuffle_7x7": 7, "xception": 3}  # kernel sizes
WIDTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)  # of a block's middle channels
BITS = ((1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (4, 4))  # of weights and activations
SCALES = (0.5, 1.0, 1.5)  # of the channels between a residual block's two convolutions
MACRO_BLOCKS = {"identity": Residual(0), "mb_3x3_e3": Residual(3, 3), "mb_5x5_e6": Residual(6, 5)}  # as in the table


class Published(NamedTuple):
    """The gene of a published network, and the values of parameters that it takes beside its space.

    layout, choices: what it changes in those of the space, where it is of other sizes, or has other blocks besides.
    """

    gene: Gene
    needs: Mapping[str, Any] = {}
    layout: Mapping[str, Any] = {}
    choices: Mapping[str, Sequence[Any]] = {}


def named(choices: Mapping[str, Sequence[Any]]) -> dict[str, tuple[str, ...]]:
    """Return the names of the choices of every kind."""
    name = {"block": str, "width": "x{:g}".format, "bits": lambda pair: f"{pair[0]}W{pair[1]}A"}
    return {kind: tuple(map(name[kind], each)) for kind, each in choices.items()}


def _published(*choices: str, **needs: Any) -> Published:
    """Return the network whose choices, a digit for each layer, are these of every kind."""
    return Published(tuple(map(int, "".join(choices))), needs)


@dataclass(frozen=True)
class PathSpace:
    """What can be chosen in every layer of a single-path network, and all that depends on it.

    network: "module:class" in `repro.spos`; called with a layout, the choices, and for one network its gene.
    choices: kind -> what can be chosen, in the order of genes.
    layouts: data set -> sizes of the network; the published ones are the defaults of their class.
    options: parameters of experiments that say which variant of the space is meant.
    bins: ends of the bins of cost from which a path of the published layout is drawn; none: seven equal ones.
    truth: data set on which a benchmark has the accuracy of every network.
    trains: whether one of its networks is trained from scratch by itself.
    """

    network: str
    choices: Mapping[str, Sequence[Any]]
    layouts: Mapping[str, Any]
    options: tuple[str, ...] = ()
    published: Mapping[str, Published] = field(default_factory=dict)
    bins: tuple[float, ...] = ()
    truth: str = ""
    trains: bool = True

    def names(self, gene: Sequence[int]) -> dict[str, list[str]]:
        """Return the names of what a gene of the whole space chooses, kind by kind, layer by layer."""
        return Space(len(gene) // len(self.choices), named(self.choices)).names(gene)

    def network_class(self) -> type:
        """Return the class of its networks."""
        module, name = self.network.split(":")
        return getattr(import_module(f"repro.spos.{module}"), name)


_FOUND = "00311100202110202132"  # by the block search of the paper
# Small images keep their size in the stem; CIFAR-10's keep it in the first stage too. Digits have two stages.
_SHUFFLE = {
    "imagenet": Layout(),
    "cifar10": Layout(32, 3, 10, stem_stride=1, strides=(1, 2, 2, 2)),
    "digits": Layout(8, 1, 10, stem=8, stem_stride=1, widths=(16, 32), repeats=(2, 2), strides=(1, 2), head=64),
}

SPACES: Mapping[str, PathSpace] = {
    "blocks": PathSpace(
        "choice_blocks:ChoiceNetwork",
        {"block": tuple(BLOCKS)},
        _SHUFFLE,
        options=("blocks",),
        published={
            "SPOS": _published(_FOUND),
            "SPOS_RELEASED": _published("21012020202300003233"),  # with its weights
        },
        bins=tuple(million * 1e6 for million in range(290, 361, 10)),  # of multiply-adds, in the released code
    ),
    "channels": PathSpace(
        "choice_blocks:ChoiceNetwork",
        {"block": tuple(BLOCKS), "width": WIDTHS},
        _SHUFFLE,
        options=("blocks",),
        published={
            "SPOS_CHANNELS": _published(_FOUND, "65352634257546744543"),
            "SPOS_CHANNELS_3X3": _published("0" * 20, "42754437547457335564"),
        },
    ),
    "bits": PathSpace(
        "quantise:QuantisedResNet",
        {"bits": BITS, "width": SCALES},
        {
            "imagenet": ResidualLayout(),
            "cifar10": ResidualLayout(32, 3, 10, small=True),
            "digits": ResidualLayout(8, 1, 10, widths=(8, 16), small=True),
        },
        options=("depth", "ends_bits"),
        published={
            "SPOS_18_2W2A": _published("01102020", "11222222", depth=18),  # within the BitOps of 2W2A
            "SPOS_18_3W3A": _published("43333333", "00112122", depth=18),
            "SPOS_18_4W4A": _published("54334443", "12222222", depth=18),
            "SPOS_34_2W2A": _published("2211000102101112", "1012211121221222", depth=34),
            "SPOS_34_3W3A": _published("4233322333333333", "0201222112112222", depth=34),
            "SPOS_34_4W4A": _published("4243424543554543", "1211221222222222", depth=34),
        },
    ),
    "macro": PathSpace(
        "macro:MacroNetwork",
        {"block": tuple(MACRO_BLOCKS)},
        {"cifar10": MacroLayout(), "digits": MacroLayout(8, 1, 10, stem=4, repeats=(1, 2), head=32)},
        truth="cifar10",
        trains=False,
    ),
    "mobile": PathSpace(
        "mobile:MobileNetwork",
        {"block": tuple(MOBILE_BLOCKS)},
        {
            "imagenet": MobileLayout(),
            "cifar10": MobileLayout(32, 3, 10, small=True),
            "digits": MobileLayout(
                *(8, 1, 10), stem=8, first=8, widths=(8, 16), repeats=(2, 2), strides=(2, 2), head=32, small=True
            ),
        },
        published={
            name: Published(tuple(map([*EVERY].index, each.blocks)), {}, each.layout, {"block": tuple(EVERY)})
            for name, each in DESCRIBED.items()
        },
    ),
}
PUBLISHED = {name: (space, found) for space, each in SPACES.items() for name, found in each.published.items()}
