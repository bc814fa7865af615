"""The convolutional networks of DARTS with one module for every operation (Sect. 3.1.1 and 3.2), around `plain.Cell`.

Modules have the names of the authors' checkpoints. Maps are (N, C, H, W); in the search BatchNorm has no scale of its
own (`affine`), since that is for alpha.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, pad

from repro.darts.plain import Cell, MixedOp, Nodes
from repro.spaces.cell_space import reductions
from repro.spaces.genotypes import SEARCH_OPERATIONS, ConvGenotype, Edge

Kind = tuple[Nodes, Sequence[int]]  # of a cell: its nodes, and the states that it puts out


def operation(name: str, channels: int, stride: int, affine: bool) -> nn.Module:
    """Return the module of an operation: (N, C, H, W) -> (N, C, H / stride, W / stride)."""
    match name.split("_"):
        case ["mixed"]:
            operations = [operation(each, channels, stride, affine) for each in SEARCH_OPERATIONS]
            for index, name in enumerate(SEARCH_OPERATIONS):
                if "pool" in name:
                    operations[index] = nn.Sequential(operations[index], nn.BatchNorm2d(channels, affine=affine))
            return MixedOp(operations)
        case ["none"]:
            return Zero(stride)
        case ["max", "pool", _]:
            return nn.MaxPool2d(3, stride, 1)
        case ["avg", "pool", _]:
            return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        case ["skip", _]:
            return nn.Identity() if stride == 1 else Reduce(channels, channels, affine)
        case ["sep", _, size]:
            twice = (separable(channels, int(size[-1]), each, 1, affine) for each in (stride, 1))
            return named(*(layer for layers in twice for layer in layers))
        case ["dil", _, size]:
            return named(*separable(channels, int(size[-1]), stride, 2, affine))
        case _:  # of AmoebaNet-A
            first = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
            second = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
            return nn.Sequential(nn.ReLU(), first, second, nn.BatchNorm2d(channels, affine=affine))


def separable(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """Return the layers of a depthwise separable convolution."""
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels, affine=affine)]


def named(*layers: nn.Module) -> nn.Sequential:
    """Return these layers under the name that they have in the authors' checkpoints."""
    return nn.Sequential(OrderedDict(op=nn.Sequential(*layers)))


def relu_conv_norm(channels_in: int, channels: int, affine: bool) -> nn.Module:
    """Return what brings a cell's input to its width."""
    conv = nn.Conv2d(channels_in, channels, 1, bias=False)
    return named(nn.ReLU(), conv, nn.BatchNorm2d(channels, affine=affine))


class Zero(nn.Module):
    """No connection."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Reduce(nn.Module):
    """The skip connection at stride 2, and a cell's first input behind a reduction."""

    def __init__(self, channels_in: int, channels: int, affine: bool) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels_in, channels // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels_in, channels - channels // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Join two convolutions, one of the even and one of the odd pixels."""
        x = torch.relu(x)
        shifted = pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], dim=1))


def make_cell(kind: Kind, inputs: tuple[int, int], channels: int, reduced_before: bool, reduces: bool) -> Cell:
    """Return a cell of this kind; if it `reduces`, the edges from its inputs have stride 2."""
    nodes, concat = kind
    edges = [edge for node in nodes for edge in node]
    affine = edges[0].op != "mixed"
    before = (Reduce if reduced_before else relu_conv_norm)(inputs[0], channels, affine)
    strides = [2 if reduces and edge.source < 2 else 1 for edge in edges]
    operations = [operation(edge.op, channels, stride, affine) for edge, stride in zip(edges, strides, strict=True)]
    return Cell((before, relu_conv_norm(inputs[1], channels, affine)), nodes, operations, concat)


class Network(nn.Module):
    """Cells stacked, those at 1/3 and 2/3 of the depth reducing: images (N, C, H, W) -> logits (N, classes)."""

    def __init__(
        self,
        normal: Kind,
        reduce: Kind,
        channels: int,
        cells: int,
        classes: int = 10,
        stem_multiplier: int = 3,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        width = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.reduces = [index in reductions(cells) for index in range(cells)]
        self.cells, inputs = nn.ModuleList(), (width, width)
        for reduced_before, reduces in pairwise([False, *self.reduces]):
            kind, channels = (reduce, 2 * channels) if reduces else (normal, channels)
            self.cells.append(make_cell(kind, inputs, channels, reduced_before, reduces))
            inputs = inputs[1], len(kind[1]) * channels
        self.classifier = nn.Linear(inputs[1], classes)
        self.alphas: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        normal, reduce = (alpha.softmax(dim=1) for alpha in self.alphas) if self.alphas else (None, None)
        before = last = self.stem(x)
        for cell, reduces in zip(self.cells, self.reduces, strict=True):
            before, last = last, cell(before, last, reduce if reduces else normal)
        return self.classifier(adaptive_avg_pool2d(last, 1).flatten(1))


class SearchNetwork(Network):
    """The network of the search: every node reads every state before it, through a mixed operation."""

    def __init__(self, channels: int = 16, classes: int = 10, cells: int = 8, nodes: int = 4, **how: int) -> None:
        mixed = [[Edge("mixed", source) for source in range(2 + node)] for node in range(nodes)]
        cell = mixed, range(2, 2 + nodes)
        super().__init__(cell, cell, channels, cells, classes, **how)
        edges = sum(map(len, mixed))
        self.alphas = [torch.zeros(edges, len(SEARCH_OPERATIONS), requires_grad=True) for _ in range(2)]


def evaluation_network(genotype: ConvGenotype, channels: int, cells: int) -> Network:
    """Return the CIFAR-10 network of a derived cell (Sect. 3.2), without auxiliary head and drop path."""
    kinds = (genotype.normal, genotype.normal_concat), (genotype.reduce, genotype.reduce_concat)
    normal, reduce = (([edges[i : i + 2] for i in range(0, len(edges), 2)], concat) for edges, concat in kinds)
    return Network(normal, reduce, channels, cells)
