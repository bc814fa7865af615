"""Discretisation: always a valid cell, blind to a constant per edge, and what Sect. 2.4 says in plain code."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.darts import plain
from repro.darts.discretise import conv_genotype, recurrent_genotype
from repro.errors import ReproError
from repro.spaces.genotypes import RECURRENT_OPERATIONS, SEARCH_OPERATIONS, from_json, to_json

REFERENCE = Path(__file__).parents[1] / "reference"


exact = st.integers(-200, 200).map(lambda value: value / 64)  # adding a constant rounds nothing


@st.composite
def alphas(draw, operations, inputs, number=exact):
    nodes = draw(st.integers(1, 4))
    edges = sum(inputs + node for node in range(nodes))
    values = draw(st.lists(number, min_size=edges * len(operations), max_size=edges * len(operations)))
    return torch.tensor(values, dtype=torch.float64).view(edges, len(operations))


conv_alphas = alphas(SEARCH_OPERATIONS, 2)
recurrent_alphas = alphas(RECURRENT_OPERATIONS, 1)


@given(conv_alphas, conv_alphas, st.data())
def test_a_constant_per_edge_changes_nothing_and_the_cell_is_valid(normal, reduce, data):
    genotype = conv_genotype(normal, reduce)
    assert from_json(to_json(genotype)) == genotype
    shift = data.draw(st.lists(st.integers(-64, 64), min_size=len(normal), max_size=len(normal)))
    assert conv_genotype(normal + torch.tensor(shift)[:, None], reduce) == genotype


@given(st.one_of(recurrent_alphas, alphas(RECURRENT_OPERATIONS, 1, st.integers(-1, 1))))
def test_the_recurrent_cell_is_valid_and_the_plain_one(alphas):
    """Among equals, of which small integers make many, the first."""
    genotype = recurrent_genotype(alphas)
    assert from_json(to_json(genotype)) == genotype
    assert genotype.recurrent == tuple(plain.derive(alphas, 1, 1, RECURRENT_OPERATIONS))
    assert genotype.concat == tuple(range(1, len(genotype.recurrent) + 1))


@given(st.one_of(conv_alphas, alphas(SEARCH_OPERATIONS, 2, st.integers(-1, 1))), conv_alphas)
def test_the_convolutional_cells_are_the_plain_ones(normal, reduce):
    genotype = conv_genotype(normal, reduce)
    for edges, values in ((genotype.normal, normal), (genotype.reduce, reduce)):
        assert edges == tuple(plain.derive(values))
        assert all(edges[first].source != edges[first + 1].source for first in range(0, len(edges), 2))


def test_strength_is_softmax_not_raw_alpha():
    alphas = torch.zeros(5, 8)
    alphas[2] = 10  # the largest values, but an undecided edge
    alphas[3, 4] = alphas[4, 5] = 1
    edges = conv_genotype(alphas, alphas).normal[2:]
    assert edges == (("sep_conv_3x3", 1), ("sep_conv_5x5", 2))


def test_none_is_never_chosen_and_weakens_its_edge():
    alphas = torch.zeros(5, 8)
    alphas[:, 0] = 5
    alphas[2, 0] = 9
    genotype = conv_genotype(alphas, alphas)
    assert all(op != "none" for op, _ in genotype.normal)
    assert [source for _, source in genotype.normal[2:]] == [1, 2]


@pytest.mark.parametrize("file", ["cnn_supernet", "rnn_supernet"])
def test_the_reference_genotypes(file):
    with np.load(REFERENCE / f"{file}.npz") as arrays:
        expected = from_json(json.loads(str(arrays["genotype"])))
        if file == "rnn_supernet":
            assert recurrent_genotype(torch.tensor(arrays["alphas"])) == expected
        else:
            found = conv_genotype(torch.tensor(arrays["alphas_normal"]), torch.tensor(arrays["alphas_reduce"]))
            assert found == expected


def test_bad_alphas_are_refused():
    with pytest.raises(ReproError, match=r"alphas of shape \(4, 8\): expected 2 \+ 3 \+ ... rows and 8 columns"):
        conv_genotype(torch.zeros(4, 8), torch.zeros(5, 8))
    with pytest.raises(ReproError, match=r"alphas of shape \(1, 8\): expected 1 \+ 2 \+ ... rows and 5 columns"):
        recurrent_genotype(torch.zeros(1, 8))
    with pytest.raises(ReproError, match="not finite"):
        recurrent_genotype(torch.full((1, 5), math.nan))
