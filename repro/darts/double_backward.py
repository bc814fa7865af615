"""Gradients that are differentiated again, as the exact architecture gradient needs (DARTS Eq. 7).

`recorded_gradient` is for functions with a gradient written by hand, `convolve` for convolutions in groups. PyTorch
differentiates the gradients of a convolution group by group: of a depthwise one, channel by channel. A convolution is
linear in its input and in its weights, so its gradients are two more convolutions in as many groups, and so are theirs.
One exact gradient of the paper's search network on a GPU launches 2,419 convolutions instead of 29,971.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_twice = False


@contextmanager
def differentiated_twice() -> Iterator[None]:
    """Let `convolve` be differentiated twice by few convolutions: to be held from the first until the last gradient."""
    global _twice
    before, _twice = _twice, True
    try:
        yield
    finally:
        _twice = before


def recorded_gradient(
    plain: Callable[..., Any], inputs: Sequence[Tensor | None], needed: Sequence[bool], slope: Tensor | Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradient of the plain formula over the `needed` inputs, recorded by autograd.

    slope: the gradient over what `plain` returns.
    """
    with torch.enable_grad():
        # views, since one input may have been computed from another, and is constant here
        views = [value if value is None else value.view_as(value) for value in inputs]
        output = plain(*views)
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    found = iter(torch.autograd.grad(output, wanted, slope, create_graph=True, materialize_grads=True))
    return tuple(next(found) if need else None for need in needed)


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int, groups: int) -> Tensor:
    """Apply `torch.nn.functional.conv2d`: (N, G * C, H, W), (G * M, C, k, k) -> (N, G * M, H', W')."""
    if not _twice:
        return functional.conv2d(x, weight, None, stride, padding, dilation, groups)
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):  # which casts not what is saved
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

    setup_context = _Convolution.setup_context

    @staticmethod
    def backward(ctx, for_x: Tensor, for_weight: Tensor) -> tuple[Tensor | None, ...]:
        gradient, x, weight = ctx.saved_tensors
        for_gradient = _Convolution.apply(ctx.geometry, for_x, weight) + _Convolution.apply(ctx.geometry, x, for_weight)
        return None, for_gradient, *_Gradients.apply(ctx.geometry, gradient, for_x, for_weight)
