"""Verdicts as rows for tables, figures and terminals: everything that is said of a line, the size beside its numbers."""

from collections.abc import Sequence
from typing import Any

from repro.results.lines import Line
from repro.results.verdicts import Answer, Verdict


def numbers(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return a row of numbers for every line, its claim's facts beside them; None where there is none."""
    return [
        {"claim": answer.claim.id, "claim verdict": answer.word, **_facts(answer, line), **_found(line)}
        for answer in answers
        for line in answer.lines
    ]


def _facts(answer: Answer, verdict: Verdict) -> dict[str, Any]:
    line = verdict.line
    lower, upper = line.bounds(verdict.size)
    return {
        "paper": answer.claim.paper,
        "place": answer.claim.place,
        "in our words": answer.claim.words,
        "line": line.id,
        "effect of": line.effect,
        "verdict": verdict.word,
        "size": verdict.size.name,
        "reason": verdict.reason,
        "unit": line.measures[0].unit,
        "L": lower,
        "U": None if line.kind == "exact" else upper,
        "interval": line.kind,
        "looks": looks(line),
        "m": line.m,
        "paper effect": line.paper,
        "command": command(verdict),
    }


def _found(verdict: Verdict) -> dict[str, Any]:
    effect, low, high, p = verdict.estimate or (None,) * 4
    return {
        "n": " and ".join(map(str, verdict.n if len(set(verdict.n)) > 1 else verdict.n[:1])),
        "effect": effect,
        "low": low,
        "high": high,
        "p": p,
        "Holm p": verdict.holm,
        "spread between units": verdict.spread,
        "spread between trainings": verdict.spread_trainings,
    }


def looks(line: Line) -> str:
    """Return how many units decide: `3, then 14`; of each arm where they differ."""
    pairs = [str(a) if a == b else f"{a}, then {b}" for a, b in line.looks]
    return "; ".join(pairs)


def command(verdict: Verdict) -> str:
    """Return the command that makes the next look at a line; empty where no run can."""
    profile = verdict.size.name
    return "" if verdict.line.lacking(profile) else f"repro run --claim {verdict.line.id} --profile {profile}"


def number(value: float | None) -> str:
    """Return a number of a row as text: two decimals, or two digits where it is small."""
    if value is None:
        return ""
    text = f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
    return text.replace("-", "−")
