"""Mixed edges (DARTS Eq. 2): all that leave one state of a cell, since they read the same tensor at the same stride.

Pooling and its BatchNorm have no parameters, so one result serves every edge. On a GPU, which waits for kernel
launches, one convolution serves all edges and all operations of one dilation. A CPU waits for memory: there BatchNorm
and the weighted sum are folded into the last 1x1 convolutions, and summed node by node.

Equals `darts.plain.MixedOp`; held by `test_mixed_edges.py::test_every_operation_of_the_search_is_mixed_as_its_module`.
"""

import math
from collections.abc import Sequence
from itertools import chain, groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.darts.cnn import depthwise as kernels
from repro.darts.cnn import folding
from repro.darts.cnn.operations import MIXED, POOLINGS, Separable, even_and_odd, plain_sum
from repro.darts.grouped import convolve
from repro.training import parallel

EPS = 1e-5  # of BatchNorm
MOMENTUM = 0.1  # of its running statistics


class Alike(NamedTuple):
    """Neighbours in the table of separable convolutions that share a dilation and are applied as often."""

    dilation: int
    twice: bool
    each: slice  # their places among all
    again: slice  # and, if they are applied twice, among all that are

    @property
    def count(self) -> int:
        """Return how many they are."""
        return self.each.stop - self.each.start


def _alike(kinds: Sequence[Separable]) -> list[Alike]:
    """Divide the table into neighbours that are alike."""
    found, start, again = [], 0, 0
    for (dilation, twice), group in groupby(kinds, lambda kind: (kind.dilation, kind.twice)):
        stop = start + len(list(group))
        found.append(Alike(dilation, twice, slice(start, stop), slice(again, again + (stop - start) * twice)))
        start, again = stop, found[-1].again.stop
    return found


