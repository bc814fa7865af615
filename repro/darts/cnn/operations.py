"""The operations of a convolutional cell (DARTS Sect. 3.1.1): (N, C, H, W) -> (N, C, H / stride, W / stride).

Convolutions follow the order ReLU, convolution, BatchNorm. With `affine`, BatchNorm has a learned scale and shift, as
in evaluation; in the search it has none, since it would rescale what alpha weighs. `stack` makes a network of cells of
any kind (Sect. 2.1).

Equals `darts.plain_networks.operation`;
held by `test_released.py::test_every_operation_is_read_in_the_released_naming`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.darts.cnn import depthwise
from repro.errors import ReproError, unknown
from repro.spaces.cell_space import reductions
from repro.spaces.genotypes import CONVOLUTIONAL, SEARCH_OPERATIONS


class Identity(nn.Identity):
    """The skip connection at stride 1, which drop path never drops."""


class ReLUConvBN(nn.Sequential):
    """ReLU, 1x1 convolution, BatchNorm: (N, C_in, H, W) -> (N, C_out, H, W), a cell's preprocessing."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool = True) -> None:
        conv = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        super().__init__(nn.ReLU(), conv, nn.BatchNorm2d(channels_out, affine=affine))


class FactorizedReduce(nn.Module):
    """Halve the resolution: (N, C_in, H, W) -> (N, C_out, H/2, W/2).

    One 1x1 convolution reads the even pixels, another one the odd pixels; each computes half of the channels.
    """

    def __init__(self, channels_in: int, channels_out: int, affine: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.even = nn.Conv2d(channels_in, half, 1, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out - half, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        even, odd = even_and_odd(torch.relu(x))
        return self.norm(torch.cat([self.even(even), self.odd(odd)], dim=1))


def plain_sum(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of maps; `sum` alone would add 0 to the first."""
    first, *others = maps
    return sum(others, first)


def even_and_odd(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels in even rows and columns, and those in odd ones: (N, C, H, W) -> 2 x (N, C, H / 2, W / 2).

    Where H or W is odd, zeros follow. 1x1 convolutions of stride 1 then read them, see `cnn.depthwise.strided`.
    """
    rows, columns = x.shape[-2] % 2, x.shape[-1] % 2
    padded = functional.pad(x, (0, columns, 0, rows)) if rows or columns else x
    return depthwise.strided(x, 2), depthwise.strided(padded[..., 1:, 1:], 2)


class DepthwiseConv(nn.Conv2d):
    """A k x k depthwise convolution, which keeps the resolution at stride 1."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return depthwise.depthwise(x, self.weight, self.stride[0], self.dilation[0])


@dataclass(frozen=True)
class Separable:
    """A kind of depthwise separable convolution: an odd kernel, its dilation, and whether it is applied twice."""

    kernel: int
    dilation: int = 1
    twice: bool = False

    def __post_init__(self) -> None:
        if self.kernel % 2 != 1 or self.kernel < 1 or self.dilation < 1:
            raise ReproError(
                f"a separable convolution with a kernel of {self.kernel} and a dilation of {self.dilation}: "
                "take an odd kernel, which has a middle, and a dilation of at least 1"
            )

    def __call__(self, channels: int, stride: int, affine: bool = True) -> nn.Sequential:
        """Return it as a module: ReLU, depthwise and 1x1 convolution, BatchNorm; only the first of two has a stride."""
        layers: list[nn.Module] = []
        for each in (stride, 1) if self.twice else (stride,):
            depthwise = DepthwiseConv(channels, self.kernel, each, self.dilation)
            pointwise = nn.Conv2d(channels, channels, 1, bias=False)
            layers += [nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels, affine=affine)]
        return nn.Sequential(*layers)


class Conv7x1(nn.Sequential):
    """A 1x7 convolution followed by a 7x1 one (AmoebaNet-A); each carries the stride of its axis."""

    def __init__(self, channels: int, stride: int, affine: bool = True) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 7), stride=(1, stride), padding=(0, 3), bias=False),
            nn.Conv2d(channels, channels, (7, 1), stride=(stride, 1), padding=(3, 0), bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


SEPARABLE = {
    "sep_conv_3x3": Separable(3, twice=True),
    "sep_conv_5x5": Separable(5, twice=True),
    "sep_conv_7x7": Separable(7, twice=True),
    "dil_conv_3x3": Separable(3, dilation=2),
    "dil_conv_5x5": Separable(5, dilation=2),
}
OPERATIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "max_pool_3x3": lambda channels, stride, affine: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda channels, stride, affine: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
    "skip_connect": lambda c, stride, affine: Identity() if stride == 1 else FactorizedReduce(c, c, affine),
    "conv_7x1_1x7": Conv7x1,
    **SEPARABLE,
}
POOLINGS = ("max_pool_3x3", "avg_pool_3x3")  # of the search


def mixed(names: Sequence[str]) -> dict[str, Separable]:
    """Return the separable convolutions among a search's operations; ReproError if it cannot mix all of `names`."""
    found = {name: SEPARABLE[name] for name in names if name in SEPARABLE}
    if tuple(names) != ("none", *POOLINGS, "skip_connect", *found) or not found:
        raise ReproError(
            f"SEARCH_OPERATIONS is {', '.join(names)}: the search can mix none, {', '.join(POOLINGS)}, skip_connect "
            "and, after these, what SEPARABLE holds"
        )
    return found


MIXED = mixed(SEARCH_OPERATIONS)


def operation(name: str, channels: int, stride: int, affine: bool = True) -> nn.Module:
    """Return the operation `name` on `channels` channels; ReproError if there is none of that name."""
    if name not in OPERATIONS:
        raise unknown("operation", name, OPERATIONS, ReproError)
    return OPERATIONS[name](channels, stride, affine)


class Shape(NamedTuple):
    """The place of a cell in its network."""

    before: int  # channels of the output of the cell before the last
    last: int  # channels of the output of the last cell
    channels: int  # of every state inside this cell
    reduce: bool  # halves the resolution: the edges from its inputs have stride 2
    reduced_before: bool  # the last cell halved it, so that the two inputs differ in resolution

    def stride(self, source: int) -> int:
        """Return the stride of the edges that leave state `source`."""
        return 2 if self.reduce and source < CONVOLUTIONAL.inputs else 1


class Preprocess(nn.Module):
    """Bring a cell's two inputs to its width and to one resolution: 2 x (N, C_in, H, W) -> 2 x (N, C, H, W)."""

    def __init__(self, shape: Shape, affine: bool) -> None:
        super().__init__()
        first = FactorizedReduce if shape.reduced_before else ReLUConvBN
        self.before = first(shape.before, shape.channels, affine)
        self.last = ReLUConvBN(shape.last, shape.channels, affine)

    def forward(self, before: Tensor, last: Tensor) -> list[Tensor]:
        """Return the first two states of the cell."""
        return [self.before(before), self.last(last)]


def stack(
    make: Callable[[Shape], nn.Module], cells: int, channels: int, stem: tuple[int, int], reduced_before: bool = False
) -> nn.ModuleList:
    """Stack `cells` cells on the stem's two outputs; those at 1/3 and 2/3 of the depth reduce, and double the channels.

    `make` returns a cell for its place; the cell's `width` is the number of its output channels.
    """
    stacked = nn.ModuleList()
    before, last = stem
    for index in range(cells):
        reduce = index in reductions(cells)
        channels = channels * 2 if reduce else channels
        stacked.append(make(Shape(before, last, channels, reduce, reduced_before)))
        before, last, reduced_before = last, stacked[-1].width, reduce
    return stacked
