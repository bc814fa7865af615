"""ProxylessNAS's space (Cai et al., ICLR 2019), which SPOS searches in its Table 5, and the networks it compares there.

21 layers, each an inverted residual of MobileNetV2 with expansion 3 or 6 and a depthwise 3x3, 5x5 or 7x7, or skipped
where input and output have one shape: 7^21 networks as the paper counts, 6^6 x 7^15 as 6 layers cannot be skipped.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from repro.spaces.space import Residual

BLOCKS = {  # in the order of genes
    **{f"mb{expansion}_{kernel}x{kernel}": Residual(expansion, kernel) for kernel in (3, 5, 7) for expansion in (3, 6)},
    "skip": Residual(0),
}
# What FBNet's space (Wu et al., CVPR 2019) has besides
OTHERS = {
    **{f"mb1_{kernel}x{kernel}": Residual(1, kernel) for kernel in (3, 5)},
    **{f"mb1_{kernel}x{kernel}_g2": Residual(1, kernel, 2) for kernel in (3, 5)},
}


class Described(NamedTuple):
    """A published network of such blocks: what it changes in the space's layout, and its blocks, layer by layer."""

    layout: Mapping[str, Any]
    blocks: Sequence[str]


def _fbnet(head: int, blocks: str) -> Described:
    """Return a network of FBNet: its first layer is of the same blocks."""
    layout = {"stem": 16, "first": 0, "widths": (16, 24, 32, 64, 112, 184, 352), "head": head}
    return Described(layout | {"repeats": (1, 4, 4, 4, 4, 4, 1), "strides": (1, 2, 2, 2, 1, 2, 1)}, blocks.split())


# Of ProxylessNAS multiply-adds and parameters are the published ones, and of FBNet-A (249M). FBNet-B and -C, as their
# authors released them, have 306M and 385M, where their paper prints 295M and 375M.
PUBLISHED = {
    "PROXYLESS_R": Described(
        {},
        "mb3_5x5 mb3_3x3 skip skip  mb3_7x7 mb3_3x3 mb3_5x5 mb3_5x5  mb6_7x7 mb3_5x5 mb3_5x5 mb3_5x5 "
        "mb6_5x5 mb3_5x5 mb3_5x5 mb3_5x5  mb6_7x7 mb6_7x7 mb3_7x7 mb3_7x7  mb6_7x7".split(),
    ),
    "PROXYLESS_GPU": Described(
        {"stem": 40, "first": 24, "widths": (32, 56, 112, 128, 256, 432), "head": 1728},
        "mb3_5x5 skip skip skip  mb3_7x7 skip skip mb3_3x3  mb6_7x7 skip skip mb3_5x5 "
        "mb6_5x5 skip mb3_3x3 mb3_5x5  mb6_7x7 mb6_7x7 mb6_7x7 mb6_5x5  mb6_7x7".split(),
    ),
    "FBNET_A": _fbnet(
        1504,
        "skip  mb3_3x3 mb1_3x3 skip skip  mb6_5x5 mb3_3x3 mb1_5x5 mb3_3x3  mb6_5x5 mb3_5x5 mb1_5x5_g2 mb6_5x5 "
        "mb6_3x3 mb1_5x5_g2 mb3_5x5 mb1_3x3_g2  mb6_5x5 mb6_5x5 mb3_5x5 mb6_5x5  mb6_5x5",
    ),
    "FBNET_B": _fbnet(
        1984,
        "mb1_3x3  mb6_3x3 mb1_5x5 mb1_3x3 mb1_3x3  mb6_5x5 mb3_5x5 mb6_3x3 mb6_5x5  mb6_5x5 mb6_5x5 skip mb3_5x5 "
        "mb6_5x5 mb1_3x3 mb1_5x5 mb3_5x5  mb6_5x5 mb1_5x5 mb6_5x5 mb6_5x5  mb6_3x3",
    ),
    "FBNET_C": _fbnet(
        1984,
        "mb1_3x3  mb6_3x3 skip mb1_3x3 mb1_3x3  mb6_5x5 mb3_5x5 mb6_5x5 mb6_3x3  mb6_5x5 mb3_5x5 mb6_5x5 mb6_5x5 "
        "mb6_5x5 mb6_5x5 mb6_5x5 mb3_5x5  mb6_5x5 mb6_5x5 mb6_5x5 mb6_5x5  mb6_3x3",
    ),
}
