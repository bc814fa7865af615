"""The claims of both papers and of the field since, and what runs say of them: a verdict for each size."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from repro.configs.registry import find
from repro.errors import UsageError, unknown
from repro.progress import note_once
from repro.results import effects, intervals, verdicts
from repro.results.arms import Request, Runs, Units, published, requests, units
from repro.results.claims_darts import CELLS, DARTS, ERROR, RANDOM, TRAININGS
from repro.results.claims_since import SINCE
from repro.results.claims_spos import SPOS
from repro.results.lines import SIZES, Claim, Line, Size
from repro.results.verdicts import Answer
from repro.runs.identity import describe, identity, unseeded
from repro.runs.run import Run

CLAIMS: tuple[Claim, ...] = (*DARTS, *SPOS, *SINCE)


def find_size(profile: str) -> Size:
    """Return the size of that profile; UsageError where its runs decide nothing."""
    if profile not in (names := {size.name: size for size in SIZES}):
        raise UsageError(f"runs of the profile {profile} decide no claim: take --profile {', '.join(names)}")
    return names[profile]


def answers(profile: str) -> list[Answer]:
    """Return the verdict on every claim from the finished runs of one size; UsageError for one that decides nothing."""
    size, runs, found = find_size(profile), Runs(profile), {}
    p = gate(runs)
    for paper in ("DARTS", "SPOS", "since"):
        lines = [line for claim in CLAIMS if claim.paper == paper for line in claim.at(profile)]
        for each in verdicts.adjusted([_judged(runs, line, size, p) for line in lines]):
            counts = (published(runs, *pair) for pair in zip(each.line.arms, each.n, strict=True))
            found[each.line.id] = replace(each, published=tuple(counts))
    return [verdicts.answer(claim, size, found) for claim in CLAIMS]


def headlines() -> list[Answer]:
    """Return for each claim the answer that speaks for it, of the largest finished size."""
    return [verdicts.headline(each) for each in zip(*(answers(size.name) for size in SIZES), strict=True)]


def gate(runs: Runs) -> float | None:
    """Return p of the sixteen random cells with two trainings each; None where not all are finished."""
    cells = units(runs, RANDOM, ERROR, TRAININGS)
    if verdicts.finished(cells, TRAININGS) < CELLS:
        return None
    return intervals.told_apart(effects.first(cells, CELLS))


def _judged(runs: Runs, line: Line, size: Size, p: float | None) -> verdicts.Verdict:
    """Return the verdict on a line and, where units have nothing to be compared with, that as the reason."""
    lacking: list[str] = []
    found = verdicts.judge(line, size, arms(runs, line, lacking.append), p)
    return replace(found, reason=found.reason or "; ".join(lacking))


def arms(runs: Runs, line: Line, tell: Callable[[str], Any] = note_once) -> list[Units]:
    """Return the units of each arm of a line; `tell` is told of those that have nothing to be compared with."""
    return [units(runs, arm, line.measures, line.m, tell) for arm in line.arms]


def asking(run: Run) -> list[str]:
    """Return the ids of the lines that a run is compared in; none where its size decides nothing."""
    if run.profile not in {size.name for size in SIZES}:
        return []
    held = unseeded(identity(describe(find(run.experiment), run.profile, run.params)))
    lines = [line for claim in CLAIMS for line in claim.at(run.profile)]
    return [line.id for line in lines if any(held in arm.identities(run.profile) for arm in line.arms)]


def wanted(name: str, profile: str) -> Iterator[Request]:
    """Yield the runs that the next look at a line, or at a claim, needs, with the gate's where a line waits for that.

    Of a claim's lines those are taken whose next look is the earliest; one that no run can answer is told and left
    out. Raises UsageError for a name that no claim and no line has, and where nothing is left.
    """
    size, runs = find_size(profile), Runs(profile)
    named = {claim.id: lines for claim in CLAIMS if (lines := claim.at(size.name))}
    named |= {line.id: (line,) for lines in named.values() for line in lines}
    if name not in named:
        raise unknown(f"claim or line of one at {profile}", name, named)
    reasons = [(line, line.lacking(profile)) for line in named[name]]
    unable = [f"{line.id} cannot be run at {profile}: {reason}" for line, reason in reasons if reason]
    if len(unable) == len(reasons):
        raise UsageError(unable[0])
    for reason in unable:
        note_once(f"{reason}; left out")
    looks = [(line, _next_look(runs, line)) for line, reason in reasons if not reason]
    earliest = min(look for _, look in looks)
    for line, look in looks:
        if look == earliest:
            for arm, count in zip(line.arms, line.look(look), strict=True):
                yield from requests(arm, profile, count, line.m)
            if line.gated:
                yield from requests(RANDOM, profile, CELLS, TRAININGS)


def _next_look(runs: Runs, line: Line) -> int:
    """Return 0 where an arm lacks units of the first look, else 1."""
    done = [verdicts.finished(arm, line.m) for arm in arms(runs, line)]
    return 0 if any(map(int.__lt__, done, line.look(0))) else 1
