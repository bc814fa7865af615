"""The batched search network against the plain one, in float64: values, first and second derivatives, statistics."""

from itertools import chain
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from repro.darts import plain as paper
from repro.darts.bilevel import Functional, architecture_gradient
from repro.darts.cnn import depthwise, folding
from repro.darts.cnn.batched_edges import BatchedEdges
from repro.darts.cnn.dense_edges import DenseEdges
from repro.darts.cnn.folded_edges import FoldedEdges, total
from repro.darts.cnn.mixed_edges import MixedEdges
from repro.darts.cnn.search import ImageSearch
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.double_backward import differentiated_twice
from repro.darts.plain_networks import SearchNetwork as PlainSearchNetwork
from repro.originals.cnn import load_released, places, released_view

CLASSES = 5


def pair(channels, cells, nodes, in_channels, seed=0, dense=False):
    """The two networks with the same random weights, statistics and alphas."""
    torch.manual_seed(seed)
    plain = PlainSearchNetwork(channels, CLASSES, cells, nodes, in_channels=in_channels).double()
    for name, value in plain.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    network = SearchNetwork(channels, CLASSES, cells, nodes, in_channels=in_channels, dense=dense).double()
    load_released(network, plain.state_dict())
    plain.alphas = [alpha.detach().clone().normal_().requires_grad_() for alpha in network.alphas]
    with torch.no_grad():
        for alpha, value in zip(network.alphas, plain.alphas, strict=True):
            alpha.copy_(value)
    return network, plain


def relative(value, expected):
    return ((value - expected).abs().max() / expected.abs().max()).item()


sizes = st.fixed_dictionaries(
    {
        "channels": st.sampled_from([2, 4, 6]),
        "cells": st.integers(3, 5),
        "nodes": st.integers(1, 4),
        "in_channels": st.sampled_from([1, 3]),
        "seed": st.integers(0, 1000),
    }
)


FORMULATIONS = pytest.mark.parametrize(("folds", "dense"), [(True, False), (False, False), (False, True)])


@FORMULATIONS
@settings(max_examples=6)
@given(size=sizes, batch=st.integers(3, 5), height=st.integers(5, 12), width=st.integers(5, 12))
def test_equals_the_plain_network(folds, dense, size, batch, height, width):
    """As on a CPU, with BatchNorm folded, and as on a GPU, with all edges of a source in one convolution."""
    with mock.patch("repro.darts.cnn.search_network.folds_on", return_value=folds):
        compare(*pair(**size, dense=dense), size["in_channels"], batch, height, width)


def compare(network, plain, in_channels, batch, height, width):
    x, y = torch.randn(batch, in_channels, height, width).double(), torch.randint(CLASSES, (batch,))
    assert relative(network.eval()(x), plain.eval()(x)) < 1e-9
    expected = plain.train()(x)
    logits = network.train()(x)
    assert relative(logits, expected) < 1e-9
    cross_entropy(expected, y).backward()
    cross_entropy(logits, y).backward()
    for alpha, value in zip(network.alphas, plain.alphas, strict=True):
        assert relative(alpha.grad, value.grad) < 1e-9
    parameters, released, state = dict(network.named_parameters()), places(network), network.state_dict()
    gradients = {name: parameter.grad for name, parameter in parameters.items()}
    for name, parameter in plain.named_parameters():
        found = released_view(gradients, released[name]).reshape(parameter.shape)
        assert relative(found, parameter.grad) < 1e-9, name
    for name, value in plain.state_dict().items():
        if "running" in name:
            assert relative(released_view(state, released[name]), value) < 1e-9, name


@FORMULATIONS
def test_second_derivatives_equal_those_of_the_plain_network(folds, dense, monkeypatch):
    monkeypatch.setattr("repro.darts.cnn.search_network.folds_on", lambda device: folds)
    network, plain = pair(4, 4, 3, 3, dense=dense)
    x, y = torch.randn(4, 3, 9, 8).double(), torch.randint(CLASSES, (4,))

    def second(each, weights):
        slope = torch.autograd.grad(cross_entropy(each(x), y), weights, create_graph=True)
        return torch.autograd.grad(sum((part**2).sum() for part in slope), each.alphas)

    with differentiated_twice():
        found = [second(network, network.weights())]
    found.append(second(plain, list(plain.parameters())))
    for value, expected in zip(*found, strict=True):
        assert relative(value, expected) < 1e-9


