"""BatchNorm and the weighted sum of Eq. 2 folded into the 1x1 convolutions before them, for the CPU.

BatchNorm without affine after y = W x needs the means and variances of y. They follow from the moments of x, the result
of a depthwise convolution: mean(y) = W mean(x) and var(y) = diag(W cov(x) W'). So y is never computed: the normalised,
weighted sum of all operations on all edges into a node is a sum of products of such x with other matrices than W.

R = N * H' * W' are the rows of a result as a matrix (R, C); K the kernels.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from repro.darts.cnn.depthwise import InputReader, maps, plain_depthwise, rows, without_gaps
from repro.darts.double_backward import recorded_gradient

T = TypeVar("T")


def depthwise_moments(
    inputs: Sequence[Tensor], weights: Sequence[Tensor], stride: int = 1, dilation: int = 1
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Convolve one input (N, C, H, W) by K kernels (C, 1, k, k), or K inputs by one kernel each, as `depthwise` does.

    Return the K results (N, C, H', W'), and the means (K, C) and covariances (K, C, C) of their channels in float64.
    """
    strides, dilations, inputs = zip(*(without_gaps(stride, dilation, x) for x in inputs), strict=True)
    geometry = len(inputs), strides[0], dilations[0]
    *results, mean, covariance = _DepthwiseMoments.apply(*geometry, *inputs, *weights)
    return tuple(results), mean, covariance


