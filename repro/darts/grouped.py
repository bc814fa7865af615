"""Convolutions in groups whose gradients are to be differentiated again, as the exact architecture gradient does.

The library differentiates the gradients of a convolution group by group: of a depthwise one, channel by channel. A
convolution is linear in its input and in its weights, so its gradients are two more convolutions in as many groups, and
so are theirs. One exact gradient of the paper's search network on a GPU launches 2,419 convolutions instead of 29,971.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

_twice = False


@contextmanager
def differentiated_twice() -> Iterator[None]:
    """Let `convolve` and its gradients be differentiated by few convolutions: to be held until all of them are."""
    global _twice
    before, _twice = _twice, True
    try:
        yield
    finally:
        _twice = before


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int, groups: int) -> Tensor:
    """Apply `torch.nn.functional.conv2d`: (N, G * C, H, W), (G * M, C, k, k) -> (N, G * M, H', W')."""
    if not _twice:
        return functional.conv2d(x, weight, None, stride, padding, dilation, groups)
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):  # it casts not what functions save
        x, weight = (tensor.to(torch.get_autocast_dtype(kind)) for tensor in (x, weight))
    return _Convolution.apply(([stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups), x, weight)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(geometry: tuple, x: Tensor, weight: Tensor) -> Tensor:
        return torch.ops.aten.convolution(x, weight, None, *geometry)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.geometry, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_Gradients.apply(ctx.geometry, gradient, *ctx.saved_tensors)


class _Gradients(torch.autograd.Function):
    """Those over input and weights: linear in the gradient, each linear in the other one's tensor as well."""

    @staticmethod
    def forward(geometry: tuple, gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, [True, True, False])[:2]

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.geometry, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, for_x: Tensor, for_weight: Tensor) -> tuple[Tensor | None, ...]:
        gradient, x, weight = ctx.saved_tensors
        for_gradient = _Convolution.apply(ctx.geometry, for_x, weight) + _Convolution.apply(ctx.geometry, x, for_weight)
        return None, for_gradient, *_Gradients.apply(ctx.geometry, gradient, for_x, for_weight)
