"""Depthwise convolutions whose gradients are several times as fast on a CPU as those of `torch.nn.functional`.

oneDNN's gradients of dilated and of 5x5 depthwise convolutions take up to a hundred times as long as the forward pass;
here they are computed by the convolutions that it is fast at. Feature maps are (N, C, H, W) in channels-last memory, so
that they are also matrices (N * H * W, C), called rows.

The fast backward pass is for first derivatives. When autograd records it (`create_graph=True`), the plain formula is
differentiated instead, and any derivative of higher order is right too.
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
    """Return whether oneDNN's gradients are the faster ones, as measured on a CPU with AVX-512, or the only ones."""
    return dilation > 2 or (dilation == 1 and (size != 5 or stride == 2))


def plain_depthwise(stride: int, dilation: int, x: Tensor, weight: Tensor) -> Tensor:
    """Apply PyTorch's convolution: (N, C, H, W), (C, 1, k, k) -> (N, C, H / stride, W / stride)."""
    return convolve(x, weight, stride, dilation * (weight.shape[-1] // 2), dilation, groups=len(weight))


def strided(x: Tensor, stride: int) -> Tensor:
    """Return the pixels that a 1x1 convolution with this stride reads: (N, C, H, W) -> (N, C, H / stride, W / stride).

    The convolution is then applied with stride 1. With a larger one and few channels in channels-last memory, oneDNN
    writes outside its buffers where it computes the gradient of the weights.
    """
    return x[:, :, ::stride, ::stride]


def without_gaps(stride: int, dilation: int, x: Tensor) -> tuple[int, int, Tensor]:
    """Return stride, dilation and input to convolve with: of stride 2 with dilation 2 only the even pixels are read."""
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
    """The gradients of all depthwise convolutions of one input (N, C, H, W).

    oneDNN is fast for kernels of at most 3 columns without dilation. So the pixels that a dilated convolution reads
    together are moved together, and a kernel of 5 columns is computed as its first 3 and its last 3.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def gradients(
        self, stride: int, dilation: int, weight: Tensor, gradient: Tensor, needed: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the input (N, C, H, W) and of the kernels (C, 1, k, k), where needed.

        weight: (C, 1, k, k); gradient: of the result, (N, C, H', W').
        """
        channels, _, size, _ = weight.shape
        if library_is_fast(size, stride, dilation):
            geometry = [stride] * 2, [dilation * (size // 2)] * 2, [dilation] * 2, False, [0, 0], channels
            mask = [*needed, False]
            return torch.ops.aten.convolution_backward(gradient, self.x, weight, None, *geometry, mask)[:2]
        # At stride 1 the gradient of the input is a convolution with the kernels rotated by 180 degrees
        for_x = plain_depthwise(1, dilation, gradient, weight.flip(2, 3)) if needed[0] else None
        return for_x, self._weight(channels, size, dilation, gradient) if needed[1] else None

    def _weight(self, channels: int, size: int, dilation: int, gradient: Tensor) -> Tensor:
        if dilation == 2:
            parts = self.together._weight(2 * channels, size, 1, _together(gradient))  # (2 * C, 1, k, k)
            return parts[:channels] + parts[channels:]  # of even and of odd columns
        if size != 5:
            return conv2d_weight(self.x, (channels, 1, size, size), gradient, 1, size // 2, groups=channels)
        window = channels, 1, size, 3
        first, last = (conv2d_weight(x, window, gradient, groups=channels) for x in self.shifted)  # 2 x (C, 1, 5, 3)
        return torch.cat([first, last[..., 1:]], dim=3)  # (C, 1, 5, 5): both have the middle column

    @cached_property
    def shifted(self) -> tuple[Tensor, Tensor]:
        """The inputs of the first and of the last 3 columns of a kernel of 5, 2 x (N, C, H + 4, W + 2)."""
        return _two_columns_apart(self.x)

    @cached_property
    def together(self) -> "InputReader":
        """The input of kernels with dilation 2, without the pixels between: (2 * N, 2 * C, H / 2, W / 2)."""
        return InputReader(_together(self.x))


def _two_columns_apart(x: Tensor) -> tuple[Tensor, Tensor]:
    """Pad (N, C, H, W) by 2 rows on either side, and 2 columns on the left, and on the right: 2 x (N, C, H + 4, W + 2).

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
    """Separate even from odd rows and columns: (N, C, H, W) -> (2 * N, 2 * C, H / 2, W / 2).

    Even and odd columns become channels, which is a view of the same memory; even and odd rows become images.
    """
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        x = functional.pad(x, (0, width % 2, 0, height % 2))
    x = x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C)
    x = x.view(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, -1)  # (N, H / 2, 2, W / 2, 2 * C)
    x = x.permute(2, 0, 1, 3, 4).flatten(0, 1)  # (2 * N, H / 2, W / 2, 2 * C)
    return x.permute(0, 3, 1, 2)
