"""What a line of a claim compares: arms of finished runs, as the values of their units.

An arm is the finished runs that differ only in their own or their needs' seeds. Its *units* are what n counts: the
searches or supernets behind its runs, whose seeds are all the same in one run, or, where nothing is behind them, its
trainings. `Runs` alone reads run directories; verdicts are made of the numbers that `units` returns.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any, NamedTuple

from repro.configs.record import Experiment
from repro.configs.registry import find, typed
from repro.errors import FOREIGN, LARGEST, ReproError, is_number, line
from repro.progress import note_once
from repro.results.intervals import matched
from repro.runs import failure
from repro.runs.identity import as_text, describe, identity, resolve, seeds, unseeded
from repro.runs.run import Run, folders, held_identity, misnamed, read_run

Result = Mapping[str, Any]  # what a result.json holds
Request = tuple[Experiment, dict[str, Any]]  # a run to be made: its changes to the profile, seeds included
Units = Mapping[int, list[float]]  # unit -> the values of its trainings 0, 1, ...


class Training(NamedTuple):
    """A finished training: its result, None where it diverged, and whether it is one of the published runs."""

    result: Result | None
    published: bool


Trainings = Mapping[int, Mapping[int, Training]]  # unit -> own seed -> training


@dataclass(frozen=True)
class Measure:
    """What is compared: the unit that an effect has, how to read it of a result, and what guessing would give."""

    unit: str
    read: Callable[[Result], float | None]  # None: the run had nothing to compare with
    guess: float = nan
    guess_at: Mapping[str, float] = field(default_factory=dict)  # profile -> where its data make it another
    scaled: bool = False  # an error on CIFAR-10: bounds depend on the size
    none: str = "there is nothing to compare what was found with"  # why there may be no value

    def of(self, result: Result | None, profile: str) -> float:
        """Return the value of a finished training; one that diverged counts as guessing.

        Raises ReproError where the run found nothing to compare with.
        """
        value = nan if result is None else self.read(result)
        if value is None:
            raise ReproError(self.none)
        if not isfinite(value):
            return self.guess_at.get(profile, self.guess)
        if abs(value) > LARGEST:
            raise ValueError("no number that can be computed with")
        return value


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
    reads: Measure | None = None  # where it is another than the line's

    def variants(self, profile: str) -> list[Mapping[str, Any]]:
        """Return the changes in a profile, of both widths where there are two; none where the profile has no query."""
        if self.at and profile not in self.at:
            return []
        changes = {**self.changes, **self.at.get(profile, {})}
        widths = self.width.at.get(profile, ()) if self.width else ()
        return [{**changes, self.width.parameter: width} for width in widths] if self.width else [changes]

    def identities(self, profile: str) -> list[dict[str, Any]]:
        """Return what its runs in a profile have in common, of each width: their identities without seeds."""
        return [_common(self.experiment, profile, changes) for changes in self.variants(profile)]


class Runs:
    """The finished runs of one profile, in the runs folder and published; of one that is in both, one's own."""

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self._held: dict[str, dict[str, dict[int, dict[int, Training]]]] = {}  # experiment -> arm -> its trainings

    def arm(self, experiment: str, changes: Mapping[str, Any]) -> Trainings:
        """Return the trainings of an arm: seed of the needs (its own without needs) -> own seed -> training."""
        if experiment not in self._held:
            self._held[experiment] = self._read(experiment)
        return self._held[experiment].get(as_text(_common(experiment, self.profile, changes)), {})

    def _read(self, experiment: str) -> dict[str, dict[int, dict[int, Training]]]:
        found: dict[str, dict[int, dict[int, Training]]] = {}
        for run, result in _finished(experiment, self.profile):
            what = json.loads(held_identity(run.path))
            own = what["parameters"].get("seed", 0)
            behind = set(seeds(what)[1:]) or {own}
            if len(behind) == 1:
                arm = found.setdefault(as_text(unseeded(what)), {})
                training = Training(None if result.get("diverged") else result, run.published)
                arm.setdefault(behind.pop(), {}).setdefault(own, training)
        return found


