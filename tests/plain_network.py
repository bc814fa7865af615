"""The oracle: the evaluation network as Sections 2.1 and 3.2 define it, one module for every operation.

Modules are named so that the state dict has the names of the released checkpoints.
"""

import torch
from plain_supernet import Op, Reduce, relu_conv_norm, separable
from torch import nn
from torch.nn import functional


def primitive(name, channels, stride):
    kind, _, size = name.rpartition("_")
    kernel = int(size[-1]) if size[-1].isdigit() else None
    match kind:
        case "max_pool":
            return nn.MaxPool2d(3, stride, 1)
        case "avg_pool":
            return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        case "skip":
            return nn.Identity() if stride == 1 else Reduce(channels, channels, affine=True)
        case "sep_conv":
            return Op(*separable(channels, kernel, stride, 1, True), *separable(channels, kernel, 1, 1, True))
        case "dil_conv":
            return Op(*separable(channels, kernel, stride, 2, True))
        case "conv_7x1":
            return nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
                nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
                nn.BatchNorm2d(channels),
            )


class Cell(nn.Module):
    def __init__(self, edges, concat, before, last, channels, reduce, reduced_before):
        super().__init__()
        self.edges, self.concat = edges, concat
        self.preprocess0 = (Reduce if reduced_before else relu_conv_norm)(before, channels, affine=True)
        self.preprocess1 = relu_conv_norm(last, channels, affine=True)
        strides = [2 if reduce and edge.source < 2 else 1 for edge in edges]
        self._ops = nn.ModuleList(
            primitive(edge.op, channels, stride) for edge, stride in zip(edges, strides, strict=True)
        )

    def forward(self, before, last):
        states = [self.preprocess0(before), self.preprocess1(last)]
        for first in range(0, len(self.edges), 2):
            one, other = (self._ops[i](states[self.edges[i].source]) for i in (first, first + 1))
            states.append(one + other)
        return torch.cat([states[state] for state in self.concat], dim=1)


class PlainNetwork(nn.Module):
    """For CIFAR-10, without auxiliary head."""

    def __init__(self, genotype, channels, cells, classes=10):
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        before, last, reduced_before = width, width, False
        for index in range(cells):
            reduce = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduce else 1
            cell = (genotype.reduce, genotype.reduce_concat) if reduce else (genotype.normal, genotype.normal_concat)
            self.cells.append(Cell(*cell, before, last, channels, reduce, reduced_before))
            before, last, reduced_before = last, len(cell[1]) * channels, reduce
        self.classifier = nn.Linear(last, classes)

    def forward(self, x):
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.classifier(functional.adaptive_avg_pool2d(last, 1).flatten(1))
