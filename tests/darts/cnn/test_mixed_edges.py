"""The table of operations: every entry, and generated ones, are mixed as modules compute them, in all formulations."""

from itertools import chain
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from repro.darts import plain_networks
from repro.darts.cnn import mixed_edges
from repro.darts.cnn.batched_edges import BatchedEdges
from repro.darts.cnn.dense_edges import DenseEdges
from repro.darts.cnn.folded_edges import FoldedEdges, total
from repro.darts.cnn.mixed_edges import MixedEdges
from repro.darts.cnn.operations import MIXED, OPERATIONS, POOLINGS, Separable, mixed
from repro.darts.plain import MixedOp
from repro.errors import ReproError
from repro.spaces.genotypes import SEARCH_OPERATIONS

CHANNELS, EDGES = 2, 2

separables = st.builds(Separable, st.sampled_from([1, 3, 5, 7]), st.integers(1, 4), st.booleans())
tables = st.lists(separables, min_size=1, max_size=4).map(lambda kinds: dict(enumerate(kinds)))


def mixed_op(group, edge, table):
    """One edge of the group in plain code, with its weights."""
    shared = [
        plain_networks.operation(name, CHANNELS, group.stride, False) for name in ("none", *POOLINGS, "skip_connect")
    ]
    for index in range(1, 1 + len(POOLINGS)):
        shared[index] = nn.Sequential(shared[index], nn.BatchNorm2d(CHANNELS, affine=False))
    again, maps, own = 0, slice(edge * CHANNELS, (edge + 1) * CHANNELS), []
    for index, kind in enumerate(table.values()):
        strides = (group.stride, 1) if kind.twice else (group.stride,)
        layers = [plain_networks.separable(CHANNELS, kind.kernel, each, kind.dilation, False) for each in strides]
        own.append(nn.Sequential(*chain.from_iterable(layers)))
        weights = [group.depthwise[index][maps], group.pointwise[index * EDGES + edge]]
        if kind.twice:
            weights += [group.depthwise_again[again][maps], group.pointwise_again[again * EDGES + edge]]
            again += 1
        fill(own[-1].parameters(), weights)
    if group.stride == 2:
        fill(shared[-1].parameters(), (group.skip_even[edge], group.skip_odd[edge]))
    return MixedOp([*shared, *own]).double()


def fill(parameters, weights):
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.data = weight.detach().reshape(parameter.shape).clone()


def compare(table, stride, height, width):
    """Values, slopes of the input and of the probabilities, in all formulations; then with running statistics."""
    torch.manual_seed(0)
    with mock.patch.object(mixed_edges, "MIXED", table):
        groups = [MixedEdges(CHANNELS, EDGES, stride).double() for _ in range(3)]
    for group in groups[1:]:
        group.load_state_dict(groups[0].state_dict())
    x = torch.randn(3, CHANNELS, height, width, dtype=torch.float64, requires_grad=True)
    probabilities = torch.rand(EDGES, 1 + len(POOLINGS) + 1 + len(table), dtype=torch.float64, requires_grad=True)
    edges = [mixed_op(groups[0], edge, table) for edge in range(EDGES)]

    def plain():
        return [edge(x, row) for edge, row in zip(edges, probabilities, strict=True)]

    def folded(group):
        return [total([part]) for part in FoldedEdges(group)(x, probabilities)]

    dense = DenseEdges(groups[2])(x, probabilities)
    agree(x, probabilities, plain(), folded(groups[0]), BatchedEdges(groups[1])(x, probabilities), dense)
    for module in (*edges, *groups):
        module.eval()
    agree(x, probabilities, plain(), *map(folded, groups))


def agree(x, probabilities, expected, *found):
    slopes = [torch.randn_like(y) for y in expected]
    wanted = [*expected, *torch.autograd.grad(expected, (x, probabilities), slopes)]
    for maps in found:
        maps = list(maps)
        values = [*maps, *torch.autograd.grad(maps, (x, probabilities), slopes)]
        for value, want in zip(values, wanted, strict=True):
            torch.testing.assert_close(value, want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("stride", [1, 2])
def test_every_operation_of_the_search_is_mixed_as_its_module(stride):
    compare(MIXED, stride, 9, 8)
    for name in MIXED:
        assert MIXED[name] is OPERATIONS[name]


@settings(max_examples=12)
@given(table=tables, stride=st.sampled_from([1, 2]), height=st.integers(5, 9), width=st.integers(5, 9))
def test_an_operation_of_ones_own_is_mixed_as_its_module(table, stride, height, width):
    """Whatever its kernel and dilation, applied once or twice, and wherever it stands among the others."""
    compare(table, stride, height, width)


def test_the_search_refuses_what_it_cannot_mix():
    assert [*mixed((*SEARCH_OPERATIONS, "sep_conv_7x7"))] == [*MIXED, "sep_conv_7x7"]
    for names in ((*SEARCH_OPERATIONS, "conv_7x1_1x7"), SEARCH_OPERATIONS[1:], SEARCH_OPERATIONS[:4]):
        with pytest.raises(ReproError, match="the search can mix none, max_pool_3x3"):
            mixed(names)
    for kernel, dilation in ((4, 1), (-3, 1), (2.5, 1), (3, 0), (3, -2)):
        with pytest.raises(ReproError, match=rf"kernel of {kernel} and a dilation of {dilation}: take an odd kernel"):
            Separable(kernel, dilation)
