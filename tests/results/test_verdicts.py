"""The rule, on made-up units: looks, words, gate, several lines, headline; and how often it errs."""

import math

import numpy as np
import pytest

from repro.results import claims, effects, intervals, verdicts
from repro.results.arms import Training
from repro.results.intervals import Estimate
from repro.results.lines import SIZES
from repro.results.verdicts import FAILS, HOLDS, NOT_RUN, OPEN, SMALL, UNFINISHED, UNTOLD, judge

SHORT = SIZES[1]
LINES = {line.id: line for claim in claims.CLAIMS for line in claim.lines}
APART, ALIKE = 0.001, 0.4  # p of the gate


def arm(n, value=30.0, m=1, spread=0.1, seed=0):
    """n units of m trainings around a value."""
    values = np.random.default_rng(seed).normal(value, spread, (n, m))
    return {unit: list(row) for unit, row in enumerate(values)}


def word(line, *arms, gate=APART, size=SHORT):
    return judge(LINES[line], size, arms, gate).word


# Looks


def test_the_first_units_decide_until_all_are_finished_in_every_arm():
    whole = arm(16, 31.0, 2, spread=1.0, seed=1), arm(16, 30.0, 2, spread=1.0, seed=2)
    seen = {}
    for first in (2, 3, 7, 13, 14, 16):
        for second in (2, 3, 8, 13, 14, 16):
            arms = [{unit: whole[i][unit] for unit in range(n)} for i, n in enumerate((first, second))]
            verdict = judge(LINES["D2a"], SHORT, arms, APART)
            n = min(first, second)
            assert sum(point.used for point in verdict.points) == (0 if n < 3 else 14 if n >= 14 else 3)
            assert len(verdict.points) == (0 if n < 3 else n)  # more are shown
            seen.setdefault(UNFINISHED if n < 3 else verdict.n, set()).add((verdict.word, verdict.estimate))
    assert {key: len(found) for key, found in seen.items()} == {UNFINISHED: 1, (3, 3): 1, (14, 14): 1}


def test_a_missing_seed_ends_its_arm():
    without = {unit: values for unit, values in arm(14, m=2).items() if unit != 5}
    assert judge(LINES["D2a"], SHORT, (arm(14, m=2), without), APART).n == (3, 3)
    without = {unit: values for unit, values in without.items() if unit != 1}
    assert judge(LINES["D2a"], SHORT, (arm(14, m=2), without), APART).n == (14, 1)
    assert word("D2a", arm(14, m=2), without) == UNFINISHED


def test_a_unit_that_lacks_a_training_is_not_finished():
    half = {**arm(3, m=2), 2: [30.0]}
    assert word("D2a", arm(3, m=2), half) == UNFINISHED
    assert word("D2a", arm(3, m=2), {0: [30.0]}) == UNFINISHED


def test_an_arm_without_a_run_is_not_run():
    assert word("D2a", {}, {}) == NOT_RUN
    assert word("D2a", arm(14, m=2), {}) == NOT_RUN
    assert judge(LINES["D10"], SHORT, (), APART).reason == LINES["D10"].lacks


def test_each_arm_has_numbers_of_its_own():
    cells = arm(16, 32.0, 2)
    assert judge(LINES["D3a"], SHORT, (cells, arm(11, m=2)), APART).n == (16, 5)
    assert judge(LINES["D3a"], SHORT, (cells, arm(12, m=2)), APART).n == (16, 12)
    assert word("D3a", arm(15, 32.0, 2), arm(12, m=2)) == UNFINISHED
    assert judge(LINES["D9"], SHORT, [arm(n, m=2) for n in (13, 14, 8, 10)], APART).n == (5, 3, 4, 5)
    assert judge(LINES["D9"], SHORT, [arm(n, m=2) for n in (14, 14, 8, 10)], APART).n == (14, 14, 8, 10)


# Words


@pytest.mark.parametrize(
    ("low", "high", "bounds", "expected"),
    [
        (0.1, 0.9, (0, 0.5), HOLDS),
        (0.1, 0.4, (0, 0.5), SMALL),
        (-0.2, 0.4, (0, 0.5), FAILS),
        (-0.2, 0.6, (0, 0.5), OPEN),
        (0.0, 0.5, (0, 0.5), OPEN),
        (-1.4, 0.2, (-1.5, -1.5), HOLDS),
        (-2.0, -1.6, (-1.5, -1.5), FAILS),
        (-2.0, -1.0, (-1.5, -1.5), OPEN),
        (math.nan, math.nan, (0, 0.5), OPEN),
    ],
)
def test_the_word_of_an_interval(low, high, bounds, expected):
    assert verdicts.decide(Estimate((low + high) / 2, low, high, 0.5), *bounds) == expected


