"""What the units say of a line, and the lines of a claim: the rule, on plain numbers.

*Two looks.* The units 0 to a - 1 decide until every arm has b, then 0 to b - 1: never between, and a missing seed ends
its arm. *Verdict.* `holds`: the interval's lower end is above L. `does not hold`: its upper end is below U. Both:
`holds, small`. Neither: `open`. *Gate.* Where random cells cannot be told apart, what compares cells says only so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from repro.results import effects, intervals
from repro.results.arms import Units
from repro.results.effects import Point
from repro.results.intervals import Estimate
from repro.results.lines import Claim, Line, Size

HOLDS, SMALL, FAILS, OPEN = "holds", "holds, small", "does not hold", "open"
UNTOLD, UNFINISHED, NOT_RUN = "cannot be told at this size", "unfinished", "not run"
WORDS = (HOLDS, SMALL, FAILS, OPEN, UNTOLD, UNFINISHED, NOT_RUN)
APART = 0.05  # p of the gate below which the random cells can be told apart


@dataclass(frozen=True)
class Verdict:
    """The verdict on a line at one size."""

    line: Line
    size: Size
    word: str
    reason: str = ""  # why there is no other word
    n: tuple[int, ...] = ()  # finished units of each arm or, where there is an estimate, those that decided
    published: tuple[int, ...] = ()  # how many of them are published runs
    estimate: Estimate | None = None
    points: tuple[Point, ...] = ()
    means: tuple[float, ...] = ()  # of the arms, where the effect is their difference
    spread: float | None = None  # standard deviation between units, pooled over arms
    spread_trainings: float | None = None  # between the trainings of a unit
    holm: float | None = None  # p over all of the paper's lines
    gate: float | None = None  # p of the random cells, of a line that waits for them

    @property
    def finished(self) -> bool:
        """Whether enough units are finished, those of the gate included."""
        return self.estimate is not None and self.word != UNFINISHED


@dataclass(frozen=True)
class Answer:
    """The verdict on a claim at one size, and those on its lines."""

    claim: Claim
    size: Size
    word: str
    lines: tuple[Verdict, ...]


def judge(line: Line, size: Size, arms: Sequence[Units], gate: float | None) -> Verdict:
    """Return the verdict on a line; gate: p of the random cells, None where not all of them are finished."""
    done = tuple(finished(arm, line.m) for arm in arms)
    found = Verdict(line, size, NOT_RUN, line.lacking(size.name), done, gate=gate if line.gated else None)
    if arms and all(arms):
        found = replace(found, word=UNFINISHED)
        n = next((n for n in (line.look(1), line.look(0)) if all(map(int.__ge__, done, n))), None)
        found = found if n is None else _looked(found, arms, n)
    if line.gated and gate is not None and gate >= APART:
        return replace(found, word=UNTOLD, reason=f"the random cells cannot be told apart, p = {gate:.2g}")
    if line.gated and gate is None and found.estimate:
        return replace(found, word=UNFINISHED, reason="the random cells of the gate are not all finished")
    return found


def finished(arm: Units, m: int) -> int:
    """Return how many units are finished, with all their trainings, before the first seed that is not."""
    return next(unit for unit in count() if len(arm.get(unit, ())) < m)


def _looked(found: Verdict, arms: Sequence[Units], n: tuple[int, ...]) -> Verdict:
    """Return the verdict of a look at the first n units of each arm."""
    line, (lower, upper) = found.line, found.line.bounds(found.size)
    whole = [{unit: values for unit, values in arm.items() if len(values) == line.m} for arm in arms]
    used = [effects.first(*pair) for pair in zip(whole, n, strict=True)]
    estimate = effects.estimate(line.kind, used, lower)
    word = exact(used[0].ravel(), lower) if line.kind == "exact" else decide(estimate, lower, upper)
    if line.kind == "best of four":
        used = [values[:, 1:] for values in used]  # their first numbers chose
    trainings = intervals.trainings_variance(used) ** 0.5 if used[0].shape[1] > 1 else None
    spread = intervals.units_variance(used) ** 0.5 if n[0] > 1 else None
    return replace(
        found,
        word=word,
        n=n,
        estimate=estimate,
        points=effects.points(line.kind, whole, n),
        means=effects.means(line.kind, used),
        spread=spread,
        spread_trainings=trainings,
    )


def decide(estimate: Estimate, lower: float, upper: float) -> str:
    """Return the word for an interval and the bounds L and U."""
    if estimate.low > lower:
        return SMALL if estimate.high < upper else HOLDS
    return FAILS if estimate.high < upper else OPEN


def exact(repeats: Collection[float], lower: float) -> str:
    """Return the word for repeats of what nothing random decides: all of them above L, or none."""
    above = sum(value > lower for value in repeats)
    return HOLDS if above == len(repeats) else OPEN if above else FAILS


def combine(words: Collection[str]) -> str:
    """Return the word for a claim: it holds if all lines do, does not if one does not, else it is open.

    Where no line has been looked at, there is nothing to be open.
    """
    if FAILS in words:
        return FAILS
    if set(words) <= {HOLDS, SMALL}:
        return SMALL if SMALL in words else HOLDS
    return next((word for word in (UNTOLD, NOT_RUN) if set(words) == {word}), None) or (
        UNFINISHED if set(words) <= {UNFINISHED, NOT_RUN} else OPEN
    )


def adjusted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts on all lines of one paper with Holm's p: what has no p yet counts as 1, and changes no word.

    Exact lines are no tests, and not of the family.
    """
    tests = [each for each in verdicts if each.line.kind != "exact"]
    ps = intervals.holm([each.estimate.p if each.estimate else 1.0 for each in tests])
    found = {each.line.id: p for each, p in zip(tests, ps, strict=True) if each.estimate}
    return [replace(each, holm=found.get(each.line.id)) for each in verdicts]


def answer(claim: Claim, size: Size, verdicts: Mapping[str, Verdict]) -> Answer:
    """Return the verdict on a claim from those on lines, by their ids."""
    lines = tuple(verdicts[line.id] for line in claim.at(size.name))
    return Answer(claim, size, combine([line.word for line in lines]), lines)


def headline(answers: Sequence[Answer]) -> Answer:
    """Return the answer that speaks for a claim: of the largest size whose lines are all finished.

    Where there is none: of the largest with one finished line, then with anything begun, then the smallest. Answers:
    the largest size first.
    """
    finished = [[line.finished for line in each.lines] for each in answers]
    begun = [[line.word != NOT_RUN for line in each.lines] for each in answers]
    ranks = [*map(all, finished), *map(any, finished), *map(any, begun)]
    return answers[ranks.index(True) % len(answers) if True in ranks else -1]
