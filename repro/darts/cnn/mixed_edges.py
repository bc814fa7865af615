"""Mixed edges (DARTS Eq. 2): all that leave one state of a cell, since they read the same tensor at the same stride.

Here are their weights. Two formulations compute with them: `batched_edges` on a GPU, which waits for kernel launches,
and `folded_edges` on a CPU, which waits for memory. Pooling and its BatchNorm have no parameters, so that one result
serves every edge.

Shapes: N images, C channels, H x W pixels, H' x W' after the stride; E edges; O operations in Eq. 2, of which S are
separable convolutions; K of these are neighbours in the table with one dilation, applied equally often. What belongs to
operations and edges stands by operation, then by edge.

Equals `darts.plain.MixedOp`; held by `test_mixed_edges.py::test_every_operation_of_the_search_is_mixed_as_its_module`.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.darts.cnn.operations import MIXED, POOLINGS, even_and_odd, operation
from repro.training import shared_norm

EPS = 1e-5  # of BatchNorm
MOMENTUM = 0.1  # of its running statistics


class BatchNorms(NamedTuple):
    """M BatchNorms without affine, by their running statistics, which training moves in place."""

    mean: Tensor  # (M, C)
    var: Tensor  # (M, C)
    training: bool

    def __call__(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Normalise (N, M * C, H, W), and multiply by `scale` (M * C)."""
        mean, var = self.mean.view(-1), self.var.view(-1)  # 2 x (M * C)
        return shared_norm.batch_norm(x, mean, var, scale, None, self.training, MOMENTUM, EPS)

    def shared(self, x: Tensor) -> Tensor:
        """Normalise (N, P * C, H, W) in training: one result for all M / P BatchNorms that read each of the P maps."""
        mean, var = self.mean.new_zeros(2, x.shape[1])  # 2 x (P * C)
        y = shared_norm.batch_norm(x, mean, var, None, None, True, 1.0, EPS)
        maps = x.shape[1] // self.mean.shape[1], -1, self.mean.shape[1]  # (P, M / P or 1, C)
        self.mean.view(maps).lerp_(mean.view(maps), MOMENTUM)
        self.var.view(maps).lerp_(var.view(maps), MOMENTUM)
        return y

    def each(self, x: Tensor) -> list[Tensor]:
        """Normalise (N, C, H, W) by the running statistics: M results of that shape."""
        return [functional.batch_norm(x, *each, eps=EPS) for each in zip(self.mean, self.var, strict=True)]

    def update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the statistics towards a batch's means and biased variances (M, C), over `count` values each."""
        self.mean.lerp_(mean.detach().to(self.mean.dtype), MOMENTUM)
        self.var.lerp_((var.detach() * (count / max(count - 1, 1))).to(self.var.dtype), MOMENTUM)


class Statistics(nn.Module):
    """The running statistics of many BatchNorms without affine: (norms, C)."""

    def __init__(self, norms: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(norms, channels))
        self.register_buffer("running_var", torch.ones(norms, channels))

    def of(self, places: slice = slice(None)) -> BatchNorms:
        """Return the BatchNorms at these places."""
        return BatchNorms(self.running_mean[places], self.running_var[places], self.training)


class Separables(NamedTuple):
    """One application of K separable convolutions on all edges: depthwise, 1x1, BatchNorm; the ReLU comes before."""

    depthwise: Sequence[Tensor]  # K x (E * C, 1, k, k)
    pointwise: Tensor  # (K * E, C, C)
    norms: BatchNorms  # (K * E, C)
    stride: int
    dilation: int


class MixedEdges(nn.Module):
    """The weights of all mixed edges that leave one state: depthwise S x (E * C, 1, k, k), pointwise (S * E, C, C).

    Those ending in `_again` belong to the second application of the operations that are applied twice.
    """

    def __init__(self, channels: int, edges: int, stride: int) -> None:
        super().__init__()
        self.channels, self.edges, self.stride = channels, edges, stride
        alike = groupby(MIXED.values(), lambda kind: (kind.dilation, kind.twice))
        self.alike = [(*key, len(list(kinds))) for key, kinds in alike]  # dilation, twice, K
        first, again = list(MIXED.values()), [kind for kind in MIXED.values() if kind.twice]
        self.depthwise = self._depthwise([kind.kernel for kind in first])
        self.pointwise = _weight(len(first) * edges, channels, channels, fan_in=channels)
        self.norm = Statistics(len(first) * edges, channels)
        self.depthwise_again = self._depthwise([kind.kernel for kind in again])
        self.pointwise_again = _weight(len(again) * edges, channels, channels, fan_in=channels)
        self.norm_again = Statistics(len(again) * edges, channels)
        self.pools = [operation(name, channels, stride) for name in POOLINGS]
        self.norm_pool = Statistics(len(POOLINGS) * edges, channels)
        if stride == 2:
            self.skip_even = _weight(edges, channels // 2, channels, fan_in=channels)
            self.skip_odd = _weight(edges, channels - channels // 2, channels, fan_in=channels)
            self.norm_skip = Statistics(edges, channels)

    def _depthwise(self, kernels: Sequence[int]) -> nn.ParameterList:
        return nn.ParameterList(_weight(self.edges * self.channels, 1, k, k, fan_in=k * k) for k in kernels)

    def separables(self) -> Iterator[list[Separables]]:
        """Yield K operations at a time, in the order of Eq. 2: one or two applications of them."""
        first = again = 0
        for dilation, twice, count in self.alike:
            applied = [self._separables("", first, count, self.stride, dilation)]
            if twice:
                applied.append(self._separables("_again", again, count, 1, dilation))
            first, again = first + count, again + count * twice
            yield applied

    def _separables(self, which: str, start: int, count: int, stride: int, dilation: int) -> Separables:
        depthwise, pointwise, norm = (getattr(self, f"{name}{which}") for name in ("depthwise", "pointwise", "norm"))
        places = slice(start * self.edges, (start + count) * self.edges)
        # a slice of a ParameterList would hold copies of tensors swapped in for it
        depthwise = list(depthwise)[start : start + count]
        return Separables(depthwise, pointwise[places], norm.of(places), stride, dilation)

    def pooled(self, x: Tensor) -> list[Tensor]:
        """Return the results of pooling, (N, C, H', W') each, before their BatchNorm."""
        return [pool(x) for pool in self.pools]

    def halved(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return the skip connections at stride 2, (N, E * C, H', W'): each is two 1x1 convolutions and BatchNorm."""
        halves = [
            functional.conv2d(y, weight.flatten(0, 1)[..., None, None]).unflatten(1, (self.edges, -1))
            for y, weight in zip(even_and_odd(x), (self.skip_even, self.skip_odd), strict=True)
        ]  # 2 x (N, E, C / 2, H', W')
        return self.norm_skip.of()(torch.cat(halves, dim=2).flatten(1, 2), scale)


def _weight(*shape: int, fan_in: int) -> nn.Parameter:
    """Return the weights of many convolutions, drawn as `nn.Conv2d` does."""
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1) / math.sqrt(fan_in))