def test_an_effect_is_found_and_the_lack_of_one_is_too():
    better, same = arm(14, 28.0, 2, seed=1), arm(14, 30.0, 2, seed=2)
    assert word("D2a", arm(14, 30.0, 2), better) == HOLDS
    assert word("D2a", arm(14, 30.0, 2), same) == FAILS
    assert word("D2a", better, arm(14, 30.0, 2)) == FAILS
    assert word("D6a1", arm(16, 29.5), arm(16, 30.0, seed=1)) == HOLDS  # worse by half a point is on a par
    assert word("D6a1", arm(16, 28.0), arm(16, 30.0, seed=1)) == FAILS
    assert word("S1a", arm(4, 0.55, spread=0.02)) == HOLDS
    assert word("S1a", arm(4, 0.12, spread=0.01)) == SMALL
    assert word("D10", arm(3, 0.99, spread=0.001)) == HOLDS


def test_pairs_are_of_one_seed():
    starts = np.random.default_rng(0).normal(30, 5, 14)
    arms = [{unit: [start + gain] * 2 for unit, start in enumerate(starts)} for gain in (1.0, 0.0)]
    verdict = judge(LINES["D2a"], SHORT, arms, APART)
    assert verdict.estimate[:3] == pytest.approx((1.0, 1.0, 1.0), abs=1e-9)
    reversed_ = dict(enumerate(reversed(arms[1].values())))
    assert word("D2a", arms[0], reversed_) == OPEN
    assert verdict.spread == pytest.approx(starts.std(ddof=1))


def test_spreads_between_units_and_trainings():
    arms = [{0: [1.0, 3.0], 1: [5.0, 7.0], 2: [3.0, 5.0]}, {0: [2.0, 2.0], 1: [2.0, 2.0], 2: [2.0, 2.0]}]
    verdict = judge(LINES["D2a"], SHORT, arms, APART)
    assert verdict.spread == pytest.approx((4 / 2) ** 0.5)  # variances 4 and 0
    assert verdict.spread_trainings == pytest.approx(1.0)  # variances 2 and 0


def test_the_best_of_four_is_chosen_by_one_training_and_judged_by_another():
    random = np.random.default_rng(7)
    arms = [dict(enumerate(random.normal(30, 1, (n, 2)).tolist())) for n in (16, 5)]
    found = judge(LINES["D3c"], SHORT, arms, APART)
    chosen = [intervals.best_of_four(*zip(*arm.values(), strict=True)) for arm in arms]
    assert found.estimate.effect == pytest.approx(chosen[0] - chosen[1])
    values = [intervals.jackknife(*zip(*arm.values(), strict=True)) for arm in arms]
    assert found.estimate == intervals.welch(*values)
    judged = [np.array(list(arm.values()))[:, 1] for arm in arms]
    assert found.spread**2 == pytest.approx((15 * judged[0].var(ddof=1) + 4 * judged[1].var(ddof=1)) / 19)


def test_repeats_of_what_is_exact():
    for repeats, expected in (((1.2,) * 5, HOLDS), ((0.9,) * 5, FAILS), ((1.2, 0.9, 1.2, 1.2, 1.2), OPEN)):
        verdict = judge(LINES["D8"], SHORT, ({place: [value] for place, value in enumerate(repeats)},), None)
        assert (verdict.word, verdict.n, verdict.estimate.p) == (expected, (5,), None)
        assert (verdict.estimate.low, verdict.estimate.high) == (min(repeats), max(repeats))
    assert word("D8", {place: [1.2] for place in range(4)}) == UNFINISHED
    assert word("D1", {0: [0.003]}, gate=None) == HOLDS
    assert word("D1", {0: [-math.inf]}, gate=None) == FAILS


def test_a_training_that_diverged_counts_as_guessing():
    error, ptb = LINES["D2a"].measures[0], LINES["D2b"].measures[0]
    for result in (None, {"test_error": math.nan}):
        assert error.of(result, "short") == 90.0
    assert error.of({"test_error": 5.0}, "short") == 5.0
    assert ptb.of(None, "short") == pytest.approx(100 * math.log(10_000))
    assert ptb.of({"test_perplexity": math.inf}, "short") == ptb.of(None, "short")
    assert LINES["D7a"].measures[0].of(None, "short") == pytest.approx(100 * math.log(33_278))
    bits = LINES["S6a"].measures[0]
    assert [bits.of(None, size) for size in ("paper", "short")] == [99.9, 90.0]
    diverged = {**arm(14, 30.0, 2, seed=1), 2: [90.0, 30.0]}
    assert word("D2a", diverged, arm(14, 28.0, 2)) == OPEN  # which had been found without it


# The gate


