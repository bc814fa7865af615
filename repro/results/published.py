"""The papers' numbers: every table of DARTS (ICLR 2019) and SPOS (ECCV 2020) that this package sets its own beside.

The CSV files in `published_tables/` hold them, each row with an `id`; no file is read, and pandas not imported, before
a table is asked for. Rows that the papers quote from others say so in their `source`.
"""

import csv
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import ReproError, unknown
from repro.results.columns import COLUMNS, Column

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = Path(__file__).resolve().parent / "published_tables"

ARXIV = "Numbers of arXiv 1904.00420 v2: the ECCV 2020 text was not found, and its numbers may differ."
# Published tables, and the remark below each
TABLES = {
    "darts_table1_cifar10": "Search costs leave out selection (1 GPU day) and the final evaluation (1.5 GPU days).",
    "darts_table2_ptb": "Search costs leave out selection (1 GPU day) and the final evaluation (3 GPU days).",
    **dict.fromkeys(("darts_table3_imagenet", "darts_table4_wikitext2", "darts_ablations"), ""),
    **dict.fromkeys(("spos_blocks", "spos_channels", "spos_bits", "spos_mobile", "spos_cost"), ARXIV),
    "spos_released": "",
}


def table(name: str) -> "DataFrame":
    """Return a published table: `id` and `architecture`, its numbers as floats (NaN: not given), other columns as text.

    Where there is something to say, `note` says what a number cannot ("about", another unit).
    """
    import pandas as pd

    frame, numeric = pd.DataFrame(_lines(name)), columns(name)
    notes = [[] for _ in frame.index]
    for each in numeric:
        numbers = [_number(text, each.heading, note) for text, note in zip(frame[each.name], notes, strict=True)]
        frame[each.name] = pd.Series(numbers, dtype=float)
    if any(notes):
        frame["note"] = ["; ".join(note) for note in notes]
    return frame


def columns(name: str) -> list[Column]:
    """Return what the numeric columns of a published table are, in their order."""
    return [COLUMNS[column] for column in _lines(name)[0] if column in COLUMNS]


def remark(name: str) -> str:
    """Return the remark below a published table."""
    return TABLES[name]


@cache
def _lines(name: str) -> tuple[dict[str, str], ...]:
    """Return the lines of a published table as texts; ReproError for a table that there is not."""
    if name not in TABLES:
        raise unknown("published table", name, TABLES, ReproError)
    return csv_rows(FOLDER / f"{name}.csv")


def csv_rows(path: Path) -> tuple[dict[str, str], ...]:
    """Return the rows of a CSV file whose comments begin with `#`."""
    with open(path, encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(line for line in file if not line.startswith("#")))


def spaced(architecture: str) -> str:
    """Return the name of a published row with spaces where people expect them."""
    return re.sub(r" *\+ *", " + ", re.sub(r" *\(", " (", architecture.replace("_", " ")))


def with_numbers(text: str) -> str:
    """Return a text with the published numbers that it names, as `{spos_blocks.found-blocks.top1_percent}`."""

    def number(match: re.Match[str]) -> str:
        name, key, column = match.groups()
        return next(line for line in _lines(name) if line["id"] == key)[column]

    return re.sub(r"\{(\w+)\.([\w-]+)\.(\w+)\}", number, text)


def _number(text: str, heading: str, note: list[str]) -> float:
    """Return the number, and add to `note` what it leaves out."""
    if not text:
        return float("nan")
    try:
        if text.startswith("~"):
            note.append(f"{heading}: about {text[1:]}")
        return float(text.removeprefix("~"))
    except ValueError:
        note.append(f"{heading}: {text}")
        return float("nan")
