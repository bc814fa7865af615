"""Intervals: against scipy, against counting all draws, and their coverage and error by simulation."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from repro.results import intervals

SAMPLES = [np.array([31.0, 33.5, 30.2]), np.array([29.9, 33.1, 31.4, 30.0, 28.7])]


def same(estimate, test, effect):
    ends = test.confidence_interval(0.97)
    assert estimate == pytest.approx((effect, ends.low, ends.high, test.pvalue), rel=1e-9)


def test_one_sample_and_pairs_are_those_of_scipy():
    values, others = SAMPLES[1], SAMPLES[1][::-1] + 0.3
    same(intervals.one_sample(values, null=30.0), stats.ttest_1samp(values, 30.0), values.mean())
    same(intervals.paired(values, others), stats.ttest_rel(values, others), (values - others).mean())


def test_welch_is_that_of_scipy():
    test = stats.ttest_ind(*SAMPLES, equal_var=False)
    same(intervals.welch(*SAMPLES), test, SAMPLES[0].mean() - SAMPLES[1].mean())
    shifted = intervals.welch(SAMPLES[0] - 1.5, SAMPLES[1], null=-1.5)
    assert shifted.p == pytest.approx(test.pvalue)


def test_values_without_spread_have_no_interval():
    assert intervals.paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5]) == (0.5, 0.5, 0.5, 0.0)
    assert intervals.welch([1.0, 1.0], [1.0, 1.0]) == (0.0, 0.0, 0.0, 1.0)


def all_draws(held_out, test):
    """The mean test error of the best by held-out error over every draw of four."""
    return np.mean([test[min(four, key=held_out.__getitem__)] for four in combinations(range(len(test)), 4)])


@pytest.mark.parametrize("count", [4, 5, 8, 16])
def test_the_best_of_four_is_the_mean_over_all_draws(count):
    random = np.random.default_rng(count)
    held_out, test = random.normal(size=(2, count))
    assert intervals.draw_weights(count).sum() == pytest.approx(1.0, abs=1e-12)
    assert intervals.best_of_four(held_out, test) == pytest.approx(all_draws(held_out, test))


def test_equal_held_out_errors_share_their_weight():
    held_out, test = np.array([30.0, 30.0, 31.0, 30.0, 32.0, 33.0]), np.arange(6.0)
    orders = [np.argsort(np.argsort(held_out + 1e-6 * np.random.default_rng(i).random(6))) for i in range(4000)]
    mean = np.mean([intervals.best_of_four(order, test) for order in orders])
    assert intervals.best_of_four(held_out, test) == pytest.approx(mean, abs=0.03)


def test_jackknife_values_are_as_many_as_networks_and_their_mean_is_the_estimate():
    held_out, test = np.random.default_rng(0).normal(size=(2, 9))
    values = intervals.jackknife(held_out, test)
    assert values.shape == (9,)
    assert values.mean() == pytest.approx(intervals.best_of_four(held_out, test))
    last = 9 * all_draws(held_out, test) - 8 * all_draws(held_out[:8], test[:8])
    assert values[8] == pytest.approx(last)


def test_one_way_analysis_of_variance_is_that_of_scipy():
    cells = np.random.default_rng(0).normal(size=(16, 2)) + np.arange(16)[:, None] / 8
    assert intervals.told_apart(cells) == pytest.approx(stats.f_oneway(*cells).pvalue)
    assert intervals.told_apart(np.full((16, 2), 30.0)) > 0.05  # no difference at all is none that can be told


@pytest.mark.parametrize("ratio", [0.0, 1.0, 3.0])
def test_the_interval_of_a_ratio_of_variances_covers_as_often_as_it_says(ratio):
    """F's interval over arms of 5, 3, 4 and 5 searches with two trainings each, and over searches with three."""
    random, reps = np.random.default_rng(1), 1500
    for sizes, m in (((5, 3, 4, 5), 2), ((6, 6), 3)):
        held = []
        for _ in range(reps):
            arms = [
                random.normal(size=(n, m)) + 7 * n + ratio**0.5 * random.normal(size=(n, 1)) for n in sizes
            ]  # arms differ, which is not in the ratio
            estimate = intervals.variance_ratio(arms, null=ratio)
            assert (estimate.low <= ratio <= estimate.high) == (estimate.p >= 0.03)
            held.append((estimate.low <= ratio, ratio <= estimate.high))
        low, high = np.mean(held, axis=0)
        assert low == pytest.approx(0.985, abs=0.012)
        assert high == pytest.approx(0.985, abs=0.012)


def test_a_ratio_of_variances_by_hand():
    arm = np.array([[1.0, 3.0], [5.0, 7.0], [3.0, 5.0]])  # MSB 2 * 4, MSW 2
    estimate = intervals.variance_ratio([arm])
    assert estimate.effect == pytest.approx((4 - 1) / 2)
    assert estimate.low == pytest.approx((4 / stats.f.ppf(0.985, 2, 3) - 1) / 2)
    assert estimate.high == pytest.approx((4 / stats.f.ppf(0.015, 2, 3) - 1) / 2)


def test_a_ratio_of_variances_is_pooled_within_arms():
    """Sums of squares between units 2 (8 + 32) at 1 + 2 degrees of freedom, within them 5 * 2 at 5."""
    arms = [np.array([[1.0, 3.0], [5.0, 7.0]]), np.array([[0.0, 2.0], [4.0, 6.0], [8.0, 10.0]])]
    assert intervals.f_statistic(arms) == (pytest.approx(80 / 3 / 2), 3, 5)


def test_interpolation_is_linear_in_the_logarithm_of_the_parameters():
    assert intervals.matched((1.0, 4.0), (30.0, 26.0), 2.0) == pytest.approx(28.0)
    assert intervals.matched((3.246, 3.4356), (2.9, 2.8), 3.246) == pytest.approx(2.9)
    assert intervals.matched((3.4356, 3.246), (2.8, 2.9), 3.4356) == pytest.approx(2.8)


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, which may not fall: 0.06."""
    assert intervals.holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert intervals.holm([0.6, 0.5]) == [1.0, 1.0]
    assert intervals.holm([]) == []