def test_where_random_cells_cannot_be_told_apart_nothing_is_said_of_cells():
    better, other = arm(14, 28.0, 2), arm(14, 30.0, 2)
    for arms in ((other, better), ({}, {}), (arm(2, m=2), arm(2, m=2))):
        verdict = judge(LINES["D2a"], SHORT, arms, ALIKE)
        assert verdict.word == UNTOLD
        assert "p = 0.4" in verdict.reason
    assert word("D2b", arm(14, 30.0), arm(14, 28.0), gate=ALIKE) == HOLDS
    assert {line for line in LINES if LINES[line].gated} == {
        *("D2a", "D3a", "D3b", "D3c", "D4a", "D4b", "D5a", "D9"),
        *(f"D6{line}{rival}" for line in "abc" for rival in (1, 2)),
    }


def test_without_its_cells_the_gate_is_shut():
    verdict = judge(LINES["D2a"], SHORT, (arm(14, 30.0, 2), arm(14, 28.0, 2)), None)
    assert (verdict.word, verdict.finished) == (UNFINISHED, False)
    assert "the gate" in verdict.reason


@pytest.mark.parametrize(("between", "apart"), [(2.0, True), (0.0, False)])
def test_the_gate_is_an_analysis_of_variance_of_sixteen_cells(between, apart):
    random = np.random.default_rng(3)
    cells = random.normal(0, between, 16)[:, None] + random.normal(36, 1, (16, 2))

    class Made:
        profile = "short"

        def arm(self, experiment, changes):
            assert (experiment, changes) == ("cifar10-eval", {"genotype": "run:cifar10-random/samples=1"})
            return {
                cell: {seed: Training({"test_error": error}, False) for seed, error in enumerate(row)}
                for cell, row in enumerate(cells)
            }

    assert (claims.gate(Made()) < verdicts.APART) is apart
    cells = cells[:15]
    assert claims.gate(Made()) is None


# Several lines, sizes, families


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((HOLDS, HOLDS), HOLDS),
        ((HOLDS, SMALL), SMALL),
        ((HOLDS, FAILS), FAILS),
        ((NOT_RUN, FAILS, UNTOLD), FAILS),
        ((HOLDS, OPEN), OPEN),
        ((HOLDS, NOT_RUN), OPEN),
        ((HOLDS, UNTOLD), OPEN),
        ((UNTOLD, UNTOLD), UNTOLD),
        ((NOT_RUN, NOT_RUN), NOT_RUN),
        ((UNFINISHED, NOT_RUN), UNFINISHED),
        ((UNFINISHED, UNFINISHED), UNFINISHED),
    ],
)
def test_a_claim_of_several_lines(words, expected):
    assert verdicts.combine(words) == expected
    assert verdicts.combine(words[::-1]) == expected


def answered(size, *words):
    """The answer to a claim from lines with these words; a number behind those that are finished."""
    estimate = Estimate(1.0, 0.5, 1.5, 0.01)
    lines = tuple(
        verdicts.Verdict(LINES["D2a"], size, word, estimate=None if word in (NOT_RUN, UNFINISHED) else estimate)
        for word in words
    )
    return verdicts.Answer(claims.CLAIMS[1], size, verdicts.combine(words), lines)


@pytest.mark.parametrize(
    ("by_size", "speaks"),
    [
        (((NOT_RUN, NOT_RUN), (OPEN, HOLDS), (HOLDS, HOLDS)), "short"),
        (((HOLDS, FAILS), (OPEN, HOLDS), (HOLDS, HOLDS)), "paper"),
        (((UNFINISHED, HOLDS), (NOT_RUN, NOT_RUN), (HOLDS, HOLDS)), "desk"),
        (((UNFINISHED, HOLDS), (NOT_RUN, HOLDS), (UNFINISHED, UNFINISHED)), "paper"),
        (((NOT_RUN, NOT_RUN), (UNFINISHED, NOT_RUN), (UNFINISHED, UNFINISHED)), "short"),
        (((NOT_RUN, NOT_RUN), (NOT_RUN, NOT_RUN), (NOT_RUN, NOT_RUN)), "desk"),
    ],
)
def test_the_largest_finished_size_speaks(by_size, speaks):
    found = [answered(size, *words) for size, words in zip(SIZES, by_size, strict=True)]
    assert verdicts.headline(found).size.name == speaks


def test_holms_family_is_all_lines_of_a_paper_that_are_tests():
    """Six lines, one exact and two without a number: the smallest p counts five times, then four, then three."""

    def verdict(line, p):
        estimate = None if p is None else Estimate(1.0, 0.0, 2.0, p if LINES[line].kind != "exact" else None)
        return verdicts.Verdict(LINES[line], SHORT, OPEN, estimate=estimate)

    given = {"D1": 0.5, "D2a": 0.01, "D2b": 0.004, "D4a": None, "D4b": 0.3, "D7a": None}
    found = verdicts.adjusted([verdict(line, p) for line, p in given.items()])
    assert [each.holm for each in found] == [None, *map(pytest.approx, (0.04, 0.02)), None, pytest.approx(0.9), None]
    assert {each.word for each in found} == {OPEN}


