"""What `repro claims` prints: every claim with its verdict and, for each of its lines, all that stands behind it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from repro.execution.listing import paint
from repro.results import verdicts
from repro.results.claim_rows import interval, means, number, rows, scales
from repro.results.verdicts import Answer

KINDS = {verdicts.HOLDS: "done", verdicts.SMALL: "done", verdicts.FAILS: "failed", verdicts.OPEN: "stopped"}
KINDS |= {verdicts.UNTOLD: "stopped", verdicts.UNFINISHED: "running", verdicts.NOT_RUN: "faint"}


def claims(answers: Sequence[Answer]) -> list[str]:
    """Return the lines of all claims, and at the end how many got which verdict."""
    told = [text for answer in answers for text in claim(answer)]
    counts = Counter(answer.word for answer in answers)
    return [*told, "", *scales(answers), "; ".join(f"{word}: {count}" for word, count in counts.items())]


def markdown(answers: Sequence[Answer]) -> list[str]:
    """Return the verdicts as a Markdown table, a row for each claim that was looked at, and what was not."""
    looked = [answer for answer in answers if any(verdict.estimate for verdict in answer.lines)]
    cells = [
        f"| {answer.claim.id}: {answer.claim.words} | {answer.claim.paper}, {answer.claim.place} | **{answer.word}** | "
        f"{answer.size.name} | {'<br>'.join(map(_in_short, rows([answer])))} |"
        for answer in looked
    ]
    rest = ", ".join(f"{answer.claim.id} ({answer.word})" for answer in answers if answer not in looked)
    head = ["| claim | where | verdict | size | lines: effect [97 % interval], units |", "|---|---|---|---|---|"]
    return [*(head if cells else []), *cells, *([""] if cells else []), f"Without a verdict: {rest}."]


def _in_short(row: dict[str, Any]) -> str:
    """Return a line's verdict with its effect, interval, means of arms and units."""
    if row["effect"] is None:
        return f"{row['line']} {row['verdict']}"
    arms = f" ({means(row)})" if row["means"] else ""
    return f"{row['line']} {row['verdict']}: {number(row['effect'])} {interval(row)} {row['unit']}{arms}, n {row['n']}"


def claim(answer: Answer) -> list[str]:
    """Return what is claimed, with the verdict and the size that made it, and its lines."""
    claim, word = answer.claim, paint(answer.word, KINDS[answer.word])
    size = "" if answer.word == verdicts.NOT_RUN else f" at {answer.size.name}"
    head = f"{paint(claim.id, 'name')}  {claim.words} ({claim.paper}, {claim.place}): {word}{size}"
    return [head, *(f"  {text}" for row in rows([answer]) for text in line(row))]


def line(row: dict[str, Any]) -> list[str]:
    """Return the verdict on one line, the numbers behind it, and the command that makes them."""
    word = paint(row["verdict"], KINDS[row["verdict"]])
    under = [_interval(row), _facts(row), row["reason"], row["command"]]
    return [f"{row['line']}  {word}: {row['effect of']}", *(f"     {text}" for text in under if text)]


def _interval(row: dict[str, Any]) -> str:
    if row["effect"] is None:
        return ""
    effect, low, high = (number(row[name]) for name in ("effect", "low", "high"))
    ends = f"repeats from {low} to {high}" if row["interval"] == "exact" else f"97 % interval {low} to {high}"
    bounds = ", ".join(f"{name} {row[name]:g}" for name in ("L", "U") if row[name] is not None)
    arms = f" = {means(row)}" if row["means"] else ""
    return f"effect {effect}{arms} ({row['unit']}, {row['size']}), {ends}; {bounds}"


def _facts(row: dict[str, Any]) -> str:
    words = {"spread between units": "spread between units {}", "spread between trainings": "between trainings {}"}
    words |= {"effect in the paper": "in the paper {}", "Holm's p": "Holm's p {}", "p of the gate": "p of the gate {}"}
    numbers = [text.format(number(row[name])) for name, text in words.items() if row[name] is not None]
    published = f" ({row['published']} published)" if row["published"] else ""
    return "; ".join([f"n {row['n']}{published} (of {row['looks']}), m {row['m']}", *numbers])
