"""Discretisation: always a valid cell, blind to a constant per edge, equal to a brute-force reading of Sect. 2.4."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from repro.discretise import conv_genotype, recurrent_genotype
from repro.errors import ReproError
from repro.genotypes import RECURRENT_OPERATIONS, SEARCH_OPERATIONS, from_json, to_json

REFERENCE = Path(__file__).parent / "reference"


@st.composite
def alphas(draw, operations, inputs):
    nodes = draw(st.integers(1, 4))
    edges = sum(inputs + node for node in range(nodes))
    number = st.integers(-200, 200).map(lambda value: value / 64)  # exact: adding a constant rounds nothing
    values = draw(st.lists(number, min_size=edges * len(operations), max_size=edges * len(operations)))
    return torch.tensor(values, dtype=torch.float64).view(edges, len(operations))


conv_alphas = alphas(SEARCH_OPERATIONS, 2)
recurrent_alphas = alphas(RECURRENT_OPERATIONS, 1)


def strength(row):
    """The largest softmax among the operations that are not `none`, and that operation."""
    total = math.fsum(math.exp(value) for value in row)
    return max((math.exp(value) / total, -column) for column, value in enumerate(row) if column > 0)


def brute_force(alphas, operations, inputs, keep):
    """Of every set of `keep` edges into a node, take the one whose strengths are largest."""
    rows = iter(alphas.tolist())
    cell = []
    sources = inputs
    while True:
        node = [strength(row) for _, row in zip(range(sources), rows, strict=False)]
        if not node:
            return cell
        assume(all(abs(a[0] - b[0]) > 1e-12 for a, b in combinations(node, 2)))
        chosen = max(combinations(range(sources), keep), key=lambda edges: sum(node[edge][0] for edge in edges))
        cell.append({(operations[-node[edge][1]], edge) for edge in chosen})
        sources += 1


@given(conv_alphas, conv_alphas, st.data())
def test_a_constant_per_edge_changes_nothing_and_the_cell_is_valid(normal, reduce, data):
    genotype = conv_genotype(normal, reduce)
    assert from_json(to_json(genotype)) == genotype
    shift = data.draw(st.lists(st.integers(-64, 64), min_size=len(normal), max_size=len(normal)))
    assert conv_genotype(normal + torch.tensor(shift)[:, None], reduce) == genotype


@given(recurrent_alphas)
def test_the_recurrent_cell_is_valid_and_equals_a_brute_force_reading(alphas):
    genotype = recurrent_genotype(alphas)
    assert from_json(to_json(genotype)) == genotype
    found = [{edge} for edge in genotype.recurrent]
    assert found == brute_force(alphas, RECURRENT_OPERATIONS, 1, keep=1)
    assert genotype.concat == tuple(range(1, len(found) + 1))


@given(conv_alphas, conv_alphas)
def test_the_convolutional_cells_equal_a_brute_force_reading(normal, reduce):
    genotype = conv_genotype(normal, reduce)
    for edges, alphas in ((genotype.normal, normal), (genotype.reduce, reduce)):
        nodes = [set(edges[first : first + 2]) for first in range(0, len(edges), 2)]
        assert nodes == brute_force(alphas, SEARCH_OPERATIONS, 2, keep=2)
        assert all(len({source for _, source in node}) == 2 for node in nodes)


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
