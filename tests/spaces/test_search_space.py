"""Genes, costs, budgets and samplers."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from repro.errors import ReproError, UsageError
from repro.spaces.space import Budget, Cost, PathSampler, Space

SPACE = Space(3, {"block": ("a", "b"), "width": ("x1", "x2", "x3")})
COST = Cost("multiply-adds", 100, np.random.default_rng(0).integers(1, 50, (3, 2, 3)))


def test_a_gene_reads_kind_after_kind():
    assert SPACE.sizes == (2, 2, 2, 3, 3, 3)
    assert SPACE.count == 216 == len(list(SPACE.genes()))
    assert SPACE.by_layer((0, 1, 0, 2, 1, 0)) == [(0, 2), (1, 1), (0, 0)]
    assert SPACE.names((0, 1, 0, 2, 1, 0)) == {"block": ["a", "b", "a"], "width": ["x3", "x2", "x1"]}
    assert Space(3, {}).by_layer(()) == [(), (), ()]


def test_cost_is_the_sum_over_layers():
    for gene in SPACE.genes():
        assert COST(gene) == 100 + sum(
            COST.table[(layer, *choice)] for layer, choice in enumerate(SPACE.by_layer(gene))
        )


def test_the_cheapest_network_is_that_of_the_whole_space():
    assert COST(COST.cheapest()) == min(COST(gene) for gene in SPACE.genes())


def test_a_cost_survives_json():
    again = Cost.from_json(json.loads(json.dumps(COST.to_json())))
    assert again.name == COST.name
    assert all(again(gene) == COST(gene) for gene in SPACE.genes())


@pytest.mark.parametrize(
    ("gene", "message"),
    [
        ((0, 0, 0), "a gene of 3 choices does not fit: 6 are needed, one of block and of width for each of 3 layers"),
        ((0, 0, 2, 0, 0, 0), r"choice 2 for the block of layer 2 is out of range: give 0 to 1 \(a, b\)"),
        ((0, 0, 0, 0, -1, 0), r"choice -1 for the width of layer 1 is out of range: give 0 to 2 \(x1, x2, x3\)"),
        ((0, 0, 0.5, 0, 0, 0), r"choice 0.5 for the block of layer 2 is out of range"),
        ((0, 0, "a", 0, 0, 0), r"choice 'a' for the block of layer 2 is out of range"),
    ],
)
def test_a_wrong_gene_is_one_clear_line(gene, message):
    with pytest.raises(ReproError, match=message) as caught:
        SPACE.check(gene)
    assert "\n" not in str(caught.value)


def test_a_budget_below_the_cheapest_network_names_it():
    cheapest = COST.cheapest()
    Budget(COST, COST(cheapest))
    with pytest.raises(ReproError, match="below the cheapest network") as caught:
        Budget(COST, COST(cheapest) - 1)
    assert str(list(cheapest)) in str(caught.value)
    assert f"which costs {COST(cheapest)}" in str(caught.value)
    with pytest.raises(ReproError, match="below the cheapest network"):
        Budget(COST, float("nan"))


@given(st.sampled_from(list(SPACE.genes())), st.integers(200, 400))
def test_excess_is_nothing_exactly_within_the_budget(gene, limit):
    assert (Budget(COST, limit).excess(gene) == 0) == (COST(gene) <= limit)


def test_uniform_sampling_is_uniform():
    sampler = PathSampler(SPACE, seed=1)
    genes = np.array([sampler() for _ in range(6000)])
    for place, size in enumerate(SPACE.sizes):
        assert np.bincount(genes[:, place], minlength=size) == pytest.approx(6000 / size, rel=0.07)


def test_every_bin_is_drawn_equally_often_and_within_it_every_path():
    sampler = PathSampler(SPACE, 2, COST, [149.5, 180, 210.5])
    drawn, parts = Counter(sampler() for _ in range(6000)), []
    for low, high in sampler.bins:
        paths = [gene for gene in SPACE.genes() if low <= COST(gene) < high]
        parts.append([drawn[gene] for gene in paths])
        assert chisquare(parts[-1]).pvalue > 0.001
    assert sum(map(sum, parts)) == 6000
    assert chisquare([*map(sum, parts)]).pvalue > 0.001


def test_bins_are_seven_equal_ones_over_the_costs_of_nearly_all_paths():
    space, cost = Space(6, {"block": tuple("abcdefgh")}), Cost("BitOps", 0, np.arange(48).reshape(6, 8) ** 2)
    costs = cost.many(np.array(list(space.genes())))
    bins = PathSampler(space, 1, cost).bins
    assert len(bins) == 7
    assert [high for _, high in bins[:-1]] == [low for low, _ in bins[1:]]
    assert np.ptp([high - low for low, high in bins]) < 1e-9 * costs.max()
    assert (costs < bins[0][0]).mean() == pytest.approx(0.001, rel=0.3)
    assert (costs > bins[-1][1]).mean() == pytest.approx(0.001, rel=0.3)
    assert PathSampler(space, 2, cost).bins == bins


def test_a_bin_without_paths_is_left_out_and_no_path_lies_elsewhere():
    sampler = PathSampler(SPACE, 2, COST, [0, 50, 190, 200])
    assert sampler.bins == [(50, 190), (190, 200)]
    costs = [COST(sampler()) for _ in range(2000)]
    assert max(costs) <= 200
    assert np.histogram(costs, [50, 190, 200])[0] == pytest.approx(1000, rel=0.1)
    with pytest.raises(UsageError, match="no path costs 0 to 1 multiply-adds: take other edges"):
        PathSampler(SPACE, 2, COST, [0, 1])


@pytest.mark.parametrize("cost", [None, COST])
def test_a_sampler_resumes_where_it_stopped(cost):
    one, other = PathSampler(SPACE, 3, cost), PathSampler(SPACE, 4, cost)
    for _ in range(5):
        one()
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert [one() for _ in range(20)] == [other() for _ in range(20)]


@pytest.mark.parametrize(("cost", "edges"), [(None, [1, 2]), (COST, [1]), (COST, [2, 1])])
def test_bins_that_make_no_sense_are_refused(cost, edges):
    with pytest.raises(UsageError, match="ascending edges"):
        PathSampler(SPACE, 0, cost, edges)


def test_the_module_starts_without_torch():
    import subprocess
    import sys

    code = "import sys, repro.spos.evolution, repro.spaces.nas_bench; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_many_costs_at_once_equal_one_by_one():
    genes = list(itertools.islice(SPACE.genes(), 50))
    assert COST.many(np.array(genes)).tolist() == [COST(gene) for gene in genes]
