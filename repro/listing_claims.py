"""What `repro claims` prints: every claim with its verdict and, for each of its lines, all that stands behind it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from repro.listing import paint
from repro.results import verdicts
from repro.results.claim_rows import number, numbers
from repro.results.verdicts import Answer

KINDS = {verdicts.HOLDS: "done", verdicts.SMALL: "done", verdicts.FAILS: "failed", verdicts.OPEN: "stopped"}
KINDS |= {verdicts.UNTOLD: "stopped", verdicts.UNFINISHED: "running", verdicts.NOT_RUN: "faint"}


def claims(answers: Sequence[Answer]) -> list[str]:
    """Return the lines of all claims, and at the end how many got which verdict."""
    told = [line for answer in answers for line in claim(answer)]
    counts = Counter(answer.word for answer in answers)
    return [*told, "", "; ".join(f"{count} {word}" for word, count in counts.items())]


def claim(answer: Answer) -> list[str]:
    """Return what is claimed, with the verdict and the size that made it, and its lines."""
    claim, rows = answer.claim, numbers([answer])
    mark = "" if answer.word == verdicts.NOT_RUN else f" at {answer.size.name}"
    head = f"{paint(claim.id, 'name')}  {claim.words} ({claim.paper}, {claim.place}): {_word(answer.word)}{mark}"
    return [head, *(f"  {text}" for row in rows for text in line(row))]


def line(row: dict[str, Any]) -> list[str]:
    """Return the verdict on one line, the numbers behind it, and the command that makes them."""
    told = [f"{row['line']}  {_word(row['verdict'])}: {row['effect of']}"]
    if row["effect"] is not None:
        ends = f"97 % interval {number(row['low'])} to {number(row['high'])}"
        told.append(f"effect {number(row['effect'])} {row['unit']}, {ends}; L {number(row['L'])}, U {number(row['U'])}")
    facts = {
        f"n {row['n']} of {row['looks']}": row["n"],
        f"m {row['m']}": row["n"],
        f"spread {number(row['spread between units'])} between units": row["spread between units"],
        f"{number(row['spread between trainings'])} between trainings": row["spread between trainings"],
        f"the paper's effect {number(row['paper effect'])}": row["paper effect"],
        f"Holm's p {number(row['Holm p'])}": row["Holm p"],
    }
    told += ["; ".join(text for text, value in facts.items() if value not in (None, ""))]
    return [text if place == 0 else f"     {text}" for place, text in enumerate([*told, row["reason"], row["command"]]) if text]


def _word(word: str) -> str:
    return paint(word, KINDS[word])