def _common(experiment: str, profile: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the runs of an arm have in common: their identity without seeds."""
    kind = find(experiment)
    return unseeded(identity(describe(kind, profile, resolve(kind, profile, changes))))


def _finished(experiment: str, profile: str) -> Iterator[tuple[Run, Result]]:
    """Yield a profile's finished runs that lie under the name they were given, and those that diverged.

    What is damaged is named and left out.
    """
    for path in folders(experiment):
        try:
            run = read_run(path)
            result = {"diverged": True} if failure.diverged(run.path) else run.result
            if run.profile == profile and not misnamed(run) and result is not None:
                yield run, result
        except FOREIGN as error:
            note_once(f"{line(error)}; left out")


def units(runs: Runs, arm: Arm, measures: Sequence[Measure], m: int, tell: Callable[[str], Any] = note_once) -> Units:
    """Return the values of every unit's trainings 0 to m - 1, up to the first that is missing.

    measures: one for all trainings, or one for each, unless the arm has its own. Where an arm has two widths, a
        training must have both.
    tell: is told of each unit that ends for want of something to compare with.
    """
    variants = arm.variants(runs.profile)
    found = [runs.arm(arm.experiment, changes) for changes in variants]
    measures = (arm.reads,) if arm.reads else measures
    read = [measures[training % len(measures)] for training in range(m)]
    values = [
        {unit: _trainings(arm, unit, each[unit], read, runs.profile, tell) for unit in sorted(each)} for each in found
    ]
    if arm.width is None:
        return values[0] if values else {}
    like = [runs.arm(arm.width.like.experiment, changes) for changes in arm.width.like.variants(runs.profile)]
    counts = [_parameters(each) for each in [*found, *like]]
    if len(counts) < 3 or None in counts:
        return {}
    *around, count = counts
    if not around[0] < count < around[1]:
        name = f"{arm.experiment}, {arm.changes['genotype']}"
        note_once(
            f"{name}: {count:.4g}M parameters are not between its two widths' {around[0]:.4g} and {around[1]:.4g}M"
        )
        return {}
    both = {unit: zip(first, values[1].get(unit, []), strict=False) for unit, first in values[0].items()}
    return {unit: [matched(around, pair, count) for pair in pairs] for unit, pairs in both.items()}


def published(runs: Runs, arm: Arm, n: int) -> int:
    """Return how many of the first n units of an arm have a training among the published runs."""
    found = [runs.arm(arm.experiment, changes) for changes in arm.variants(runs.profile)]
    units = ([training for each in found for training in each.get(unit, {}).values()] for unit in range(n))
    return sum(any(training.published for training in trainings) for trainings in units)


def _trainings(
    arm: Arm,
    unit: int,
    held: Mapping[int, Training],
    measures: Sequence[Measure],
    profile: str,
    tell: Callable[[str], Any],
) -> list[float]:
    """Return the values of a unit's trainings, up to the first that is missing."""
    values = []
    for seed, measure in zip([unit] if arm.own else range(len(measures)), measures, strict=True):
        if seed not in held:
            break
        name = f"{arm.experiment}, {arm.unit} {unit}, seed {seed}"
        try:
            values.append(measure.of(held[seed].result, profile))
        except ReproError as error:
            tell(f"{name}: {line(error)}")
            break
        except FOREIGN:
            note_once(f"{name}: result.json lacks what is compared; left out")
            break
    return values


def _parameters(found: Trainings) -> float | None:
    """Return the number of parameters (millions) of an arm's networks, None where no run of it is finished."""
    results = (training.result for trainings in found.values() for training in trainings.values() if training.result)
    counts = (result.get("parameters_millions") for result in results)
    return next(filter(is_number, counts), None)


def requests(arm: Arm, profile: str, n: int, m: int) -> Iterator[Request]:
    """Yield the runs that the first n units of an arm consist of, and one of each network whose size they match."""
    experiment = find(arm.experiment)
    for changes in arm.variants(profile):
        for unit in range(n):
            for seed in [unit] if arm.own else range(m):
                own = {"seed": seed} if "seed" in experiment.parameters.kinds() else {}
                yield experiment, {**_behind(experiment, changes, unit, profile), **own}
    if arm.width:
        yield from requests(arm.width.like, profile, 1, 1)


def _behind(experiment: Experiment, changes: Mapping[str, Any], seed: int, profile: str) -> dict[str, Any]:
    """Return the changes with this seed in all runs that they, or the profile, name."""
    found = {**changes}
    for name, reference in experiment.references(resolve(experiment, profile, changes)).items():
        found[name] = reference.changed(**{**_behind(*typed(reference), seed, profile), "seed": seed})
    return found
