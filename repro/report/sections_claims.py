"""The claims in the report: the verdicts as a table and as a figure, shown in a notebook and kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from repro.report import figures_claims, sections, style, typeset
from repro.report.typeset import NOTHING, Code
from repro.results import claims, verdicts
from repro.results.claim_rows import interval, means, number, rows, scales
from repro.results.verdicts import Answer

NAME = "claims"  # of the table's and the figure's files


def show(folder: Path) -> None:
    """Show what the runs say of the claims, what holds first; write table and figure into `folder`."""
    found = claims.headlines()
    every = rows(found)
    lines = sorted(every, key=lambda line: verdicts.WORDS.index(line["verdict"]))
    begun = [line for line in lines if line["verdict"] != verdicts.NOT_RUN]
    sections.say(sentence(found))
    cells, behind = table(begun), work(lines)
    if begun:
        typeset.show(cells)
    if judged := [line for line in lines if line["effect"] is not None]:
        style.save(figures_claims.claims(judged), folder / NAME, None)  # each row bears its size
    typeset.write(numbers(every), cells, folder / "tables" / NAME, work=behind)
    sections.say(" ".join([*scales(found), f"As files: {sections.files(NAME)}."]))
    typeset.show(behind, folded="Bounds, units and spreads of every line, and the commands that make those missing")


def sentence(answers: Sequence[Answer]) -> str:
    """Say how many claims got which verdict, and which ones."""
    named = {word: [answer.claim.id for answer in answers if answer.word == word] for word in verdicts.WORDS}
    words = [
        f"{word}: **{len(ids)}**" + ("" if word == verdicts.NOT_RUN else f" ({', '.join(ids)})")
        for word, ids in named.items()
        if ids
    ]
    return f"Of {len(answers)} claims, {'; '.join(words)}."


def table(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows for publication: what is claimed, what was found, and what the paper has."""
    cells = [
        {
            "claim": f"{row['line']}: {row['in our words']} ({row['paper']}, {row['place']})",
            "here [97 % interval]": effect(row, marked=False),
            "paper": number(row["effect in the paper"]),
            "verdict": _sized(row["verdict"], row),
            "effect": row["effect of"],
        }
        for row in lines
    ]
    return pd.DataFrame(cells, columns=["claim", "here [97 % interval]", "paper", "verdict", "effect"], dtype=object)


def work(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows for work: what decides a line, how far it is, and what makes the rest."""
    cells = [
        {
            "line": f"{row['line']}: {row['effect of']}",
            "verdict": _sized(row["verdict"], row),
            "bounds L, U": f"{row['L']:g}, " + (NOTHING if row["U"] is None else f"{row['U']:g}"),
            "units (published), trainings of each; units at the looks": f"{row['n']} ({row['published'] or 0}), "
            f"{row['m']}; {row['looks']}",
            "means": means(row),
            "spread between units, trainings": ", ".join(
                number(row[f"spread between {what}"]) or NOTHING for what in ("units", "trainings")
            ),
            "Holm's p": number(row["Holm's p"]),
            "command, or what is missing": [row["reason"]] * bool(row["reason"])
            + [Code(row["command"])] * bool(row["command"]),
        }
        for row in lines
    ]
    return pd.DataFrame(cells, dtype=object)


def _sized(word: str, row: dict[str, Any]) -> str:
    return word if row["verdict"] == verdicts.NOT_RUN or row["size"] == "paper" else f"{word} ({row['size']})"


def effect(row: dict[str, Any], marked: bool = True) -> str | None:
    """Return an effect with its interval and unit, and the size that it is of unless that is the paper's."""
    if row["effect"] is None:
        return None
    mark = [] if row["size"] == "paper" or not marked else [row["size"]]
    return f"{number(row['effect'])} {interval(row)} ({', '.join([row['unit'], *mark])})"


def numbers(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as numbers for a CSV file, the values of units with semicolons between them."""
    joined = [
        {name: ";".join(map(repr, value)) if isinstance(value, list) else value for name, value in row.items()}
        for row in lines
    ]
    return pd.DataFrame(joined)