def _plain_depthwise_moments(count: int, stride: int, dilation: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    inputs, weights = _pairs(count, tensors)
    results = [plain_depthwise(stride, dilation, x, weight) for x, weight in zip(inputs, weights, strict=True)]
    matrices = torch.stack([rows(result).double() for result in results])  # (K, R, C)
    mean = matrices.mean(dim=1)  # (K, C)
    matrices = matrices - mean[:, None]
    return *results, mean, matrices.mT @ matrices / matrices.shape[1]


class _DepthwiseMoments(torch.autograd.Function):
    @staticmethod
    def forward(count: int, stride: int, dilation: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(*_pairs(count, tensors), strict=True)
        results = [plain_depthwise(stride, dilation, x, weight) for x, weight in pairs]
        size = len(rows(results[0]))  # R
        mean = torch.stack([rows(y).sum(0) for y in results]).double() / size  # (K, C)
        products = torch.stack([_products(rows(y)) for y in results]).double() / size  # (K, C, C)
        return *results, mean, products - mean[:, :, None] * mean[:, None]

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.geometry = inputs[:3]
        ctx.save_for_backward(*inputs[3:], *output[:-1])

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        count, stride, dilation = ctx.geometry
        *tensors, mean = ctx.saved_tensors
        tensors, results = tensors[: -len(mean)], tensors[-len(mean) :]
        if torch.is_grad_enabled():
            plain = partial(_plain_depthwise_moments, *ctx.geometry)
            return None, None, None, *recorded_gradient(plain, tensors, ctx.needs_input_grad[3:], gradients)
        slopes = _with_moments(gradients[:-2], results, mean, *gradients[-2:])  # K x (N, C, H', W')
        shared = InputReader(tensors[0]) if count == 1 else None
        needed = ctx.needs_input_grad[3:]
        found: list[Tensor | None] = [None] * len(tensors)
        for index, (slope, weight) in enumerate(zip(slopes, tensors[count:], strict=True)):
            source = index % count
            wanted = needed[source], needed[count + index]
            reader = shared or InputReader(tensors[source])
            for_x, found[count + index] = reader.gradients(stride, dilation, weight, slope, wanted)
            found[source] = for_x if found[source] is None else found[source].add_(for_x)
        return None, None, None, *found


def _pairs(count: int, tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Split into K inputs, a single one repeated, and K kernels."""
    inputs, weights = tensors[:count], tensors[count:]
    return inputs * (len(weights) // count), weights


def _products(x: Tensor) -> Tensor:
    """Return X' X of (R, C) as a sum of up to 8 parts, which rounds less than one product of all rows."""
    parts = x.unflatten(0, (math.gcd(len(x), 8), -1))  # (parts, R / parts, C)
    return (parts.mT @ parts).sum(0)  # (C, C)


def _with_moments(
    slopes: Sequence[Tensor], results: Sequence[Tensor], mean: Tensor, for_mean: Tensor, for_covariance: Tensor
) -> Iterator[Tensor]:
    """Yield the gradient (N, C, H', W') of each result: its own, and what reaches it by its mean and covariance."""
    size = len(rows(results[0]))  # R
    matrices = (for_covariance + for_covariance.mT) / size  # (K, C, C)
    biases = for_mean / size - (matrices @ mean[..., None]).squeeze(2)  # (K, C)
    dtype = results[0].dtype
    for slope, result, matrix, bias in zip(slopes, results, matrices.to(dtype), biases.to(dtype), strict=True):
        yield maps(torch.addmm(rows(slope), rows(result), matrix).add_(bias), like=result)


def after(weight: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and variances (..., M) of W x; W is (..., M, C), x has mean (..., C) and covariance (..., C, C)."""
    var = (weight @ covariance * weight).sum(-1).clamp(min=0)  # rounding may make that of a constant negative
    return (weight @ mean[..., None]).squeeze(-1), var


def pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve 1x1: (N, C, H, W), (M, C), (M,) -> (N, M, H, W)."""
    return mixture([x], [weight], bias, [], bias.new_empty(0))


def mixture(
    inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor, planes: Sequence[Tensor], scales: Tensor
) -> Tensor:
    """Return the sum (N, M, H, W) of 1x1 convolutions with one bias, and of scaled maps.

    inputs, weights, bias: (N, C, H, W) and (M, C), a convolution each, and (M,).
    planes, scales: (N, M, H, W) each, and as many numbers.
    """
    return _Mixture.apply(len(inputs), bias, scales, *inputs, *weights, *planes)


def _plain_mixture(count: int, bias: Tensor, scales: Tensor, *tensors: Tensor) -> Tensor:
    inputs, weights, planes = _thirds(count, tensors)
    products = [functional.conv2d(x, weight[..., None, None]) for x, weight in zip(inputs, weights, strict=True)]
    weighted = [scale * plane for scale, plane in zip(scales, planes, strict=True)]
    return sum(products + weighted) + bias[:, None, None]


def _thirds(count: int, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    """Split into what belongs to `count` inputs, to as many weights, and to the planes."""
    return values[:count], values[count : 2 * count], values[2 * count :]


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(count: int, bias: Tensor, scales: Tensor, *tensors: Tensor) -> Tensor:
        inputs, weights, planes = _thirds(count, tensors)
        total = torch.addmm(bias, rows(inputs[0]), weights[0].mT)  # (R, M)
        for x, weight in zip(inputs[1:], weights[1:], strict=True):
            total.addmm_(rows(x), weight.mT)
        for plane, scale in zip(planes, scales, strict=True):
            total.addcmul_(rows(plane), scale)
        return maps(total, like=inputs[0])

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.count, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # read once: reading recomputes a cell whose activations were not stored
        if torch.is_grad_enabled():
            plain = partial(_plain_mixture, ctx.count)
            return None, *recorded_gradient(plain, saved, ctx.needs_input_grad[1:], gradient)
        _, scales, *tensors = saved
        inputs, weights, planes = _thirds(ctx.count, tensors)
        _, _, scales_needed, *needed = ctx.needs_input_grad
        inputs_needed, weights_needed, planes_needed = _thirds(ctx.count, needed)
        slope = rows(gradient)  # (R, M)
        along = lambda plane: torch.dot(slope.flatten(), rows(plane).flatten())
        return (
            None,
            slope.sum(0),
            torch.stack([along(plane) for plane in planes]) if scales_needed and planes else None,
            *(maps(slope @ w, like=gradient) if n else None for w, n in zip(weights, inputs_needed, strict=True)),
            *(slope.mT @ rows(x) if n else None for x, n in zip(inputs, weights_needed, strict=True)),
            *(gradient * s if n else None for s, n in zip(scales, planes_needed, strict=True)),
        )
