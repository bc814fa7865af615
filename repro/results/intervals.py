"""Effects with their intervals, from plain numbers: Student's t, Welch's, the best of four, a ratio of variances.

Intervals are two-sided at 97 %, because a line is looked at twice: two looks at 97 % err as one at 95 %. The p that
comes with each is the two-sided one of the effect being `null`. scipy is imported where it is needed, so that a command
which prints verdicts starts at once.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import comb, inf, log
from typing import NamedTuple

import numpy as np

LEVEL = 0.97
TAIL = (1 - LEVEL) / 2  # what an interval leaves out on each side
CHOICE = 4  # networks of which the best is taken


class Estimate(NamedTuple):
    """An effect, the two ends of its interval, and the two-sided p of its being the null."""

    effect: float
    low: float
    high: float
    p: float | None  # None where nothing is estimated


def one_sample(values: Sequence[float], null: float = 0.0) -> Estimate:
    """Estimate the mean of n >= 2 values, by Student's t."""
    values = np.asarray(values, float)
    return _student(values.mean(), values.var(ddof=1) / len(values), len(values) - 1, null)


def paired(first: Sequence[float], second: Sequence[float], null: float = 0.0) -> Estimate:
    """Estimate the mean difference of pairs, first minus second, by Student's t."""
    return one_sample(np.subtract(first, second), null)


def welch(first: Sequence[float], second: Sequence[float], null: float = 0.0) -> Estimate:
    """Estimate the difference of two means, first minus second, by Welch's t: the variances need not be equal."""
    samples = [np.asarray(values, float) for values in (first, second)]
    parts = [values.var(ddof=1) / len(values) for values in samples]
    variance = sum(parts)
    weights = sum(part**2 / (len(values) - 1) for part, values in zip(parts, samples, strict=True))
    return _student(samples[0].mean() - samples[1].mean(), variance, variance**2 / weights if weights else inf, null)


def _student(effect: float, variance: float, df: float, null: float) -> Estimate:
    """Return the estimate of an effect whose mean has this variance, at df degrees of freedom."""
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    error, normal = float(np.sqrt(variance)), np.isinf(df)
    half = error * (ndtri(1 - TAIL) if normal else stdtrit(df, 1 - TAIL))
    if error == 0:
        return Estimate(effect, effect, effect, float(effect == null))
    distance = -abs(effect - null) / error
    return Estimate(effect, effect - half, effect + half, 2 * float(ndtr(distance) if normal else stdtr(df, distance)))


def best_of_four(held_out: Sequence[float], test: Sequence[float]) -> float:
    """Return the expected test error of the best by held-out error among 4 of N >= 4 networks, drawn without return.

    The i-th best of N is the best of four in C(N - i, 3) of C(N, 4) draws. Equal held-out errors share their weight.
    """
    _, place, counts = np.unique(held_out, return_inverse=True, return_counts=True)
    shares = np.add.reduceat(draw_weights(len(test)), np.cumsum(counts) - counts) / counts
    return float(shares[place] @ np.asarray(test, float))


@cache
def draw_weights(count: int) -> np.ndarray:
    """Return for the i-th best of `count` networks the probability that it is the best of four: (count,), sum 1."""
    return np.array([comb(count - place, CHOICE - 1) for place in range(1, count + 1)]) / comb(count, CHOICE)


def jackknife(
    first: Sequence[float],
    second: Sequence[float],
    statistic: Callable[[Sequence[float], Sequence[float]], float] = best_of_four,
) -> np.ndarray:
    """Return the N jackknife values (pseudo-values) of a statistic of N pairs, N >= 5: their mean estimates it.

    Of `best_of_four` (held-out errors, then test errors) it is the estimate itself.
    """
    count, whole = len(second), statistic(first, second)
    without = [statistic(np.delete(first, i), np.delete(second, i)) for i in range(count)]
    return count * whole - (count - 1) * np.array(without)


def kendall(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """Estimate Kendall's tau of N >= 5 networks, by the jackknife; None of fewer, or where a ranking is all ties."""
    from repro.spaces.nas_bench import kendall_tau

    pairs = [np.asarray(values, float) for values in (first, second)]
    if len(pairs[0]) < 5 or any(len(set(values)) < 3 for values in pairs):
        return None
    return one_sample(jackknife(*pairs, kendall_tau))


def variance_ratio(arms: Sequence[np.ndarray], null: float = 0.0) -> Estimate:
    """Estimate the variance between units over that between the trainings of a unit, within arms; each (units, m).

    With F = MSB/MSW the estimate is (F - 1)/m, and F's quantiles give the ends.
    """
    from scipy.special import fdtr, fdtrc, fdtri

    f, between, within = f_statistic(arms)
    m = arms[0].shape[1]
    low, high = ((f / fdtri(between, within, share) - 1) / m for share in (1 - TAIL, TAIL))
    under_null = f / (1 + m * null)
    p = 2 * min(fdtr(between, within, under_null), fdtrc(between, within, under_null))
    return Estimate((f - 1) / m, float(low), float(high), min(float(p), 1.0))


def f_statistic(arms: Sequence[np.ndarray]) -> tuple[float, int, int]:
    """Return F = MSB/MSW of trainings (units, m) in units, pooled over arms, and the degrees of freedom of both."""
    msb, msw = arms[0].shape[1] * units_variance(arms), trainings_variance(arms)
    between, within = sum(len(arm) - 1 for arm in arms), sum(arm.size - len(arm) for arm in arms)
    return (msb / msw if msw else inf if msb else 1.0), between, within


def units_variance(arms: Sequence[np.ndarray]) -> float:
    """Return the variance of the units' means, pooled over arms (units, m)."""
    return _pooled([arm.mean(axis=1)[None] for arm in arms])


def trainings_variance(arms: Sequence[np.ndarray]) -> float:
    """Return the variance between the m >= 2 trainings of a unit, pooled over units and arms (units, m)."""
    return _pooled(arms)


def _pooled(groups: Sequence[np.ndarray]) -> float:
    """Return the variance within the rows of all groups (rows, n)."""
    squares = sum(((group - group.mean(axis=1, keepdims=True)) ** 2).sum() for group in groups)
    return float(squares / sum(group.size - len(group) for group in groups))


def told_apart(units: np.ndarray) -> float:
    """Return p of a one-way analysis of variance: whether trainings (units, m) can tell the units apart."""
    from scipy.special import fdtrc

    f, between, within = f_statistic([units])
    return float(fdtrc(between, within, f))


def matched(counts: Sequence[float], values: Sequence[float], count: float) -> float:
    """Return the value at `count` parameters, linear in ln(parameters) between networks of two widths."""
    share = (log(count) - log(counts[0])) / (log(counts[1]) - log(counts[0]))
    return values[0] + share * (values[1] - values[0])


def holm(ps: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p of every test in a family."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted
