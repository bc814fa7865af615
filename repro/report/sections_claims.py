"""The claims in the report: the verdicts as a table and as a figure, shown in a notebook and kept."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from repro.report import figures_claims, sections, style, typeset
from repro.report.typeset import Code
from repro.results import claims, verdicts
from repro.results.claim_rows import number, rows, scales
from repro.results.verdicts import Answer

NAME = "claims"  # of the table's and the figure's files


def show(folder: Path) -> None:
    """Show every claim with the verdict of its largest finished size; write table and figure into `folder`."""
    found = claims.headlines()
    lines = rows(found)
    sections.say(sentence(found))
    style.save(figures_claims.claims(lines), folder / NAME, None)  # each row bears its size
    cells = table(lines)
    typeset.show(cells, kinds=["missing" if line["effect"] is None else "ours" for line in lines])
    typeset.write(numbers(lines), cells, folder / "tables" / NAME)
    sections.say(" ".join([*scales(found), f"As files: {sections.files(NAME)}."]))


def sentence(answers: Sequence[Answer]) -> str:
    """Say how many claims got which verdict."""
    counts = Counter(answer.word for answer in answers)
    words = ", ".join(f"**{counts[word]}** {word}" for word in verdicts.WORDS if counts[word])
    return f"Of {len(answers)} claims: {words}."


def table(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as cells: what a line says, its verdict, and the numbers behind that."""
    cells = [
        {
            "line": f"{row['line']}: {row['effect of']}",
            "claim": f"{row['in our words']} ({row['paper']}, {row['place']})",
            "verdict": row["verdict"],
            "size": row["size"] if row["verdict"] != verdicts.NOT_RUN else None,
            "effect, with its 97 % interval": effect(row),
            ("bounds", "L"): f"{row['L']:g}",
            ("bounds", "U"): None if row["U"] is None else f"{row['U']:g}",
            ("units", "n"): f"{row['n']} ({row['published']} published)" if row["published"] else row["n"],
            ("units", "at the looks"): row["looks"],
            ("units", "m"): row["m"],
            ("spread between", "units"): number(row["spread between units"]),
            ("spread between", "trainings"): number(row["spread between trainings"]),
            "in the paper": number(row["effect in the paper"]),
            "Holm's p": number(row["Holm's p"]),
            "command, or what is missing": [row["reason"]] * bool(row["reason"])
            + [Code(row["command"])] * bool(row["command"]),
        }
        for row in lines
    ]
    return pd.DataFrame(cells, dtype=object)


def effect(row: dict[str, Any]) -> str | None:
    """Return an effect with its interval and unit, and the size that it is of unless that is the paper's."""
    if row["effect"] is None:
        return None
    effect, low, high = (number(row[name]) for name in ("effect", "low", "high"))
    mark = [] if row["size"] == "paper" else [row["size"]]
    return f"{effect} [{low}, {high}] ({', '.join([row['unit'], *mark])})"


def numbers(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as numbers for a CSV file, the values of units with semicolons between them."""
    joined = [
        {name: ";".join(map(repr, value)) if isinstance(value, list) else value for name, value in row.items()}
        for row in lines
    ]
    return pd.DataFrame(joined)
