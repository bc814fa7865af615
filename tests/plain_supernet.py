"""The oracle: the search network as Sections 2.1, 2.2 and 3.1.1 define it, one module for every operation.

Modules are named so that the state dict has the names of the reference files.
"""

import torch
from torch import nn
from torch.nn import functional

from repro.genotypes import SEARCH_OPERATIONS


class Op(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Reduce(nn.Module):
    def __init__(self, channels_in, channels, affine=False):
        super().__init__()
        self.conv_1 = nn.Conv2d(channels_in, channels // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels_in, channels - channels // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x):
        x = functional.relu(x)
        height, width = x.shape[2:]
        shifted = functional.pad(x, (0, width % 2, 0, height % 2))[:, :, 1:, 1:]
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], dim=1))


def separable(channels, kernel, stride, dilation, affine=False):
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def relu_conv_norm(channels_in, channels, affine=False):
    return Op(nn.ReLU(), nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels, affine=affine))


def primitive(name, channels, stride):
    norm = nn.BatchNorm2d(channels, affine=False)
    match name:
        case "none":
            return Zero(stride)
        case "max_pool_3x3":
            return nn.Sequential(nn.MaxPool2d(3, stride, 1), norm)
        case "avg_pool_3x3":
            return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm)
        case "skip_connect":
            return nn.Identity() if stride == 1 else Reduce(channels, channels)
        case "sep_conv_3x3" | "sep_conv_5x5":
            kernel = int(name[-1])
            return Op(*separable(channels, kernel, stride, 1), *separable(channels, kernel, 1, 1))
        case "dil_conv_3x3" | "dil_conv_5x5":
            return Op(*separable(channels, int(name[-1]), stride, 2))


class MixedOp(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self._ops = nn.ModuleList(primitive(name, channels, stride) for name in SEARCH_OPERATIONS)

    def forward(self, x, strengths):
        return sum(strength * op(x) for strength, op in zip(strengths, self._ops, strict=True))


class Cell(nn.Module):
    def __init__(self, before, last, channels, nodes, reduce, reduced_before):
        super().__init__()
        self.nodes, self.reduce = nodes, reduce
        self.preprocess0 = Reduce(before, channels) if reduced_before else relu_conv_norm(before, channels)
        self.preprocess1 = relu_conv_norm(last, channels)
        sources = [source for node in range(nodes) for source in range(2 + node)]
        self._ops = nn.ModuleList(MixedOp(channels, 2 if reduce and source < 2 else 1) for source in sources)

    def forward(self, before, last, strengths):
        states = [self.preprocess0(before), self.preprocess1(last)]
        edge = 0
        for _ in range(self.nodes):
            node = 0
            for state in states:
                node = node + self._ops[edge](state, strengths[edge])
                edge += 1
            states.append(node)
        return torch.cat(states[2:], dim=1)


class PlainSearchNetwork(nn.Module):
    def __init__(self, channels=16, classes=10, cells=8, nodes=4, stem_multiplier=3, in_channels=3):
        super().__init__()
        width = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        before, last, reduced_before = width, width, False
        for index in range(cells):
            reduce = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduce else 1
            self.cells.append(Cell(before, last, channels, nodes, reduce, reduced_before))
            before, last, reduced_before = last, nodes * channels, reduce
        self.classifier = nn.Linear(last, classes)
        edges = sum(2 + node for node in range(nodes))
        self.alphas = [torch.zeros(edges, len(SEARCH_OPERATIONS), requires_grad=True) for _ in range(2)]

    def forward(self, x):
        normal, reduce = (functional.softmax(alpha, dim=1) for alpha in self.alphas)
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last, reduce if cell.reduce else normal)
        return self.classifier(functional.adaptive_avg_pool2d(last, 1).flatten(1))
