"""The effect of a line from its arms: estimate, every unit as a point, and spreads. An arm is unit -> its m values."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from repro.results import intervals
from repro.results.arms import Units
from repro.results.intervals import Estimate
from repro.results.lines import Kind


class Point(NamedTuple):
    """The effect as one unit shows it; units that do not decide are shown, not used."""

    value: float
    used: bool


def estimate(kind: Kind, arms: Sequence[np.ndarray], null: float) -> Estimate:
    """Return effect and interval of arms (units, m); `null` is the effect that p is of."""
    if kind == "variance ratio":
        return intervals.variance_ratio(arms, null)
    if kind == "best of four":
        return intervals.welch(*(intervals.jackknife(*arm.T) for arm in arms), null)
    values = [arm.mean(axis=1) for arm in arms]
    if kind == "exact":
        return Estimate(values[0].mean(), values[0].min(), values[0].max(), None)
    compute = {"paired": intervals.paired, "Welch": intervals.welch, "one sample": intervals.one_sample}[kind]
    return compute(*values, null)


def means(kind: Kind, arms: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Return the mean of each of two arms (units, m) whose difference is the effect; nothing of other lines."""
    return tuple(float(arm.mean()) for arm in arms) if kind in ("paired", "Welch") else ()


def points(kind: Kind, arms: Sequence[Units], n: Sequence[int]) -> tuple[Point, ...]:
    """Return every unit as a point: about the effect, so that its distance shows how far the unit is from its arm."""
    if kind == "variance ratio":
        return tuple(Point(value, True) for value in _shares([first(*pair) for pair in zip(arms, n, strict=True)]))
    if kind == "best of four":
        decide = [intervals.jackknife(*first(*pair).T) for pair in zip(arms, n, strict=True)]
        return tuple(_around([dict(enumerate(values)) for values in decide], n))
    means = [{unit: float(np.mean(values)) for unit, values in arm.items()} for arm in arms]
    if kind == "Welch":
        return tuple(_around(means, n))
    if kind == "paired":
        means = [{unit: value - means[1][unit] for unit, value in means[0].items() if unit in means[1]}]
    return tuple(Point(value, unit < n[0]) for unit, value in means[0].items())


def first(arm: Units, n: int) -> np.ndarray:
    """Return the values of an arm's first n units: (n, m)."""
    return np.array([arm[unit] for unit in range(n)], dtype=float)


def _around(means: Sequence[dict[int, float]], n: Sequence[int]) -> Iterator[Point]:
    """Yield each unit of two arms against the mean of the other's that decide."""
    centres = [np.mean([arm[unit] for unit in range(size)]) for arm, size in zip(means, n, strict=True)]
    yield from (Point(float(value - centres[1]), unit < n[0]) for unit, value in means[0].items())
    yield from (Point(float(centres[0] - value), unit < n[1]) for unit, value in means[1].items())


def _shares(arms: Sequence[np.ndarray]) -> np.ndarray:
    """Return each unit's share in the ratio of variances: their mean is the estimate."""
    _, between, _ = intervals.f_statistic(arms)
    deviations = np.concatenate([arm.mean(axis=1) - arm.mean() for arm in arms])
    m = arms[0].shape[1]
    f = len(deviations) / between * m * deviations**2 / intervals.trainings_variance(arms)
    return (f - 1) / m
