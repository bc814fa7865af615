"""Mixed edges on a GPU by ordinary convolutions, in place of depthwise and grouped ones.

A 1x1 convolution P after a depthwise one D, with nothing between, is one convolution: W[m, c] = P[m, c] D[c]. It takes
more operations, but tensor cores have many, and libraries compute it faster than they may a depthwise one. Every first
separable convolution of a group reads the same x, so that all of them are ordinary convolutions of x, which nothing
repeats. In the second ones each operation reads its own; there the grouped 1x1 is a batched product. Nothing else here
has the form: blocks of SPOS have a BatchNorm between, and the reductions no depthwise convolution.

Shapes have the letters of `mixed_edges`.

Equals `darts.plain.MixedOp`; held by `test_mixed_edges.py::test_every_operation_of_the_search_is_mixed_as_its_module`.
"""

import torch
from torch import Tensor

from repro.darts.cnn.batched_edges import BatchedEdges, depthwise
from repro.darts.cnn.mixed_edges import Separables
from repro.darts.double_backward import convolve


class DenseEdges(BatchedEdges):
    """The mixed edges with these weights, by the statistics of this batch."""

    @staticmethod
    def spread(x: Tensor, times: int) -> Tensor:
        """Leave x (N, C, H, W) as it is: all first convolutions read it."""
        return x

    @staticmethod
    def separated(x: Tensor, these: Separables) -> Tensor:
        """Convolve (N, C, H, W), read by all, or (N, K * E * C, H, W): -> (N, K * E * C, H', W')."""
        if x.shape[1] == these.pointwise.shape[-1]:
            return dense(x, these)
        y = depthwise(x, these).unflatten(1, (len(these.pointwise), -1))  # (N, K * E, C, H, W)
        return (these.pointwise @ y.flatten(3)).unflatten(3, y.shape[3:]).flatten(1, 2)


def dense(x: Tensor, these: Separables) -> Tensor:
    """Convolve (N, C, H, W) by the products of 1x1 and depthwise kernels: -> (N, K * E * C, H', W')."""
    maps, dilation = [], these.dilation
    for kernels, matrices in zip(these.depthwise, these.pointwise.chunk(len(these.depthwise)), strict=True):
        kernels = kernels.unflatten(0, (len(matrices), 1, -1)).squeeze(3)  # (E, 1, C, k, k)
        weight = (matrices[..., None, None] * kernels).flatten(0, 1)  # (E * C, C, k, k)
        maps.append(convolve(x, weight, these.stride, dilation * (weight.shape[-1] // 2), dilation, groups=1))
    return torch.cat(maps, dim=1)
