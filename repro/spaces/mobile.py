"""ProxylessNAS's space (Cai et al., ICLR 2019), which SPOS searches in its Table 5, and the networks it compares there.

21 layers, each an inverted residual of MobileNetV2 with expansion 3 or 6 and a depthwise 3x3, 5x5 or 7x7, or skipped
where input and output have one shape: 7^21 networks as the paper counts, 6^6 x 7^15 as 6 layers cannot be skipped.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Residual(NamedTuple):
    """An inverted residual: 1x1 to `expansion` times the channels, depthwise, 1x1; with expansion 0 none of them."""

    expansion: int
    kernel: int = 1
    groups: int = 1  # of both 1x1 convolutions


BLOCKS = {  # in the order of genes
    **{f"mb{expansion}_{kernel}x{kernel}": Residual(expansion, kernel) for kernel in (3, 5, 7) for expansion in (3, 6)},
    "skip": Residual(0),
}
EVERY = {  # with those that FBNet's space (Wu et al., CVPR 2019) has besides
    **{f"mb1_{kernel}x{kernel}": Residual(1, kernel) for kernel in (3, 5)},
    **{f"mb1_{kernel}x{kernel}_g2": Residual(1, kernel, 2) for kernel in (3, 5)},
    **BLOCKS,
}


class Described(NamedTuple):
    """A published network of such blocks: its stages, as in a `MobileLayout`, and its blocks, layer by layer."""

    layout: Mapping[str, Any]
    blocks: Sequence[str]


def _proxyless(stem: int, first: int, widths: Sequence[int], head: int, blocks: str) -> Described:
    """Return a network of ProxylessNAS, without its first block, which is fixed."""
    layout = {"stem": stem, "first": first, "widths": widths, "head": head}
    return Described(layout | {"repeats": (4, 4, 4, 4, 4, 1), "strides": (2, 2, 2, 1, 2, 1)}, blocks.split())


def _fbnet(head: int, blocks: str) -> Described:
    """Return a network of FBNet, whose first block is one of its layers."""
    layout = {"stem": 16, "first": 0, "widths": (16, 24, 32, 64, 112, 184, 352), "head": head}
    return Described(layout | {"repeats": (1, 4, 4, 4, 4, 4, 1), "strides": (1, 2, 2, 2, 1, 2, 1)}, blocks.split())


# Multiply-adds and parameters of ProxylessNAS's are the published ones, as those of FBNet-A (249M). FBNet-B and -C have
# 306M and 385M as their authors released them, where their paper prints 295M and 375M.
DESCRIBED = {
    "PROXYLESS_R": _proxyless(
        *(32, 16, (32, 40, 80, 96, 192, 320), 1280),
        "mb3_5x5 mb3_3x3 skip skip  mb3_7x7 mb3_3x3 mb3_5x5 mb3_5x5  mb6_7x7 mb3_5x5 mb3_5x5 mb3_5x5 "
        "mb6_5x5 mb3_5x5 mb3_5x5 mb3_5x5  mb6_7x7 mb6_7x7 mb3_7x7 mb3_7x7  mb6_7x7",
    ),
    "PROXYLESS_GPU": _proxyless(
        *(40, 24, (32, 56, 112, 128, 256, 432), 1728),
        "mb3_5x5 skip skip skip  mb3_7x7 skip skip mb3_3x3  mb6_7x7 skip skip mb3_5x5 "
        "mb6_5x5 skip mb3_3x3 mb3_5x5  mb6_7x7 mb6_7x7 mb6_7x7 mb6_5x5  mb6_7x7",
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
