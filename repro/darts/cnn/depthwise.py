"""Depthwise convolutions for the CPU: the same numbers as `torch.nn.functional`, and gradients several times sooner.

Maps are (N, C, H, W) in channels-last memory, so that they also are matrices (N * H * W, C), called rows. The library's
gradients of dilated and of 5x5 depthwise convolutions take up to a hundred times as long as the forward pass; here they
are made of the convolutions that it is fast at.

Every function can be differentiated any number of times: the fast backward pass serves first derivatives, and when
autograd records it (`create_graph=True`), the plain formula is differentiated instead.
"""

import math
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from repro.darts.double_backward import convolve, recorded_gradient

LAST = torch.channels_last


def laid_out(x: Tensor) -> Tensor:
    """Return images (N, C, H, W) in the memory format that a network is faster with: channels last on a CPU."""
    return x.contiguous(memory_format=LAST) if x.device.type == "cpu" else x


def rows(x: Tensor) -> Tensor:
    """View (N, C, H, W) as (N * H * W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def maps(matrix: Tensor, like: Tensor) -> Tensor:
    """View (N * H * W, C) as (N, C, H, W), with N, H and W of `like`."""
    batch, _, height, width = like.shape
    return matrix.view(batch, height, width, -1).permute(0, 3, 1, 2)


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel by itself: (N, C, H, W), (C, 1, k, k) -> (N, C, H / stride, W / stride), k odd."""
    if x.device.type != "cpu" or library_is_fast(weight.shape[-1], stride, dilation):
        return plain_depthwise(stride, dilation, x, weight)
    return _Depthwise.apply(*without_gaps(stride, dilation, x), weight)


def library_is_fast(size: int, stride: int, dilation: int) -> bool:
    """Whether the library's gradients are the faster ones, measured on one CPU with AVX-512, or the only ones."""
    return dilation > 2 or (dilation == 1 and (size != 5 or stride == 2))


def plain_depthwise(stride: int, dilation: int, x: Tensor, weight: Tensor) -> Tensor:
    """Apply the library's convolution."""
    return convolve(x, weight, stride, dilation * (weight.shape[-1] // 2), dilation, groups=len(weight))


def strided(x: Tensor, stride: int) -> Tensor:
    """Return the pixels (N, C, H / stride, W / stride) that a 1x1 convolution with a stride reads.

    It is to be applied to them without one: with few channels that come last, the library overwrites memory where it
    computes the gradient over the weights of one that has a stride.
    """
    return x[:, :, ::stride, ::stride]


def without_gaps(stride: int, dilation: int, x: Tensor) -> tuple[int, int, Tensor]:
    """Return what is to be convolved: with stride and dilation 2 only even pixels are read, without gaps."""
    if stride == dilation == 2:
        stride, dilation, x = 1, 1, strided(x, 2)
    return stride, dilation, x.contiguous(memory_format=LAST)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(stride: int, dilation: int, x: Tensor, weight: Tensor) -> Tensor:
        return plain_depthwise(stride, dilation, x, weight)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *ctx.geometry, x, weight = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = partial(plain_depthwise, *ctx.geometry)
            return None, None, *recorded_gradient(plain, (x, weight), ctx.needs_input_grad[2:], gradient)
        gradient = gradient.contiguous(memory_format=LAST)
        return None, None, *InputReader(x).gradients(*ctx.geometry, weight, gradient, ctx.needs_input_grad[2:])


class InputReader:
    """Gradients of all depthwise convolutions that read one input.

    oneDNN is fast for kernels of at most 3 columns without dilation. So pixels that are read together in a dilated
    convolution are put side by side, and a kernel of 5 columns is taken as its first 3 and its last 3.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def gradients(
        self, stride: int, dilation: int, weight: Tensor, gradient: Tensor, needed: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return those over the input (N, C, H, W) and over the kernels (C, 1, k, k), where needed."""
        channels, _, size, _ = weight.shape
        if library_is_fast(size, stride, dilation):
            geometry = [stride] * 2, [dilation * (size // 2)] * 2, [dilation] * 2, False, [0, 0], channels
            mask = [*needed, False]
            return torch.ops.aten.convolution_backward(gradient, self.x, weight, None, *geometry, mask)[:2]
        # At stride 1 the gradient over the input is a convolution with the kernels turned by 180 degrees
        for_x = plain_depthwise(1, dilation, gradient, weight.flip(2, 3)) if needed[0] else None
        return for_x, self._weight(channels, size, dilation, gradient) if needed[1] else None

    def _weight(self, channels: int, size: int, dilation: int, gradient: Tensor) -> Tensor:
        if dilation == 2:
            parts = self.together._weight(2 * channels, size, 1, _together(gradient))
            return parts[:channels] + parts[channels:]
        if size != 5:
            return conv2d_weight(self.x, (channels, 1, size, size), gradient, 1, size // 2, groups=channels)
        window = channels, 1, size, 3
        first, last = (conv2d_weight(moved, window, gradient, groups=channels) for moved in self.shifted)
        return torch.cat([first, last[..., 1:]], dim=3)

    @cached_property
    def shifted(self) -> tuple[Tensor, Tensor]:
        """What the first and the last 3 columns of a kernel of 5 read."""
        return _two_columns_apart(self.x)

    @cached_property
    def together(self) -> "InputReader":
        """What kernels of dilation 2 read, without the gaps."""
        return InputReader(_together(self.x))


def _two_columns_apart(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N, C, H, W) with 2 rows of zeros above and below, and 2 columns of zeros on the left, and on the right.

    Both share memory: the zeros on the right of a row are those on the left of the next one.
    """
    batch, channels, height, width = x.shape
    shape = batch, height + 4, width + 2, channels
    memory = x.new_zeros(math.prod(shape) + 2 * channels)
    right = memory[2 * channels :].view(shape)
    right[:, 2:-2, :-2] = x.permute(0, 2, 3, 1)
    left = memory[: -2 * channels].view(shape)
    return left.permute(0, 3, 1, 2), right.permute(0, 3, 1, 2)


def _together(x: Tensor) -> Tensor:
    """Group pixels by whether their row and their column are even: (N, C, H, W) -> (2 * N, 2 * C, H / 2, W / 2).

    Even and odd columns become channels, which is only another view of the same memory; even and odd rows, images.
    """
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        x = functional.pad(x, (0, width % 2, 0, height % 2))
    x = x.permute(0, 2, 3, 1).contiguous()
    x = x.view(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, -1)  # (N, H / 2, 2, W / 2, 2 * C)
    return x.permute(2, 0, 1, 3, 4).flatten(0, 1).permute(0, 3, 1, 2)
