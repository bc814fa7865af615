"""The convolutional search network (DARTS Sect. 2.1, 2.2, 3.1.1): (N, 3, H, W) images -> (N, classes) logits.

Every edge of a cell holds a mixture of all candidate operations, weighted by softmax(alpha) (Eq. 2). All mixed edges
that leave one state of a cell read the same tensor at the same stride, so they are computed together: 14 edges become
5 groups. Pooling and its BatchNorm have no parameters, so one result serves every edge of a group.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro import kernels, parallel
from repro.genotypes import INPUTS, SEARCH_OPERATIONS
from repro.operations import Preprocess, Shape, odd_pixels, stack

EPS = 1e-5  # of BatchNorm
MOMENTUM = 0.1  # of its running statistics

POOLINGS = ("max_pool_3x3", "avg_pool_3x3")
# Kernel and dilation of the separable convolutions. The first two are applied twice.
SEPARABLE = {"sep_conv_3x3": (3, 1), "sep_conv_5x5": (5, 1), "dil_conv_3x3": (3, 2), "dil_conv_5x5": (5, 2)}
TWICE = ("sep_conv_3x3", "sep_conv_5x5")
assert ("none", *POOLINGS, "skip_connect", *SEPARABLE) == SEARCH_OPERATIONS  # the order of alpha's columns


def edge_number(node: int, source: int) -> int:
    """Return the row of alpha that holds the edge from state `source` into intermediate node `node` (from 0)."""
    return node * (node + 3) // 2 + source


def targets_by_source(nodes: int) -> list[range]:
    """Return for every state that is read the nodes (from 0) that read it: all that come after it."""
    return [range(max(0, source - INPUTS + 1), nodes) for source in range(nodes + INPUTS - 1)]


class Statistics(nn.Module):
    """The running statistics of many BatchNorms without affine: (..., C)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move towards a batch's means and (biased) variances over `count` values each."""
        dtype = self.running_mean.dtype
        self.running_mean.lerp_(mean.detach().to(dtype), MOMENTUM)
        self.running_var.lerp_((var.detach() * (count / max(count - 1, 1))).to(dtype), MOMENTUM)

    def normalise(self, x: Tensor, index: int) -> Tensor:
        """Apply BatchNorm `index` to (N, C, H, W); with a further dimension (E,), E at once to (N, E * C, H, W)."""
        mean, var = self.running_mean[index].view(-1), self.running_var[index].view(-1)
        return parallel.batch_norm(x, mean, var, None, None, self.training, MOMENTUM, EPS)


def _weight(*shape: int, fan_in: int) -> nn.Parameter:
    """Return the weights of many convolutions, drawn as `nn.Conv2d` does."""
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1) / math.sqrt(fan_in))


class Contribution(NamedTuple):
    """What one edge adds to its node: products of maps (N, C, H, W) and matrices (C, C), and weighted maps."""

    inputs: Sequence[Tensor]
    weights: Sequence[Tensor]
    bias: Tensor
    planes: Sequence[Tensor]
    strengths: Tensor


