"""Mixed edges on a GPU: all edges, and all separable convolutions of one dilation, in one convolution.

Shapes have the letters of `mixed_edges`.

Equals `darts.plain.MixedOp`; held by `test_mixed_edges.py::test_every_operation_of_the_search_is_mixed_as_its_module`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from repro.darts.cnn.depthwise import plain_depthwise
from repro.darts.cnn.mixed_edges import MixedEdges, Separables
from repro.darts.cnn.operations import POOLINGS, plain_sum
from repro.darts.double_backward import convolve


class BatchedEdges:
    """The mixed edges with these weights, by the statistics of this batch."""

    def __init__(self, weights: MixedEdges) -> None:
        self.weights = weights

    def __call__(self, x: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """Mix the operations on each edge by softmax(alpha): (N, C, H, W), (E, O) -> E x (N, C, H', W').

        The probabilities are the scales of the last BatchNorms, where they cost nothing.
        """
        w, rectified = self.weights, torch.relu(x)
        scales = p.mT[..., None].expand(-1, -1, w.channels).contiguous()  # (O, E, C)
        columns = 1, len(POOLINGS), 1, *(count for _, _, count in w.alike)
        _, _, skip, *separable = (part.view(-1) for part in scales.split(columns))  # (E * C), then (K * E * C) each
        shared = w.norm_pool.of().shared(torch.cat(w.pooled(x), dim=1))  # (N, 2 * C, H', W')
        if w.stride == 1:
            shared, skips = torch.cat([shared, x], dim=1), []  # (N, 3 * C, H, W)
        else:
            skips = [w.halved(rectified, skip)]  # (N, E * C, H', W')
        count = shared.shape[1] // w.channels
        maps = [_weighted(shared, p[:, 1 : 1 + count]), *skips, *self._separable(rectified, separable)]
        return plain_sum(maps).chunk(w.edges, dim=1)  # (N, E * C, H', W') -> E x (N, C, H', W')

    def _separable(self, x: Tensor, scales: Sequence[Tensor]) -> list[Tensor]:
        """Return the separable convolutions times their scales (K * E * C): for each of them (N, E * C, H', W')."""
        w, maps = self.weights, []
        spread = {count: self.spread(x, count * w.edges) for count in {count for _, _, count in w.alike}}
        for (*before, last), (_, _, count), scale in zip(w.separables(), w.alike, scales, strict=True):
            y = spread[count]  # (N, K * E * C, H, W)
            for each in before:
                y = torch.relu(each.norms(self.separated(y, each)))  # (N, K * E * C, H', W')
            maps.extend(last.norms(self.separated(y, last), scale).split(w.edges * w.channels, dim=1))
        return maps

    @staticmethod
    def spread(x: Tensor, times: int) -> Tensor:
        """Repeat all channels of (N, C, H, W), in its memory format, which `Tensor.repeat` does not keep."""
        if not x.is_contiguous(memory_format=torch.channels_last):
            return x.repeat(1, times, 1, 1)
        return x.permute(0, 2, 3, 1).repeat(1, 1, 1, times).permute(0, 3, 1, 2)

    @staticmethod
    def separated(x: Tensor, these: Separables) -> Tensor:
        """Convolve each channel by itself, then each C of them by a matrix: (N, K * E * C, H, W) -> (..., H', W')."""
        x = depthwise(x, these)
        return convolve(x, these.pointwise.flatten(0, 1)[..., None, None], 1, 0, 1, groups=len(these.pointwise))


def depthwise(x: Tensor, these: Separables) -> Tensor:
    """Convolve each channel by itself: (N, K * E * C, H, W) -> (N, K * E * C, H', W')."""
    largest = max(kernel.shape[-1] for kernel in these.depthwise)
    around = [(largest - kernel.shape[-1]) // 2 for kernel in these.depthwise]  # zeros there change nothing
    pairs = zip(these.depthwise, around, strict=True)
    kernels = torch.cat([functional.pad(kernel, (zeros,) * 4) if zeros else kernel for kernel, zeros in pairs])
    return plain_depthwise(these.stride, these.dilation, x, kernels)  # kernels: (K * E * C, 1, k, k)


def _weighted(x: Tensor, p: Tensor) -> Tensor:
    """Sum P maps (N, P * C, H, W) with the weights (E, P): (N, E * C, H, W), by one product with a matrix."""
    identity = torch.eye(x.shape[1] // p.shape[1], dtype=p.dtype, device=x.device)
    return functional.conv2d(x, torch.kron(p.contiguous(), identity)[..., None, None])
