"""What a line of a claim compares: arms of finished runs, as the values of their units.

An arm is the finished runs that differ only in their own or their needs' seeds. Its *units* are what n counts: the seeds
of the searches or supernets behind its runs or, where nothing is behind them, its own. This module alone knows runs;
`verdicts` works on the numbers it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import isfinite, nan
from typing import Any, Protocol

from repro.results.intervals import matched

Result = Mapping[str, Any]  # what a result.json holds
Units = Mapping[int, list[float]]  # unit -> the values of its trainings 0, 1, ...


class Runs(Protocol):
    """The finished runs of one profile."""

    def arm(self, experiment: str, changes: Mapping[str, Any]) -> Mapping[int, Mapping[int, Result | None]]:
        """Return seed of the needs (its own without needs) -> own seed -> result; None for a training that diverged."""


@dataclass(frozen=True)
class Measure:
    """What is compared: the unit that an effect has, how to read it of a result, and what guessing would give."""

    unit: str
    read: Callable[[Result], float]
    guess: float = nan
    guess_at: Mapping[str, float] = field(default_factory=dict)  # profile -> where its data make it another
    scaled: bool = False  # an error on CIFAR-10: bounds depend on the size

    def of(self, result: Result | None, profile: str) -> float:
        """Return the value of a finished training; one that diverged counts as guessing."""
        value = nan if result is None else self.read(result)
        return value if isfinite(value) else self.guess_at.get(profile, self.guess)


@dataclass(frozen=True)
class Width:
    """Two widths of a network around another's number of parameters, between which its value is interpolated."""

    parameter: str
    like: "Arm"  # whose number of parameters is matched
    at: Mapping[str, tuple[int, int]]  # profile -> widths


@dataclass(frozen=True)
class Arm:
    """A query: an experiment with these changes to its profile, and what a unit of it is called."""

    unit: str  # search, supernet, cell, training
    experiment: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False  # its own seed is the unit's; otherwise it counts the trainings of a unit
    at: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # profile -> further changes
    width: Width | None = None

    def variants(self, profile: str) -> list[Mapping[str, Any]]:
        """Return the changes in a profile, of both widths where there are two; none where the profile has no query."""
        if self.at and profile not in self.at:
            return []
        changes = {**self.changes, **self.at.get(profile, {})}
        widths = self.width.at.get(profile, ()) if self.width else ()
        return [{**changes, self.width.parameter: width} for width in widths] if self.width else [changes]


def units(runs: Runs, profile: str, arm: Arm, measures: tuple[Measure, ...], m: int) -> Units:
    """Return the values of every unit's trainings 0 to m - 1, up to the first that is missing.

    measures: one for all trainings, or one for each. Where an arm has two widths, a training must have both.
    """
    variants = arm.variants(profile)
    found = [runs.arm(arm.experiment, changes) for changes in variants]
    read = [measures[training % len(measures)] for training in range(m)]
    values = [{unit: _trainings(arm, unit, each[unit], read, profile) for unit in sorted(each)} for each in found]
    if arm.width is None:
        return values[0] if values else {}
    like = [runs.arm(arm.width.like.experiment, changes) for changes in arm.width.like.variants(profile)]
    counts = [_parameters(each) for each in [*found, *like]]
    if len(counts) < 3 or None in counts:
        return {}
    *around, count = counts
    both = {unit: zip(first, values[1].get(unit, []), strict=False) for unit, first in values[0].items()}
    return {unit: [matched(around, pair, count) for pair in pairs] for unit, pairs in both.items()}


def _trainings(
    arm: Arm, unit: int, results: Mapping[int, Result | None], measures: Sequence[Measure], profile: str
) -> list[float]:
    """Return the values of a unit's trainings, up to the first that is missing."""
    seeds = [unit] if arm.own else range(len(measures))
    held = takewhile(lambda pair: pair[0] in results, zip(seeds, measures, strict=True))
    return [measure.of(results[seed], profile) for seed, measure in held]


def _parameters(found: Mapping[int, Mapping[int, Result | None]]) -> float | None:
    """Return the number of parameters (millions) of an arm's networks, None where no run of it is finished."""
    results = (result for trainings in found.values() for result in trainings.values() if result)
    return next((result["parameters_millions"] for result in results), None)
