"""Mixed edges (DARTS Eq. 2): all that leave one state of a cell, since they read the same tensor at the same stride.

Pooling and its BatchNorm have no parameters, so one result serves every edge. On a GPU, which waits for kernel
launches, all edges are one convolution for each operation. A CPU waits for memory: there BatchNorm and the weighted sum
are folded into the last 1x1 convolutions, and summed node by node.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro import folding, kernels, parallel
from repro.genotypes import SEARCH_OPERATIONS
from repro.operations import odd_pixels

EPS = 1e-5  # of BatchNorm
MOMENTUM = 0.1  # of its running statistics

POOLINGS = ("max_pool_3x3", "avg_pool_3x3")
# Kernel and dilation of the separable convolutions. The first two are applied twice.
SEPARABLE = {"sep_conv_3x3": (3, 1), "sep_conv_5x5": (5, 1), "dil_conv_3x3": (3, 2), "dil_conv_5x5": (5, 2)}
TWICE = ("sep_conv_3x3", "sep_conv_5x5")
assert ("none", *POOLINGS, "skip_connect", *SEPARABLE) == SEARCH_OPERATIONS  # the order of alpha's columns


class Statistics(nn.Module):
    """The running statistics of many BatchNorms without affine: (norms, C)."""

    def __init__(self, norms: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(norms, channels))
        self.register_buffer("running_var", torch.ones(norms, channels))

    def update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move towards a batch's means and (biased) variances over `count` values each."""
        dtype = self.running_mean.dtype
        self.running_mean.lerp_(mean.detach().to(dtype), MOMENTUM)
        self.running_var.lerp_((var.detach() * (count / max(count - 1, 1))).to(dtype), MOMENTUM)

    def normalise(self, x: Tensor, norms: slice) -> Tensor:
        """Apply the BatchNorms to (N, norms * C, H, W)."""
        statistics = self.running_mean[norms].view(-1), self.running_var[norms].view(-1)
        return parallel.batch_norm(x, *statistics, None, None, self.training, MOMENTUM, EPS)

    def normalise_shared(self, x: Tensor, norms: slice) -> list[Tensor]:
        """Apply the BatchNorms to the same (N, C, H, W): in training one result, as all have its statistics."""
        means, variances = self.running_mean[norms], self.running_var[norms]
        if not self.training:
            return [functional.batch_norm(x, *each, eps=EPS) for each in zip(means, variances, strict=True)]
        mean, var = torch.zeros_like(means[0]), torch.zeros_like(means[0])
        y = parallel.batch_norm(x, mean, var, None, None, True, 1.0, EPS)
        means.lerp_(mean, MOMENTUM)
        variances.lerp_(var, MOMENTUM)
        return [y]


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
    """All mixed edges that leave one state (Eq. 2): (N, C, H, W) and strengths (E, 8) -> what E nodes get from it.

    Depthwise kernels (E * C, 1, k, k) are kept by operation, 1x1 convolutions (ops * E, C, C) in the operations' order.
    """

    def __init__(self, channels: int, edges: int, stride: int) -> None:
        super().__init__()
        self.channels, self.edges, self.stride = channels, edges, stride
        self.depthwise = self._depthwise(SEPARABLE)
        self.pointwise = _weight(len(SEPARABLE) * edges, channels, channels, fan_in=channels)
        self.norm = Statistics(len(SEPARABLE) * edges, channels)
        self.depthwise_again = self._depthwise(TWICE)
        self.pointwise_again = _weight(len(TWICE) * edges, channels, channels, fan_in=channels)
        self.norm_again = Statistics(len(TWICE) * edges, channels)
        self.norm_pool = Statistics(len(POOLINGS) * edges, channels)
        if stride == 2:
            self.skip_even = _weight(edges, channels // 2, channels, fan_in=channels)
            self.skip_odd = _weight(edges, channels - channels // 2, channels, fan_in=channels)
            self.norm_skip = Statistics(edges, channels)

    def _depthwise(self, names: Sequence[str]) -> nn.ParameterList:
        sizes = [SEPARABLE[name][0] for name in names]
        return nn.ParameterList(_weight(self.edges * self.channels, 1, k, k, fan_in=k * k) for k in sizes)

    def of(self, operation: int) -> slice:
        """Return the places of one operation's edges where they stand by operation, then by edge."""
        return slice(operation * self.edges, (operation + 1) * self.edges)

    def without_weights(self, x: Tensor, activated: Tensor) -> list[list[Tensor]]:
        """Return the results of pooling and of skip connections, (N, C, H', W'), one for each edge or one for all."""
        pooled = (
            functional.max_pool2d(x, 3, self.stride, 1),
            functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False),
        )
        results = [self.norm_pool.normalise_shared(y, self.of(index)) for index, y in enumerate(pooled)]
        return [*results, [x] if self.stride == 1 else self._halved(activated)]

    def _halved(self, x: Tensor) -> list[Tensor]:
        """Return the skip connections at stride 2: each is two 1x1 convolutions and BatchNorm."""
        pixels = x[:, :, ::2, ::2], odd_pixels(x)[:, :, ::2, ::2]
        halves = [
            functional.conv2d(y, weight.flatten(0, 1)[..., None, None]).unflatten(1, (self.edges, -1))
            for y, weight in zip(pixels, (self.skip_even, self.skip_odd), strict=True)
        ]
        return self.norm_skip.normalise(torch.cat(halves, dim=2).flatten(1, 2), slice(None)).chunk(self.edges, dim=1)

    # ---- on a GPU: all edges in one convolution

    def batched(self, x: Tensor, strengths: Tensor) -> tuple[Tensor, ...]:
        """Return the weighted sum of each edge's operations, (N, C, H', W')."""
        activated = torch.relu(x)
        repeated = activated.repeat(1, self.edges, 1, 1)
        results = [torch.stack(planes, dim=1) for planes in self.without_weights(x, activated)]
        for index, (name, (_, dilation)) in enumerate(SEPARABLE.items()):
            y = kernels.plain_depthwise(self.stride, dilation, repeated, self.depthwise[index])
            y = self._pointwise(y, self.pointwise, self.norm, index)
            if name in TWICE:
                y = kernels.plain_depthwise(1, 1, torch.relu(y), self.depthwise_again[index])
                y = self._pointwise(y, self.pointwise_again, self.norm_again, index)
            results.append(y.unflatten(1, (self.edges, -1)))
        weighted = [
            strength.to(result.dtype)[:, None, None, None] * result
            for strength, result in zip(strengths.T[1:], results, strict=True)
        ]
        return sum(weighted[1:], weighted[0]).unbind(dim=1)

    def _pointwise(self, x: Tensor, weight: Tensor, norm: Statistics, index: int) -> Tensor:
        weight = weight[self.of(index)].flatten(0, 1)[..., None, None]
        return norm.normalise(functional.conv2d(x, weight, groups=self.edges), self.of(index))

    # ---- on a CPU: BatchNorm and the weighted sum folded into the last 1x1 convolutions

    def folded(self, x: Tensor, strengths: Tensor) -> list[Contribution]:
        """Return what each edge adds to its node, not yet summed."""
        activated = torch.relu(x)
        inputs, weights, bias = self._separable(activated, strengths[:, -len(SEPARABLE) :])
        results = [planes * (self.edges // len(planes)) for planes in self.without_weights(x, activated)]
        strengths = strengths[:, 1 : 1 + len(results)]
        edges = zip(inputs, weights, bias, zip(*results, strict=True), strengths, strict=True)
        return [Contribution(*edge) for edge in edges]

    def _separable(self, x: Tensor, strengths: Tensor) -> tuple[list, list, Tensor]:
        """Return for each edge the maps that its last 1x1 convolutions read, their weights, and one bias for all."""
        edges, twice = self.edges, len(TWICE)
        depthwise = list(self.depthwise)  # a slice of a ParameterList would hold copies of tensors swapped in for it
        undilated = self._convolve([x], depthwise[:twice], self.stride)
        dilated = self._convolve([x], depthwise[twice:], self.stride, dilation=2)
        moments = [torch.cat(pair) for pair in zip(undilated[1:], dilated[1:], strict=True)]
        weight, bias = self._fold(moments, self.pointwise, self.norm, dilated[0][0])
        middle = [torch.relu(folding.pointwise(*each)) for each in zip(undilated[0], weight, bias, strict=False)]
        second, *moments = self._convolve(middle, self.depthwise_again)
        weight_again, bias_again = self._fold(moments, self.pointwise_again, self.norm_again, second[0])
        last = (*second, *dilated[0])
        strengths = strengths.mT[..., None]
        weight = torch.cat([weight_again, weight[twice * edges :]]).unflatten(0, (-1, edges)) * strengths[..., None]
        bias = torch.cat([bias_again, bias[twice * edges :]]).unflatten(0, (-1, edges)) * strengths
        inputs = [last[edge::edges] for edge in range(edges)]
        return inputs, [each.unbind() for each in weight.unbind(1)], bias.sum(0).unbind()

    def _convolve(
        self, inputs: Sequence[Tensor], weights: Sequence[Tensor], stride: int = 1, dilation: int = 1
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Convolve for every operation and edge; return maps, their means and covariances, in that order."""
        weights = [weight for operation in weights for weight in operation.chunk(self.edges)]
        return folding.depthwise_moments(inputs, weights, stride, dilation)

    def _fold(self, moments: Sequence[Tensor], weight: Tensor, norm: Statistics, x: Tensor) -> tuple[Tensor, Tensor]:
        """Fold the BatchNorm after 1x1 convolutions of maps like `x` into them: return their weights and biases."""
        if self.training:
            mean, covariance, count = parallel.moments(*moments, x.numel() // self.channels)
            mean, var = folding.after(weight.double(), mean, covariance)
            norm.update(mean, var, count)
        else:
            mean, var = norm.running_mean, norm.running_var
        scale = (var + EPS).rsqrt()
        return weight * scale[..., None].to(weight.dtype), (-mean * scale).to(weight.dtype)


def total(contributions: Sequence[Contribution]) -> Tensor:
    """Return a node (N, C, H, W): the sum of what its edges add."""
    inputs, weights, bias, planes, strengths = zip(*contributions, strict=True)
    inputs, weights, planes = (list(chain.from_iterable(parts)) for parts in (inputs, weights, planes))
    return folding.mixture(inputs, weights, sum(bias), planes, torch.cat(strengths))