class MixedEdges(nn.Module):
    """All mixed edges that leave one state (Eq. 2): (N, C, H, W) and strengths (E, 8) -> E contributions."""

    def __init__(self, channels: int, edges: int, stride: int) -> None:
        super().__init__()
        self.channels, self.edges, self.stride = channels, edges, stride
        self.depthwise = self._depthwise(SEPARABLE)
        self.pointwise = _weight(len(SEPARABLE), edges, channels, channels, fan_in=channels)
        self.norm = Statistics(len(SEPARABLE), edges, channels)
        self.depthwise_again = self._depthwise(TWICE)
        self.pointwise_again = _weight(len(TWICE), edges, channels, channels, fan_in=channels)
        self.norm_again = Statistics(len(TWICE), edges, channels)
        self.norm_pool = Statistics(len(POOLINGS), edges, channels)
        if stride == 2:
            self.skip_even = _weight(edges, channels // 2, channels, 1, 1, fan_in=channels)
            self.skip_odd = _weight(edges, channels - channels // 2, channels, 1, 1, fan_in=channels)
            self.norm_skip = Statistics(edges, channels)

    def _depthwise(self, names: Sequence[str]) -> nn.ParameterList:
        kernels = [SEPARABLE[name][0] for name in names]
        return nn.ParameterList(_weight(self.edges, self.channels, 1, k, k, fan_in=k * k) for k in kernels)

    def forward(self, x: Tensor, strengths: Tensor) -> list[Contribution]:
        """Return what each edge adds to its node."""
        activated = torch.relu(x)
        inputs, weights, bias = self._separable(activated, strengths[:, -len(SEPARABLE) :].mT)
        planes = [self._pooled(0, functional.max_pool2d(x, 3, self.stride, 1))]
        planes.append(self._pooled(1, functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)))
        planes.append([x] * self.edges if self.stride == 1 else self._halved(activated))
        strengths = strengths[:, 1 : 1 + len(planes)]
        return [
            Contribution(*edge)
            for edge in zip(inputs, weights, bias, zip(*planes, strict=True), strengths, strict=True)
        ]

    def _separable(self, x: Tensor, strengths: Tensor) -> tuple[list, list, Tensor]:
        """Return for each edge the maps that its last 1x1 convolutions read, their weights, and one bias for all."""
        first = [
            kernels.depthwise(x, weight, self.stride, dilation)
            for (_, dilation), edges in zip(SEPARABLE.values(), self.depthwise, strict=True)
            for weight in edges.unbind()
        ]
        weight, bias = self._folded(first, self.pointwise, self.norm)
        twice = len(TWICE) * self.edges
        middle = zip(first[:twice], weight.flatten(0, 1), bias.flatten(0, 1), strict=False)
        middle = [torch.relu(kernels.pointwise(*each)) for each in middle]
        kernel = (weight for edges in self.depthwise_again for weight in edges.unbind())
        second = [kernels.depthwise(x, w) for x, w in zip(middle, kernel, strict=True)]
        weight_again, bias_again = self._folded(second, self.pointwise_again, self.norm_again)
        last = [*second, *first[twice:]]
        weight = torch.cat([weight_again, weight[len(TWICE) :]]) * strengths[..., None, None]
        bias = torch.cat([bias_again, bias[len(TWICE) :]]) * strengths[..., None]
        inputs = [last[edge :: self.edges] for edge in range(self.edges)]
        return inputs, [each.unbind() for each in weight.unbind(1)], bias.sum(0).unbind()

    def _folded(self, inputs: Sequence[Tensor], weight: Tensor, norm: Statistics) -> tuple[Tensor, Tensor]:
        """Fold the BatchNorm after 1x1 convolutions into them: return their weights (ops, E, C, C), biases (ops, E, C).

        The mean of y = W x is W mean(x), and its variance the diagonal of W cov(x) W': y itself is not needed.
        """
        if self.training:
            mean, covariance = (
                torch.stack(each).unflatten(0, weight.shape[:2])
                for each in zip(*map(kernels.moments, inputs), strict=True)
            )
            mean, covariance, count = parallel.moments(mean, covariance, inputs[0].numel() // self.channels)
            exact = weight.double()
            mean = (exact @ mean[..., None]).squeeze(-1)
            var = (exact @ covariance * exact).sum(-1)
            norm.update(mean, var, count)
        else:
            mean, var = norm.running_mean, norm.running_var
        scale = (var + EPS).rsqrt()
        return weight * scale[..., None].to(weight.dtype), (-mean * scale).to(weight.dtype)

    def _pooled(self, index: int, x: Tensor) -> list[Tensor]:
        """Normalise for each edge: in training all have the same statistics, so one result serves them all."""
        norm = self.norm_pool
        if not self.training:
            mean, var = norm.running_mean[index], norm.running_var[index]
            return [
                functional.batch_norm(x, m, v, None, None, False, MOMENTUM, EPS) for m, v in zip(mean, var, strict=True)
            ]
        mean, var = x.new_empty(2, self.channels)
        y = parallel.batch_norm(x, mean.zero_(), var.zero_(), None, None, True, 1.0, EPS)
        norm.running_mean[index].lerp_(mean, MOMENTUM)
        norm.running_var[index].lerp_(var, MOMENTUM)
        return [y] * self.edges

    def _halved(self, x: Tensor) -> list[Tensor]:
        """Return the skip connection at stride 2, for each edge: two 1x1 convolutions and BatchNorm."""
        odd = odd_pixels(x)
        halves = [
            torch.cat([functional.conv2d(x, a, stride=2), functional.conv2d(odd, b, stride=2)], dim=1)
            for a, b in zip(self.skip_even.unbind(), self.skip_odd.unbind(), strict=True)
        ]
        return [self.norm_skip.normalise(half, edge) for edge, half in enumerate(halves)]


def total(contributions: Sequence[Contribution]) -> Tensor:
    """Return a node (N, C, H, W): the sum of what its edges add."""
    inputs, weights, bias, planes, strengths = zip(*contributions, strict=True)
    inputs, weights, planes = (list(chain.from_iterable(parts)) for parts in (inputs, weights, planes))
    return kernels.mixture(inputs, weights, sum(bias), planes, torch.cat(strengths))


class SearchCell(nn.Module):
    """A cell of mixed edges: outputs of the two cells before it -> (N, nodes * C, H', W')."""

    def __init__(self, shape: Shape, nodes: int) -> None:
        super().__init__()
        self.nodes, self.reduce, self.width = nodes, shape.reduce, nodes * shape.channels
        self.preprocess = Preprocess(shape, affine=False)
        self.groups = nn.ModuleList(
            MixedEdges(shape.channels, len(targets), shape.stride(source))
            for source, targets in enumerate(targets_by_source(nodes))
        )

    def forward(self, before: Tensor, last: Tensor, strengths: Tensor) -> Tensor:
        """Compute the nodes in order; `strengths` (edges, 8) has its rows grouped by source state."""
        states = self.preprocess(before, last)
        contributions: list[list[Contribution]] = [[] for _ in range(self.nodes)]
        rows = strengths.split([group.edges for group in self.groups])
        for source, targets in enumerate(targets_by_source(self.nodes)):
            for node, part in zip(targets, self.groups[source](states[source], rows[source]), strict=True):
                contributions[node].append(part)
            if source >= 1:  # states 0 .. source have all been read: the next node is complete
                states.append(total(contributions[source - 1]))
        return torch.cat(states[INPUTS:], dim=1)


class SearchNetwork(nn.Module):
    """The search network; its `alphas` are apart from its `weights()`, and both are in the state dict."""

    def __init__(
        self,
        channels: int = 16,
        classes: int = 10,
        cells: int = 8,
        nodes: int = 4,
        stem_multiplier: int = 3,
        in_channels: int = 3,
        alpha_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        width = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = stack(lambda shape: SearchCell(shape, nodes), cells, channels, (width, width))
        self.classifier = nn.Linear(self.cells[-1].width, classes)
        edges = edge_number(nodes, 0)
        # Deviation: the paper starts from zeros (alpha_scale=0); the released code from 1e-3 N(0, 1), which breaks ties
        self.alphas_normal = nn.Parameter(alpha_scale * torch.randn(edges, len(SEARCH_OPERATIONS)))
        self.alphas_reduce = nn.Parameter(alpha_scale * torch.randn(edges, len(SEARCH_OPERATIONS)))
        order = [
            edge_number(node, source) for source, targets in enumerate(targets_by_source(nodes)) for node in targets
        ]
        self.register_buffer("by_source", torch.tensor(order), persistent=False)

    @property
    def alphas(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The architecture: (edges, 8) for normal and for reduction cells."""
        return self.alphas_normal, self.alphas_reduce

    def weights(self) -> list[nn.Parameter]:
        """Return w: every parameter that is not the architecture."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("alphas_")]

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, in_channels, H, W) to logits (N, classes)."""
        normal, reduce = (alpha.softmax(dim=1).index_select(0, self.by_source) for alpha in self.alphas)
        before = last = self.stem(x.contiguous(memory_format=torch.channels_last))
        for cell in self.cells:
            before, last = last, cell(before, last, reduce if cell.reduce else normal)
        return self.classifier(last.mean(dim=(2, 3)))