class Statistics(nn.Module):
    """The running statistics of many BatchNorms without affine: (norms, C)."""

    def __init__(self, norms: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(norms, channels))
        self.register_buffer("running_var", torch.ones(norms, channels))

    def update(self, mean: Tensor, var: Tensor, count: int, norms: slice) -> None:
        """Move those of some BatchNorms towards a batch's means and (biased) variances over `count` values each."""
        dtype = self.running_mean.dtype
        self.running_mean[norms].lerp_(mean.detach().to(dtype), MOMENTUM)
        self.running_var[norms].lerp_((var.detach() * (count / max(count - 1, 1))).to(dtype), MOMENTUM)

    def normalise(self, x: Tensor, norms: slice, scale: Tensor | None = None) -> Tensor:
        """Apply the BatchNorms to (N, norms * C, H, W), and multiply by `scale` (norms * C)."""
        statistics = self.running_mean[norms].view(-1), self.running_var[norms].view(-1)
        return parallel.batch_norm(x, *statistics, scale, None, self.training, MOMENTUM, EPS)

    def normalise_shared(self, x: Tensor, norms: slice) -> Tensor:
        """Apply to (N, K * C, H, W) what all edges' BatchNorms in training make of the K maps: one result for all."""
        shape = x.shape[1] // self.running_mean.shape[1], -1, self.running_mean.shape[1]
        mean, var = self.running_mean.new_zeros(2, x.shape[1])
        y = parallel.batch_norm(x, mean, var, None, None, True, 1.0, EPS)
        self.running_mean[norms].view(shape).lerp_(mean.view(shape), MOMENTUM)
        self.running_var[norms].view(shape).lerp_(var.view(shape), MOMENTUM)
        return y

    def normalise_each(self, x: Tensor, norms: slice) -> list[Tensor]:
        """Apply each BatchNorm to the same (N, C, H, W), with its running statistics."""
        statistics = zip(self.running_mean[norms], self.running_var[norms], strict=True)
        return [functional.batch_norm(x, *each, eps=EPS) for each in statistics]


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
        kinds = list(MIXED.values())
        twice = [kind for kind in kinds if kind.twice]
        self.alike = _alike(kinds)
        self.depthwise = self._depthwise(kinds)
        self.pointwise = _weight(len(kinds) * edges, channels, channels, fan_in=channels)
        self.norm = Statistics(len(kinds) * edges, channels)
        self.depthwise_again = self._depthwise(twice)
        self.pointwise_again = _weight(len(twice) * edges, channels, channels, fan_in=channels)
        self.norm_again = Statistics(len(twice) * edges, channels)
        self.norm_pool = Statistics(len(POOLINGS) * edges, channels)
        if stride == 2:
            self.skip_even = _weight(edges, channels // 2, channels, fan_in=channels)
            self.skip_odd = _weight(edges, channels - channels // 2, channels, fan_in=channels)
            self.norm_skip = Statistics(edges, channels)

    def _depthwise(self, kinds: Sequence[Separable]) -> nn.ParameterList:
        sizes = [kind.kernel for kind in kinds]
        return nn.ParameterList(_weight(self.edges * self.channels, 1, k, k, fan_in=k * k) for k in sizes)

    def of(self, places: slice) -> slice:
        """Return the places of all edges of operations with these places, where edges stand by operation."""
        return slice(places.start * self.edges, places.stop * self.edges)

    def pooled(self, x: Tensor) -> list[Tensor]:
        """Return the results of pooling (N, C, H', W'), not yet normalised."""
        return [pool(x, self.stride) for pool in POOLINGS.values()]

    def halved(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return the skip connections at stride 2, (N, E * C, H', W'): each is two 1x1 convolutions and BatchNorm."""
        halves = [
            functional.conv2d(y, weight.flatten(0, 1)[..., None, None]).unflatten(1, (self.edges, -1))
            for y, weight in zip(even_and_odd(x), (self.skip_even, self.skip_odd), strict=True)
        ]
        return self.norm_skip.normalise(torch.cat(halves, dim=2).flatten(1, 2), slice(None), scale)

    # ---- on a GPU: all edges, and all separable convolutions of one dilation, in one convolution

    def batched(self, x: Tensor, strengths: Tensor) -> tuple[Tensor, ...]:
        """Return the weighted sum of each edge's operations, (N, C, H', W'), from the statistics of this batch.

        The strengths are the scales of the last BatchNorms, where they cost nothing.
        """
        activated = torch.relu(x)
        scales = strengths.mT[..., None].expand(-1, -1, self.channels).contiguous()
        columns = 1, len(POOLINGS), 1, *(alike.count for alike in self.alike)
        _, _, skip, *separable = (part.view(-1) for part in scales.split(columns))
        shared = self.norm_pool.normalise_shared(torch.cat(self.pooled(x), dim=1), slice(None))
        if self.stride == 1:
            shared, skips = torch.cat([shared, x], dim=1), []
        else:
            skips = [self.halved(activated, skip)]
        count = shared.shape[1] // self.channels
        maps = [_weighted(shared, strengths[:, 1 : 1 + count]), *skips, *self._convolved(activated, separable)]
        return plain_sum(maps).chunk(self.edges, dim=1)

    def _convolved(self, x: Tensor, scales: Sequence[Tensor]) -> list[Tensor]:
        """Return the results of the separable convolutions, (N, E * C, H', W') for each, times these scales."""
        depthwise, again, pointwise = list(self.depthwise), list(self.depthwise_again), self.pointwise.to(x.dtype)
        repeated = {count: _repeated(x, count * self.edges) for count in {alike.count for alike in self.alike}}
        maps = []
        for alike, scale in zip(self.alike, scales, strict=True):
            places, norm, dilation = self.of(alike.each), self.norm, alike.dilation
            y = _separated(repeated[alike.count], depthwise[alike.each], pointwise[places], self.stride, dilation)
            if alike.twice:
                y = torch.relu(norm.normalise(y, places))
                places, norm = self.of(alike.again), self.norm_again
                y = _separated(y, again[alike.again], self.pointwise_again[places], 1, dilation)
            maps.extend(norm.normalise(y, places, scale).split(self.edges * self.channels, dim=1))
        return maps

    # ---- on a CPU: BatchNorm and the weighted sum folded into the last 1x1 convolutions

    def folded(self, x: Tensor, strengths: Tensor) -> list[Contribution]:
        """Return what each edge adds to its node, not yet summed."""
        activated = torch.relu(x)
        inputs, weights, bias = self._separable(activated, strengths[:, -len(self.depthwise) :])
        results = [planes * (self.edges // len(planes)) for planes in self._without_weights(x, activated)]
        strengths = strengths[:, 1 : 1 + len(results)]
        edges = zip(inputs, weights, bias, zip(*results, strict=True), strengths, strict=True)
        return [Contribution(*edge) for edge in edges]

    def _without_weights(self, x: Tensor, activated: Tensor) -> list[list[Tensor]]:
        """Return the results of pooling and of skip connections, (N, C, H', W'), one for each edge or one for all."""
        norm = self.norm_pool
        results = [
            [norm.normalise_shared(y, places)] if self.training else norm.normalise_each(y, places)
            for y, places in ((y, self.of(slice(index, index + 1))) for index, y in enumerate(self.pooled(x)))
        ]
        return [*results, [x] if self.stride == 1 else list(self.halved(activated).chunk(self.edges, dim=1))]

    def _separable(self, x: Tensor, strengths: Tensor) -> tuple[list, list, Tensor]:
        """Return for each edge the maps that its last 1x1 convolutions read, their weights, and one bias for all."""
        maps, weights, biases = zip(*(self._last(x, alike) for alike in self.alike), strict=True)
        last, strengths = [*chain.from_iterable(maps)], strengths.mT[..., None]
        weight = torch.cat(weights).unflatten(0, (-1, self.edges)) * strengths[..., None]
        bias = torch.cat(biases).unflatten(0, (-1, self.edges)) * strengths
        inputs = [last[edge :: self.edges] for edge in range(self.edges)]
        return inputs, [each.unbind() for each in weight.unbind(1)], bias.sum(0).unbind()

    def _last(self, x: Tensor, alike: Alike) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """Return the maps that the last 1x1 convolutions of some operations read, their weights and biases."""
        # a slice of a ParameterList would hold copies of tensors swapped in for it
        depthwise, places = list(self.depthwise)[alike.each], self.of(alike.each)
        maps, *moments = self._convolve([x], depthwise, self.stride, alike.dilation)
        weight, bias = self._fold(moments, self.pointwise[places], self.norm, places, maps[0])
        if alike.twice:
            middle = [torch.relu(folding.pointwise(*each)) for each in zip(maps, weight, bias, strict=True)]
            depthwise, places = list(self.depthwise_again)[alike.again], self.of(alike.again)
            maps, *moments = self._convolve(middle, depthwise, 1, alike.dilation)
            weight, bias = self._fold(moments, self.pointwise_again[places], self.norm_again, places, maps[0])
        return maps, weight, bias

    def _convolve(
        self, inputs: Sequence[Tensor], weights: Sequence[Tensor], stride: int, dilation: int
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Convolve for every operation and edge; return maps, their means and covariances, in that order."""
        weights = [weight for operation in weights for weight in operation.chunk(self.edges)]
        return folding.depthwise_moments(inputs, weights, stride, dilation)

    def _fold(
        self, moments: Sequence[Tensor], weight: Tensor, norm: Statistics, norms: slice, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fold BatchNorms after 1x1 convolutions of maps like `x` into them: return their weights and biases."""
        if self.training:
            mean, covariance, count = parallel.moments(*moments, x.numel() // self.channels)
            mean, var = folding.after(weight.double(), mean, covariance)
            norm.update(mean, var, count, norms)
        else:
            mean, var = norm.running_mean[norms], norm.running_var[norms]
        scale = (var + EPS).rsqrt()
        return weight * scale[..., None].to(weight.dtype), (-mean * scale).to(weight.dtype)


def _repeated(x: Tensor, times: int) -> Tensor:
    """Repeat all channels of (N, C, H, W), in its memory format, which `Tensor.repeat` does not keep."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x.repeat(1, times, 1, 1)
    return x.permute(0, 2, 3, 1).repeat(1, 1, 1, times).permute(0, 3, 1, 2)


def _of_one_size(weights: Sequence[Tensor]) -> Tensor:
    """Join depthwise kernels: zeros around the small ones change nothing."""
    largest = max(weight.shape[-1] for weight in weights)
    around = [(largest - weight.shape[-1]) // 2 for weight in weights]
    pairs = zip(weights, around, strict=True)
    return torch.cat([functional.pad(weight, (zeros,) * 4) if zeros else weight for weight, zeros in pairs])


def _separated(x: Tensor, depthwise: Sequence[Tensor], pointwise: Tensor, stride: int, dilation: int) -> Tensor:
    """Convolve (N, K * C, H, W): each channel by itself, then each C of them by a 1x1 convolution of (K, C, C)."""
    x = kernels.plain_depthwise(stride, dilation, x, _of_one_size(depthwise))
    return convolve(x, pointwise.flatten(0, 1)[..., None, None], 1, 0, 1, groups=len(pointwise))


def _weighted(x: Tensor, strengths: Tensor) -> Tensor:
    """Sum K maps (N, K * C, H, W) with the strengths (E, K): (N, E * C, H, W), by one product with a matrix."""
    identity = torch.eye(x.shape[1] // strengths.shape[1], dtype=strengths.dtype, device=x.device)
    return functional.conv2d(x, torch.kron(strengths.contiguous(), identity)[..., None, None])


def total(contributions: Sequence[Contribution]) -> Tensor:
    """Return a node (N, C, H, W): the sum of what its edges add."""
    inputs, weights, bias, planes, strengths = zip(*contributions, strict=True)
    inputs, weights, planes = (list(chain.from_iterable(parts)) for parts in (inputs, weights, planes))
    return folding.mixture(inputs, weights, sum(bias), planes, torch.cat(strengths))