@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("order", [1, 2])
def test_steps_of_the_search_are_those_of_algorithm_1(order, folds, monkeypatch):
    """Losses, alpha, and all of w: with momentum, weight decay, and gradients of w that are clipped."""
    monkeypatch.setattr("repro.darts.cnn.search_network.folds_on", lambda device: folds)
    network, plain = pair(2, 3, 2, 1)
    both = [
        (
            torch.optim.SGD(w, 0.05, 0.9, weight_decay=0.01),
            torch.optim.Adam(alphas, 0.01, (0.5, 0.999), weight_decay=0.1),
        )
        for w, alphas in ((network.weights(), network.alphas), (list(plain.parameters()), plain.alphas))
    ]
    search = ImageSearch(network, *both[0], order=order, grad_clip=0.5)
    for _ in range(3):
        batches = [(torch.randn(4, 1, 8, 8).double(), torch.randint(CLASSES, (4,))) for _ in range(2)]
        expected = paper.search_step(plain, *both[1], *batches, order=order, grad_clip=0.5)
        assert relative(search.step(*batches)[0], expected) < 1e-9
        for alpha, value in zip(network.alphas, plain.alphas, strict=True):
            assert relative(alpha.detach(), value.detach()) < 1e-7
        state = network.state_dict()
        released = places(network)
        for name, value in plain.named_parameters():
            found = released_view(state, released[name]).reshape(value.shape)
            assert relative(found, value.detach()) < 1e-8, name


class Convolutions(TorchDispatchMode):
    """Counts them, and their gradients."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._schema.name in ("aten::convolution", "aten::convolution_backward")
        return func(*args, **(kwargs or {}))


def test_dense_first_convolutions_repeat_nothing_and_group_nothing():
    """In a group of edges: four of x, one for each operation, and the second depthwise one."""
    weights = MixedEdges(4, 3, 1).to("meta")
    x, p = torch.randn(2, 4, 8, 8, device="meta"), torch.rand(3, 8, device="meta")
    counts = []
    for edges in (BatchedEdges, DenseEdges):
        with Convolutions() as convolutions:
            edges(weights)(x, p)
        counts.append(convolutions.count - 1)  # that of the planes
    assert counts == [6, 5]


def test_an_exact_gradient_takes_as_many_convolutions_on_a_gpu_as_a_finite_difference():
    """And not one for each channel of each edge; nearly: the network's other convolutions are differentiated too."""
    network = SearchNetwork(8, CLASSES, 3, 2).to("meta")
    x, y = torch.randn(2, 3, 8, 8, device="meta"), torch.randint(CLASSES, (2,), device="meta")
    functional = Functional(network, network.weights(), network.alphas)
    loss = lambda weights, alphas: cross_entropy(functional(weights, alphas, x), y)
    counts = []
    for order in (2, "exact"):
        with Convolutions() as convolutions:
            architecture_gradient(order, loss, loss, network.weights(), network.alphas, xi=0.1)
        counts.append(convolutions.count)
    assert counts[1] < 1.2 * counts[0]


@pytest.mark.parametrize("order", ["implicit", "unrolled"])
def test_gradients_beyond_one_step_are_the_plain_networks(order):
    network, plain = pair(4, 3, 2, 3)
    x, y = torch.randn(4, 3, 8, 8).double(), torch.randint(CLASSES, (4,))
    functional, names = Functional(network, network.weights(), network.alphas), dict(plain.named_parameters())

    def plain_loss(weights, alphas):
        plain.alphas = alphas
        state = dict(zip(names, weights, strict=True)) | {n: b.clone() for n, b in plain.named_buffers()}
        return cross_entropy(torch.func.functional_call(plain, state, (x,)), y)

    fast_loss = lambda weights, alphas: cross_entropy(functional(weights, alphas, x), y)
    how = {"terms": 3, "xi": 0.05, "weight_decay": 3e-4}
    ours = architecture_gradient(order, fast_loss, fast_loss, network.weights(), network.alphas, **how)
    theirs = architecture_gradient(order, plain_loss, plain_loss, [*names.values()], plain.alphas, **how)
    assert max(relative(one, other) for one, other in zip(ours, theirs, strict=True)) < 1e-8


def test_alphas_are_in_the_state_dict_and_apart_from_the_weights():
    network = SearchNetwork(4, CLASSES, 3, 2)
    assert {"alphas_normal", "alphas_reduce"} <= set(network.state_dict())
    assert not {id(alpha) for alpha in network.alphas} & {id(weight) for weight in network.weights()}
    assert len(network.weights()) + 2 == len(list(network.parameters()))
    assert not any(alpha.any() for alpha in SearchNetwork(4, CLASSES, 3, 2, alpha_scale=0).alphas)