# How often the rule errs


def errs(line, spreads, within, effect, wrong, reps=3000):
    """How often a line's first or second look says a wrong word, where the true effect is `effect`."""
    random, count = np.random.default_rng(4), 0
    for _ in range(reps if line.kind != "best of four" else reps // 5):
        units = [random.normal(0, spread, (n, 1)) for n, spread in zip(line.look(1), spreads, strict=True)]
        arms = [unit + random.normal(0, within, (len(unit), line.m)) for unit in units]
        arms[0] = arms[0] + effect
        looks = [[arm[:n] for arm, n in zip(arms, line.look(look), strict=True)] for look in (0, 1)]
        found = [effects.estimate(line.kind, used, line.lower) for used in looks]
        count += any(wrong in verdicts.decide(estimate, line.lower, line.upper) for estimate in found)
    return count / reps


NULLS = [
    ("D2a", (1.0, 1.0), 0.8),
    ("D2b", (1.0, 3.0), 0.0),
    ("D3a", (2.0, 0.7), 1.0),
    ("D3a", (1.0, 1.0), 0.8),
    ("D3b", (2.0, 0.7), 1.0),
    ("D3b", (1.0, 1.0), 0.8),
    ("D4b", (1.0, 1.0), 0.8),
    ("D6c1", (0.8, 1.0), 0.0),
    ("S1a", (0.05,), 0.0),
    ("D3c", (1.0, 1.0), 0.8),
]


@pytest.mark.parametrize(("line", "spreads", "within"), NULLS)
def test_two_looks_say_holds_of_nothing_in_at_most_5_percent(line, spreads, within):
    assert errs(LINES[line], spreads, within, LINES[line].lower, HOLDS) <= 0.05


@pytest.mark.parametrize(("line", "spreads", "within"), NULLS)
def test_two_looks_deny_what_matters_in_at_most_5_percent(line, spreads, within):
    assert errs(LINES[line], spreads, within, LINES[line].upper, FAILS) <= 0.05


def test_two_looks_err_likewise_over_the_starts_of_searches():
    assert errs(LINES["D9"], (0,) * 4, 1.0, 0, HOLDS) <= 0.05
    assert errs(LINES["D9"], (1,) * 4, 1.0, 0, FAILS) <= 0.05


def test_two_looks_at_97_percent_are_about_one_at_95():
    """Either interval of t misses: 5.3 to 5.8 %, as 3 of 14 units tell little of all 14 (200,000 draws, vectorised)."""
    from scipy.special import stdtrit

    values = np.random.default_rng(5).normal(size=(200_000, 14))
    missed = np.zeros(len(values), bool)
    for n in (3, 14):
        used = values[:, :n]
        missed |= np.abs(used.mean(1)) > stdtrit(n - 1, 0.985) * used.std(1, ddof=1) / n**0.5
    assert 0.05 < missed.mean() < 0.06


def test_units_are_not_trainings():
    """Three searches with three trainings each, read as nine units, would err more often than 5 %."""
    random, wrong, right = np.random.default_rng(6), 0, 0
    for _ in range(1000):
        arms = [random.normal(0, 1, (3, 1)) + random.normal(0, 0.8, (3, 3)) for _ in range(2)]
        right += effects.estimate("paired", arms, 0).p < 0.05
        wrong += effects.estimate("paired", [arm.reshape(9, 1) for arm in arms], 0).p < 0.05
    assert right / 1000 < 0.07
    assert wrong / 1000 > 0.1


def test_points_stand_around_the_effect():
    for line, arms in (
        ("D2a", (arm(14, 31.0, 2), arm(14, 30.0, 2, seed=1))),
        ("D3a", (arm(16, 31.0, 2), arm(5, 30.0, 2, seed=1))),
        ("S1a", (arm(4, 0.5),)),
    ):
        verdict = judge(LINES[line], SHORT, arms, APART)
        assert np.mean([point.value for point in verdict.points]) == pytest.approx(verdict.estimate.effect)
    found = judge(LINES["D9"], SHORT, [arm(n, m=2, spread=1.0, seed=n) for n in (5, 3, 4, 5)], APART)
    assert len(found.points) == 17
    assert np.mean([point.value for point in found.points]) == pytest.approx(found.estimate.effect, rel=0.5)
    verdict = judge(LINES["D3c"], SHORT, (arm(16, 31.0, 2), arm(5, 30.0, 2, seed=1)), APART)
    assert len(verdict.points) == 21
    assert verdict.estimate.effect == pytest.approx(1.0, abs=0.2)
    assert verdict.spread_trainings is None
