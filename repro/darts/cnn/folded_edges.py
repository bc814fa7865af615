"""Mixed edges on a CPU: BatchNorm and the weighted sum folded into the last 1x1 convolutions, summed node by node.

Shapes have the letters of `mixed_edges`; `folding` derives what is folded.

Equals `darts.plain.MixedOp`; held by `test_mixed_edges.py::test_every_operation_of_the_search_is_mixed_as_its_module`.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from repro.darts.cnn import folding
from repro.darts.cnn.mixed_edges import EPS, MixedEdges, Separables
from repro.training import shared_norm


class Contribution(NamedTuple):
    """What one edge adds to its node: products of maps and matrices with one bias, and weighted maps."""

    inputs: Sequence[Tensor]  # (N, C, H', W') each
    matrices: Sequence[Tensor]  # (C, C) each
    bias: Tensor  # (C)
    planes: Sequence[Tensor]  # (N, C, H', W') each
    p: Tensor  # one probability for each plane


class FoldedEdges:
    """The mixed edges with these weights; `total` adds up a node."""

    def __init__(self, weights: MixedEdges) -> None:
        self.weights = weights

    def __call__(self, x: Tensor, p: Tensor) -> list[Contribution]:
        """Mix the operations on each edge by softmax(alpha): (N, C, H, W), (E, O) -> E contributions, not summed."""
        rectified = torch.relu(x)
        separable = self._separable(rectified, p[:, -len(self.weights.depthwise) :])
        planes = [maps * (self.weights.edges // len(maps)) for maps in self._without_matrices(x, rectified)]
        edges = zip(*separable, zip(*planes, strict=True), p[:, 1 : 1 + len(planes)], strict=True)
        return [Contribution(*edge) for edge in edges]

    def _without_matrices(self, x: Tensor, rectified: Tensor) -> list[list[Tensor]]:
        """Return the results of pooling and skip connections, (N, C, H', W'): one for each edge, or one for all."""
        w, found = self.weights, []
        for index, y in enumerate(w.pooled(x)):
            norms = w.norm_pool.of(slice(index * w.edges, (index + 1) * w.edges))  # (E, C)
            found.append([norms.shared(y)] if norms.training else norms.each(y))
        return [*found, [x] if w.stride == 1 else list(w.halved(rectified).chunk(w.edges, dim=1))]

    def _separable(self, x: Tensor, p: Tensor) -> tuple[list, list, Sequence[Tensor]]:
        """Return for each edge the inputs, the matrices and the bias of its separable convolutions, weighted by `p`."""
        edges = self.weights.edges
        maps, matrices, biases = zip(*(self._last(x, each) for each in self.weights.separables()), strict=True)
        maps, p = [*chain.from_iterable(maps)], p.mT[..., None]  # S * E x (N, C, H', W'), (S, E, 1)
        matrices = torch.cat(matrices).unflatten(0, (-1, edges)) * p[..., None]  # (S, E, C, C)
        bias = torch.cat(biases).unflatten(0, (-1, edges)) * p  # (S, E, C)
        inputs = [maps[edge::edges] for edge in range(edges)]  # E x S x (N, C, H', W')
        return inputs, [each.unbind() for each in matrices.unbind(1)], bias.sum(0).unbind()

    def _last(self, x: Tensor, applied: Sequence[Separables]) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """Return what the last 1x1 convolutions read, K * E x (N, C, H', W'), with their matrices and biases."""
        maps, matrices, biases = self._folded([x], applied[0])
        for again in applied[1:]:
            middle = [torch.relu(folding.pointwise(*each)) for each in zip(maps, matrices, biases, strict=True)]
            maps, matrices, biases = self._folded(middle, again)
        return maps, matrices, biases

    def _folded(self, inputs: Sequence[Tensor], these: Separables) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """Return what the 1x1 convolutions read, and BatchNorm folded into them: (K * E, C, C) and (K * E, C)."""
        kernels = [kernel for operation in these.depthwise for kernel in operation.chunk(self.weights.edges)]
        maps, *moments = folding.depthwise_moments(inputs, kernels, these.stride, these.dilation)
        matrices, norms = these.pointwise, these.norms
        if norms.training:
            mean, covariance, count = shared_norm.moments(*moments, maps[0].numel() // self.weights.channels)
            mean, var = folding.after(matrices.double(), mean, covariance)  # (K * E, C) in float64
            norms.update(mean, var, count)
        else:
            mean, var = norms.mean, norms.var
        scale = (var + EPS).rsqrt()  # (K * E, C)
        return maps, matrices * scale[..., None].to(matrices.dtype), (-mean * scale).to(matrices.dtype)


def total(contributions: Sequence[Contribution]) -> Tensor:
    """Return a node (N, C, H', W'): the sum of what its edges add."""
    inputs, matrices, bias, planes, p = zip(*contributions, strict=True)
    inputs, matrices, planes = (list(chain.from_iterable(parts)) for parts in (inputs, matrices, planes))
    return folding.mixture(inputs, matrices, sum(bias), planes, torch.cat(p))