def test_swapped_parameters_and_buffers_leave_the_network_untouched():
    network = SearchNetwork(4, CLASSES, 3, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.randn(2, 3, 8, 8)
    swapped = {name: value.clone() for name, value in before.items()}
    torch.func.functional_call(network, swapped, (x,))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not torch.equal(swapped["stem.1.running_mean"], before["stem.1.running_mean"])
    network(x)
    assert all(torch.equal(value, swapped[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("folds", [True, False])
def test_gradients_reach_every_tensor_that_is_swapped_in(folds):
    network = SearchNetwork(4, CLASSES, 3, 2)
    swapped = {name: (2 * value).detach().requires_grad_() for name, value in network.named_parameters()}
    with mock.patch("repro.darts.cnn.search_network.folds_on", return_value=folds):
        logits = torch.func.functional_call(
            network, {name: 1 * value for name, value in swapped.items()}, (torch.randn(2, 3, 8, 8),)
        )
    assert all(part.any() for part in torch.autograd.grad(logits.square().sum(), list(swapped.values())))


@pytest.mark.parametrize("folds", [True, False])
def test_single_precision_loses_as_little_as_the_plain_network(folds, monkeypatch):
    """BatchNorm from second moments must not cancel digits: both differ from double precision by rounding alone."""
    monkeypatch.setattr("repro.darts.cnn.search_network.folds_on", lambda device: folds)
    network, plain = pair(8, 3, 2, 3)
    x = 3 + torch.randn(16, 3, 16, 16).double()  # means far from zero are what would cancel
    exact = network(x)
    plain.alphas = [alpha.detach().float() for alpha in plain.alphas]
    errors = [relative(each.float()(x.float()).double(), exact) for each in (network, plain)]
    assert errors[0] < max(10 * errors[1], 2e-6)


# ---- kernels


@settings(max_examples=40)
@given(
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_depthwise_equals_the_library(kernel, stride, dilation, height, width):
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width).double().requires_grad_()
    weight = torch.randn(3, 1, kernel, kernel).double().requires_grad_()
    check(lambda: depthwise.depthwise(x, weight, stride, dilation), (x, weight))
    with differentiated_twice():
        check(lambda: depthwise.plain_depthwise(stride, dilation, x, weight), (x, weight))
    padding = dilation * (kernel // 2)
    expected = torch.nn.functional.conv2d(x, weight, None, stride, padding, dilation, groups=3)
    assert torch.allclose(depthwise.depthwise(x, weight, stride, dilation), expected, rtol=1e-12, atol=1e-12)


def test_depthwise_moments_equal_the_plain_formulas():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 5, 4).double().requires_grad_() for _ in range(2)]
    kernels_ = [torch.randn(3, 1, size, size).double().requires_grad_() for size in (3, 5)]
    for dilation, read in ((1, inputs), (2, inputs[:1])):
        found, means, covariances = folding.depthwise_moments(read, kernels_, dilation=dilation)
        for y, mean, covariance in zip(found, means, covariances, strict=True):
            matrix = y.transpose(0, 1).flatten(1)
            assert torch.allclose(mean, matrix.mean(1), rtol=1e-12)
            assert torch.allclose(covariance, matrix.cov(correction=0), rtol=1e-12)
        check(
            lambda read=read, dilation=dilation: torch.cat(
                [
                    part.flatten()
                    for part in chain.from_iterable(
                        each if isinstance(each, tuple) else [each]
                        for each in folding.depthwise_moments(read, kernels_, dilation=dilation)
                    )
                ]
            ),
            (*read, *kernels_),
        )


def test_moments_after_a_product():
    torch.manual_seed(0)
    x, weight = torch.randn(3, 40).double(), torch.randn(5, 3).double()
    mean, var = folding.after(weight, x.mean(1), x.cov(correction=0))
    y = weight @ x
    assert torch.allclose(mean, y.mean(1), rtol=1e-12)
    assert torch.allclose(var, y.var(1, correction=0), rtol=1e-12)


def test_maps_without_variance_stay_finite():
    """Large and constant: the difference of two second moments is rounding alone."""
    edges = MixedEdges(4, edges=2, stride=1)
    x = torch.full((8, 4, 6, 6), 1e4, requires_grad=True)
    node = total(FoldedEdges(edges)(x, torch.full((2, 8), 1 / 8)))
    (slope,) = torch.autograd.grad(node.sum(), x)
    assert torch.isfinite(node).all()
    assert torch.isfinite(slope).all()


def test_mixture_equals_the_plain_formula():
    torch.manual_seed(0)
    x, z = (torch.randn(2, 3, 4, 3).double().requires_grad_() for _ in "xz")
    plane = torch.randn(2, 5, 4, 3).double().requires_grad_()
    weight, other = (torch.randn(5, 3).double().requires_grad_() for _ in "ab")
    bias, strength = (torch.randn(size).double().requires_grad_() for size in (5, 1))
    result = folding.mixture([x, z], [weight, other], bias, [plane], strength)
    products = torch.einsum("nchw,mc->nmhw", x, weight) + torch.einsum("nchw,mc->nmhw", z, other)
    assert torch.allclose(result, products + bias[:, None, None] + strength * plane, rtol=1e-12)
    tensors = (x, z, weight, other, bias, plane, strength)
    check(lambda: folding.mixture([x, z], [weight, other], bias, [plane], strength), tensors)


def check(function, inputs):
    """First derivatives by the fast path and by the recorded one agree, and both with finite differences."""
    output = function()
    slope = torch.randn_like(output)
    fast = torch.autograd.grad(output, inputs, slope, retain_graph=True)
    recorded = torch.autograd.grad(output, inputs, slope, create_graph=True)
    for value, expected in zip(fast, recorded, strict=True):
        assert torch.allclose(value, expected, rtol=1e-10, atol=1e-10)
    assert torch.autograd.gradcheck(lambda *_: function(), inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *_: function(), inputs, fast_mode=True)
