"""Convolutions of a cell, laid out for the CPU: the same numbers as `torch.nn.functional`, several times sooner.

Maps are (N, C, H, W) in channels-last memory, so that they also are matrices (N * H * W, C), called rows. Avoided is
what is slow in the library: its gradients of dilated and of 5x5 depthwise convolutions (up to a hundred times slower
than the forward pass), and the passes over memory that BatchNorm and a weighted sum need.

Every function can be differentiated any number of times: the fast backward pass serves first derivatives, and when
autograd records it (`create_graph=True`), the plain formula is differentiated instead.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

LAST = torch.channels_last
WINDOW = 3  # oneDNN is fast for the weights of kernels with at most 3 columns and no dilation


def rows(x: Tensor) -> Tensor:
    """View (N, C, H, W) as (N * H * W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def maps(matrix: Tensor, like: Tensor) -> Tensor:
    """View (N * H * W, C) as (N, C, H, W), with N, H and W of `like`."""
    batch, _, height, width = like.shape
    return matrix.view(batch, height, width, -1).permute(0, 3, 1, 2)


# ---- depthwise convolution


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel by itself: (N, C, H, W), (C, 1, k, k) -> (N, C, H / stride, W / stride), k odd."""
    if x.device.type != "cpu":
        return _plain_depthwise(x, weight, stride, dilation)
    if stride == dilation == 2:  # this reads even pixels only
        x, stride, dilation = x[:, :, ::2, ::2], 1, 1
    return _Depthwise.apply(x.contiguous(memory_format=LAST), weight, stride, dilation)


def _plain_depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    return functional.conv2d(x, weight, None, stride, padding, dilation, groups=len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        return _plain_depthwise(x, weight, stride, dilation)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.geometry = inputs[2:]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiate(_plain_depthwise, (x, weight), gradient, *ctx.geometry), None, None
        gradient = gradient.contiguous(memory_format=LAST)
        for_x = _depthwise_input(x.shape, weight, gradient, *ctx.geometry) if ctx.needs_input_grad[0] else None
        for_weight = _depthwise_weight(x, weight.shape, gradient, *ctx.geometry) if ctx.needs_input_grad[1] else None
        return for_x, for_weight, None, None


def _depthwise_input(shape: torch.Size, weight: Tensor, gradient: Tensor, stride: int, dilation: int) -> Tensor:
    """Return the gradient over the input; at stride 1 it is a convolution with the kernel turned by 180 degrees."""
    if stride == 1:
        return _plain_depthwise(gradient, weight.flip(2, 3), 1, dilation)
    padding = dilation * (weight.shape[-1] // 2)
    return conv2d_input(shape, weight, gradient, stride, padding, dilation, groups=len(weight))


def _depthwise_weight(x: Tensor, shape: torch.Size, gradient: Tensor, stride: int, dilation: int) -> Tensor:
    """Return the gradient over the kernels, from windows of 3 columns of a convolution without dilation."""
    if dilation > 1:
        x, gradient = _phases(x, dilation), _phases(gradient, dilation)
    channels, _, size, _ = shape
    middle = size // 2
    if size <= WINDOW:
        return conv2d_weight(x, shape, gradient, stride, middle, groups=channels)
    parts = []
    for start in range(0, size, WINDOW):
        begin = min(start, size - WINDOW)  # the last window reaches back into the one before it
        moved = functional.pad(x, (middle - begin, begin + WINDOW - 1 - middle, middle, middle))
        part = conv2d_weight(moved, (channels, 1, size, WINDOW), gradient, stride, groups=channels)
        parts.append(part[..., start - begin :])
    return torch.cat(parts, dim=3)


def _phases(x: Tensor, dilation: int) -> Tensor:
    """Split the pixels by their position modulo d, after adding zeros: (N, C, H, W) -> (d * d * N, C, H / d, W / d)."""
    batch, channels, height, width = x.shape
    x = functional.pad(x, (0, -width % dilation, 0, -height % dilation))
    x = x.unflatten(3, (-1, dilation)).unflatten(2, (-1, dilation))  # (N, C, H / d, d, W / d, d)
    x = x.permute(3, 5, 0, 2, 4, 1).reshape(dilation**2 * batch, -1, -(-width // dilation), channels)
    return x.permute(0, 3, 1, 2)


# ---- BatchNorm folded into the 1x1 convolution before it


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means (C,) and covariances (C, C) of the channels of (N, C, H, W), in float64."""
    return _Moments.apply(x)


def _plain_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    x = rows(x).double()
    mean = x.mean(dim=0)
    return mean, (x - mean).mT @ (x - mean) / len(x)


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        x = rows(x)
        mean = _sum(x) / len(x)
        parts = _parts(x)
        return mean, (parts.mT @ parts).sum(0, dtype=torch.float64) / len(x) - torch.outer(mean, mean)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(inputs[0], output[0])

    @staticmethod
    def backward(ctx, for_mean: Tensor, for_covariance: Tensor) -> Tensor | None:
        x, mean = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiate(_plain_moments, (x,), (for_mean, for_covariance))[0]
        matrix = (for_covariance + for_covariance.mT) * (x.shape[1] / x.numel())
        bias = for_mean * (x.shape[1] / x.numel()) - matrix @ mean
        return maps(torch.addmm(bias.to(x.dtype), rows(x), matrix.to(x.dtype)), like=x)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve 1x1: (N, C, H, W), (M, C), (M,) -> (N, M, H, W)."""
    return mixture([x], [weight], bias, [], bias)


def mixture(
    inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor, planes: Sequence[Tensor], strengths: Tensor
) -> Tensor:
    """Sum 1x1 convolutions and weighted maps into one result of (N, M, H, W).

    inputs, weights: (N, C, H, W) and (M, C), one product each, together with one bias (M,).
    planes: (N, M, H, W), each times its entry of `strengths`.
    """
    return _Mixture.apply(bias, strengths, len(inputs), *inputs, *weights, *planes)


def _plain_mixture(bias: Tensor, strengths: Tensor, *tensors: Tensor, count: int) -> Tensor:
    inputs, weights, planes = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
    products = [functional.conv2d(x, weight[..., None, None]) for x, weight in zip(inputs, weights, strict=True)]
    weighted = [strength * plane for strength, plane in zip(strengths, planes, strict=False)]
    return sum(products + weighted) + bias[:, None, None]


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(bias: Tensor, strengths: Tensor, count: int, *tensors: Tensor) -> Tensor:
        inputs, weights, planes = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        total = torch.addmm(bias, rows(inputs[0]), weights[0].mT)
        for x, weight in zip(inputs[1:], weights[1:], strict=True):
            total.addmm_(rows(x), weight.mT)
        for index, plane in enumerate(planes):
            total.addcmul_(rows(plane), strengths[index])
        return maps(total, like=inputs[0])

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        bias, strengths, ctx.count, *tensors = inputs
        ctx.save_for_backward(bias, strengths, *tensors)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        bias, strengths, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = _differentiate(_plain_mixture, (bias, strengths, *tensors), gradient, count=ctx.count)
            return *found[:2], None, *found[2:]
        inputs, weights = tensors[: ctx.count], tensors[ctx.count : 2 * ctx.count]
        slope = rows(gradient)
        for_inputs = [maps(slope @ weight, like=gradient) for weight in weights]
        for_weights = [slope.mT @ rows(x) for x in inputs]
        for_planes, for_strengths = [], torch.zeros_like(strengths)
        for index, plane in enumerate(tensors[2 * ctx.count :]):
            for_planes.append(gradient * strengths[index])
            for_strengths[index] = torch.dot(slope.flatten(), rows(plane).flatten())
        return _sum(slope).to(bias.dtype), for_strengths, None, *for_inputs, *for_weights, *for_planes


def _sum(x: Tensor) -> Tensor:
    """Sum over rows, in float64: (R, C) -> (C,)."""
    return _parts(x).sum(1).sum(0, dtype=torch.float64)


def _parts(x: Tensor) -> Tensor:
    """Divide (R, C) into up to 64 parts, (P, R / P, C): sums over parts lose fewer digits than one sum over all rows."""
    return x.unflatten(0, (math.gcd(len(x), 64), -1))


def _differentiate(
    plain: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    gradient: Tensor | Sequence[Tensor],
    *args: int,
    **kwargs: int,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the plain formula, such that they can be differentiated again."""
    with torch.enable_grad():
        aliases = [tensor.view_as(tensor) for tensor in inputs]  # one input may have been computed from another
        output = plain(*aliases, *args, **kwargs)
    wanted = [tensor for tensor in aliases if tensor.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True, materialize_grads=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in aliases)
