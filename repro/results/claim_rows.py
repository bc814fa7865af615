"""Verdicts as rows for tables, figures and terminals: all that is said of a line, the size beside its numbers."""

from collections.abc import Sequence
from typing import Any

from repro.results.lines import Line
from repro.results.verdicts import Answer, Verdict


def rows(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return a row for every line: what is claimed, the verdict, and its numbers; None where there is none."""
    return [
        {"claim": answer.claim.id, "claim verdict": answer.word, **_asked(answer, verdict), **_found(verdict)}
        for answer in answers
        for verdict in answer.lines
    ]


def _asked(answer: Answer, verdict: Verdict) -> dict[str, Any]:
    line = verdict.line
    lower, upper = line.bounds(verdict.size)
    return {
        "paper": answer.claim.paper,
        "place": answer.claim.place,
        "in our words": answer.claim.words,
        "line": line.id,
        "effect of": line.effect,
        "unit": line.measures[0].unit,
        "interval": line.kind,
        "looks": looks(line),
        "m": line.m,
        "L": lower,
        "U": None if line.kind == "exact" else upper,
        "effect in the paper": line.paper,
        "size": verdict.size.name,
        "command": command(verdict),
    }


def _found(verdict: Verdict) -> dict[str, Any]:
    effect, low, high, p = verdict.estimate or (None,) * 4
    return {
        "verdict": verdict.word,
        "reason": verdict.reason,
        "n": _counts(verdict.n),
        "published": _counts(verdict.published) if any(verdict.published) else "",
        "effect": effect,
        "means": list(verdict.means),
        "low": low,
        "high": high,
        "p": p,
        "Holm's p": verdict.holm,
        "p of the gate": verdict.gate,
        "spread between units": verdict.spread,
        "spread between trainings": verdict.spread_trainings,
        "units": [point.value for point in verdict.points if point.used],
        "more units": [point.value for point in verdict.points if not point.used],
    }


def interval(row: dict[str, Any]) -> str:
    """Return the ends of a row's 97 % interval or, of what nothing random decides, the range of its repeats."""
    low, high = number(row["low"]), number(row["high"])
    return f"(repeats {low} to {high})" if row["interval"] == "exact" else f"[{low}, {high}]"


def means(row: dict[str, Any]) -> str:
    """Return the means of a row's two arms as the difference that the effect is; empty where it is none."""
    return " minus ".join(map(number, row["means"]))


def _counts(arms: Sequence[int]) -> str:
    """Return numbers of units as text: one where all arms have the same."""
    *most, last = map(str, arms if len(set(arms)) > 1 else arms[:1] or [0])
    return f"{', '.join(most)} and {last}" if most else last


def scales(answers: Sequence[Answer]) -> list[str]:
    """Return a sentence for each size whose bounds are not those that were written down."""
    sizes = {answer.size.name: answer.size for answer in answers if answer.size.scale != 1}
    return [
        f"At {size.name}, bounds of errors on CIFAR-10 are {size.scale:g} times those first written down: {size.why}."
        for size in sizes.values()
    ]


def looks(line: Line) -> str:
    """Return how many units decide, first and at last: `3, then 14`; `4 and 5, then 8 and 10` where arms differ."""
    return ", then ".join(dict.fromkeys(map(_counts, zip(*line.looks, strict=True))))


def command(verdict: Verdict) -> str:
    """Return the command that makes what the next look at a line needs; empty where no run can."""
    profile = verdict.size.name
    return "" if verdict.line.lacking(profile) else f"repro run --claim {verdict.line.id} --profile {profile}"


def number(value: float | None) -> str:
    """Return a number of a row as text: two decimals, or two digits where it is small."""
    if value is None:
        return ""
    text = f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.replace("-", "−")
