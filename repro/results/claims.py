"""The claims of both papers, and what finished runs say of them: a verdict for each size, never pooled."""

from collections.abc import Iterator

from repro.errors import UsageError, unknown
from repro.results import effects, intervals, verdicts
from repro.results.arms import Request, Runs, requests, units
from repro.results.claims_darts import CELLS, DARTS, ERROR, RANDOM, TRAININGS
from repro.results.claims_spos import SPOS
from repro.results.lines import SIZES, Claim, Line, Size
from repro.results.verdicts import Answer

CLAIMS: tuple[Claim, ...] = (*DARTS, *SPOS)


def answers(runs: Runs, size: Size) -> list[Answer]:
    """Return the verdict on every claim from the runs of one size."""
    p, found = gate(runs, size.name), {}
    for paper in ("DARTS", "SPOS"):
        lines = [line for claim in CLAIMS if claim.paper == paper for line in claim.at(size.name)]
        judged = [verdicts.judge(line, size, arms(runs, size.name, line), p) for line in lines]
        found |= {each.line.id: each for each in verdicts.adjusted(judged)}
    return [verdicts.answer(claim, size, found) for claim in CLAIMS]


def headlines(by_size: list[list[Answer]]) -> list[Answer]:
    """Return the answer that speaks for each claim, from those of all sizes, the largest first."""
    return [verdicts.headline(each) for each in zip(*by_size, strict=True)]


def gate(runs: Runs, profile: str) -> float | None:
    """Return p of the sixteen random cells with two trainings each; None where not all are finished."""
    cells = units(runs, profile, RANDOM, ERROR, TRAININGS)
    if verdicts.finished(cells, TRAININGS) < CELLS:
        return None
    return intervals.told_apart(effects.first(cells, CELLS))


def arms(runs: Runs, profile: str, line: Line) -> list[dict[int, list[float]]]:
    """Return the units of each arm of a line."""
    return [units(runs, profile, arm, line.measures, line.m) for arm in line.arms]


def wanted(runs: Runs, profile: str, name: str) -> Iterator[Request]:
    """Yield the runs that the next look at a line, or at all lines of a claim, is made of.

    Those of the gate are among them where a line waits for it; UsageError for what has no query or no such name.
    """
    known = {claim.id: claim.at(profile) for claim in CLAIMS}
    known |= {line.id: (line,) for lines in known.values() for line in lines}
    if name not in known:
        raise unknown(f"claim at {profile}", name, known)
    for line in known[name]:
        yield from _next_look(runs, profile, line)


def _next_look(runs: Runs, profile: str, line: Line) -> Iterator[Request]:
    if reason := line.lacking(profile):
        raise UsageError(f"{line.id} cannot be run at {profile}: {reason}")
    done = [verdicts.finished(arm, line.m) for arm in arms(runs, profile, line)]
    n = line.look(0) if any(map(int.__lt__, done, line.look(0))) else line.look(1)
    for arm, count in zip(line.arms, n, strict=True):
        yield from requests(arm, profile, count, line.m)
    if line.gated:
        yield from requests(RANDOM, profile, CELLS, TRAININGS)
