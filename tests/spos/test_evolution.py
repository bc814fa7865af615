"""Laws of the search: it finds what is best, keeps to its budgets and replays exactly."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ReproError, UsageError
from repro.spaces.space import Budget, Cost, Space
from repro.spos import plain
from repro.spos.evolution import SearchState, Settings, generation, propose, random_gene, remembered, search

SPACE = Space(20, {"block": ("a", "b", "c", "d")})  # 4^20 networks
TABLE = np.random.default_rng(5).integers(1, 100, (20, 4))
COST = Cost("multiply-adds", 50, TABLE)
SMALL = Settings(generations=4, population=12, parents=3, mutation=5, crossover=4)


def score(gene):
    """A planted optimum: agreement with (0, 1, 2, 3, 0, ...), later layers counting more."""
    return sum((choice == layer % 4) * (1 + layer / 20) for layer, choice in enumerate(gene))


def test_it_finds_a_planted_optimum():
    settings = Settings(generations=40)  # 2,000 of 10^12 networks
    best = search(SPACE, score, seed=0, settings=settings).best(1)[0]
    assert best == tuple(layer % 4 for layer in range(20))


def test_it_beats_random_search_on_the_same_number_of_networks():
    for seed in range(3):
        evolved = search(SPACE, score, seed=seed)
        drawn = search(SPACE, score, seed=seed, settings=Settings(parents=0))
        assert len(evolved.scores) == len(drawn.scores) == 1000
        assert score(evolved.best(1)[0]) > score(drawn.best(1)[0]) + 3


def test_it_finds_the_constrained_optimum():
    """More cost, more score: the best network within the budget spends nearly all of it."""
    budget = Budget(COST, COST.fixed + (TABLE.min(axis=1) + TABLE.max(axis=1)).sum() / 2)
    best = search(SPACE, COST, seed=1, budgets=[budget]).best(1)[0]
    assert 0.99 * budget.limit < COST(best) <= budget.limit


@pytest.mark.parametrize("share", [0.5, 10])
def test_every_generation_is_that_of_algorithm_1(share):
    """Of the same random numbers, under a constraint that half of all paths break, and under none."""
    budget = Budget(COST, COST.fixed + 2 * share * TABLE.mean(axis=1).sum())
    state, scores = SearchState(8), {}
    numbers = {
        name: value for name, value in vars(SMALL).items() if name in ("population", "parents", "mutation", "crossover")
    }
    for index in range(6):
        state = generation(state, score, SPACE, SMALL, [budget])
        rng = np.random.default_rng([8, index])
        population = plain.next_population(scores, SPACE.sizes, lambda path: COST(path) <= budget.limit, rng, **numbers)
        scores |= {path: score(path) for path in population}
        assert state.population == tuple(population)
        assert list(state.scores.items()) == list(scores.items())


@given(st.integers(0, 10**6), st.floats(0.001, 1.5), st.floats(0.001, 1.5))
def test_no_candidate_is_ever_over_a_budget(seed, one, two):
    costs = COST, Cost("parameters", 0, TABLE + TABLE.T.reshape(20, 4)[::-1] % 7)
    budgets = []
    for cost, share in zip(costs, (one, two), strict=True):
        least, most = (cost.fixed + pick(cost.table, axis=1).sum() for pick in (np.min, np.max))
        budgets.append(Budget(cost, least + (0.3 + share) * (most - least)))
    state = search(SPACE, score, seed=seed, settings=SMALL, budgets=budgets)
    assert len(state.scores) == 4 * 12
    for gene in state.scores:
        SPACE.check(gene)
        assert all(budget.cost(gene) <= budget.limit for budget in budgets)


@pytest.mark.parametrize("above", [0, 1, 5])
def test_a_budget_that_only_few_networks_meet_is_met(above):
    """Uniform draws would never hit it: 4^-20 of the networks cost as little as the cheapest."""
    budget = Budget(COST, COST(COST.cheapest()) + above)
    gene = random_gene(SPACE, np.random.default_rng(0), [budget])
    assert COST(gene) <= budget.limit


def test_budgets_that_exclude_each_other_are_one_clear_line():
    opposite = Cost("parameters", 0, 100 - TABLE)
    budgets = [Budget(cost, cost(cost.cheapest())) for cost in (COST, opposite)]
    with pytest.raises(ReproError, match=r"found no network within \d+ multiply-adds and \d+ parameters"):
        search(SPACE, score, seed=0, budgets=budgets)


def test_random_draws_within_a_budget_are_uniform():
    space = Space(2, {"block": ("a", "b", "c")})
    cost = Cost("parameters", 0, np.array([[0, 1, 2], [0, 1, 2]]))
    rng = np.random.default_rng(0)
    draws = [random_gene(space, rng, [Budget(cost, 1)]) for _ in range(3000)]
    for gene in ((0, 0), (0, 1), (1, 0)):
        assert draws.count(gene) == pytest.approx(1000, rel=0.1)


def test_every_candidate_is_new_and_counts():
    state = search(SPACE, score, seed=2, settings=SMALL)
    assert len(state.scores) == SMALL.generations * SMALL.population
    assert state.population == tuple(state.scores)[-SMALL.population :]
    assert state.best(1)[0] == max(state.scores, key=score)
    last = tuple(state.scores)[-1]  # the last candidate of the last generation can be the winner
    crowned = replace(state, scores={**state.scores, last: 1e9})
    assert crowned.best(1) == [last]


def test_parents_are_the_best_of_all_generations():
    state = search(SPACE, score, seed=3, settings=SMALL)
    crossings = Settings(population=5, parents=2, mutation=0, crossover=5)
    one, other = state.best(2)
    state = replace(state, scores=dict(list(state.scores.items())[::-1]))  # whenever they were seen
    for child in propose(state, SPACE, crossings):
        assert all(choice in pair for choice, pair in zip(child, zip(one, other, strict=True), strict=True))


def test_a_small_space_is_used_up_without_complaint():
    space = Space(3, {"block": ("a", "b")})
    state = search(space, sum, seed=0, settings=SMALL)
    assert set(state.scores) == set(space.genes())
    assert generation(state, sum, space, SMALL).population == ()


@given(st.integers(1, 47))
def test_a_search_killed_at_any_candidate_replays_to_the_same_end(survived):
    whole = search(SPACE, score, seed=7, settings=SMALL)
    log, calls = [], []

    def dies(gene):
        if len(log) == survived:
            raise KeyboardInterrupt
        return score(gene)

    def counts(gene):
        calls.append(gene)
        return score(gene)

    with pytest.raises(KeyboardInterrupt):
        search(SPACE, remembered(dies, {}, lambda *row: log.append(row)), seed=7, settings=SMALL)
    known = {tuple(gene): value for gene, value in json.loads(json.dumps(log))}
    again = search(SPACE, remembered(counts, known, lambda *row: None), seed=7, settings=SMALL)
    assert (again.population, list(again.scores.items())) == (whole.population, list(whole.scores.items()))
    assert len(calls) == 48 - survived


def test_seeds_differ():
    assert propose(SearchState(0), SPACE, SMALL, []) != propose(SearchState(1), SPACE, SMALL, [])


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="30 mutants and 25 crossings do not fit into a population of 50"):
        Settings(mutation=30)
