"""The papers' numbers: every table of DARTS (ICLR 2019) and SPOS (ECCV 2020) that this package sets its own beside.

The CSV files in `published_tables/` hold them, each row with an `id`; nothing is read, and pandas not imported, before
a table is asked for. The mark of a number that was written down from memory comes from here, wherever it is quoted.
"""

import csv
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from repro.configs.record import RECALLED
from repro.errors import ReproError, unknown
from repro.results.columns import COLUMNS, Column

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = Path(__file__).resolve().parent / "published_tables"

# Columns that several tables have
SIZE, SEARCH = ("params_millions",), ("search_gpu_days",)
PERPLEXITY = ("valid_perplexity", "test_perplexity")


@dataclass(frozen=True)
class Published:
    """One published table: its columns of numbers, what there is to say below it, and where its file differs."""

    numbers: tuple[str, ...]  # columns, by their names in `columns`
    remark: str = ""
    part: str = ""  # of spos_tables.csv, which holds several tables, the one called so
    names: dict[str, str] = field(default_factory=dict)  # columns that the file calls otherwise

    @property
    def columns(self) -> list[Column]:
        """The columns of numbers, in their order."""
        return [COLUMNS[name] for name in self.numbers]


TABLES = {
    "darts_table1_cifar10": Published(
        ("test_error_percent", "std", *SIZE, *SEARCH, "ops"),
        "Search costs leave out selection (1 GPU day) and the final evaluation (1.5 GPU days).",
    ),
    "darts_table2_ptb": Published(
        (*PERPLEXITY, *SIZE, *SEARCH, "ops"),
        "Search costs leave out selection (1 GPU day) and the final evaluation (3 GPU days).",
        names={"search_cost_gpu_days": "search_gpu_days"},
    ),
    "darts_table3_imagenet": Published(
        ("top1_error_percent", "top5_error_percent", *SIZE, "mult_adds_millions", *SEARCH)
    ),
    "darts_table4_wikitext2": Published((*PERPLEXITY, *SIZE, *SEARCH)),
    "darts_ablations": Published(("test_error_percent", "std", *SIZE), names={"strategy": "architecture"}),
} | {
    name: Published(("flops_M", "params_M", "bitops_G", "top1_percent"), part=part, names={"model": "architecture"})
    for name, part in (
        ("spos_blocks", "building blocks"),
        ("spos_channels", "channels"),
        ("spos_bits", "quantization"),
        ("spos_released", "released cell"),
    )
}


def table(name: str) -> "DataFrame":
    """Return a published table: `id` and `architecture`, its numbers as floats (NaN: not given), other columns as text.

    Where there is something to say, `note` says what a number cannot ("about", another unit) and `recalled` marks
    rows of which a number was not checked against the paper.
    """
    import pandas as pd

    frame, columns = pd.DataFrame(_lines(name)), TABLES[name].columns
    if "source" in frame:
        frame["recalled"] = [any(is_recalled(source, each.name) for each in columns) for source in frame["source"]]
    notes = [[] for _ in frame.index]
    for each in columns:
        numbers = [_number(text, each.heading, note) for text, note in zip(frame[each.name], notes, strict=True)]
        frame[each.name] = pd.Series(numbers, dtype=float)
    if any(notes):
        frame["note"] = ["; ".join(note) for note in notes]
    return frame


def remark(name: str) -> str:
    """Return what there is to say below a published table."""
    sources = [line.get("source", "") for line in _lines(name)]
    recalled = any(is_recalled(source, column) for source in sources for column in TABLES[name].numbers)
    return " ".join(filter(None, [TABLES[name].remark, f"Rows marked as recalled: {RECALLED}." if recalled else ""]))


@cache
def _lines(name: str) -> tuple[dict[str, str], ...]:
    """Return the lines of a published table as texts; ReproError for a table that there is not."""
    if name not in TABLES:
        raise unknown("published table", name, TABLES, ReproError)
    published = TABLES[name]
    text = (FOLDER / ("spos_tables.csv" if published.part else f"{name}.csv")).read_text(encoding="utf-8")
    lines = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    named = [{published.names.get(column, column): value for column, value in line.items()} for line in lines]
    mine = [line for line in named if line.get("table", "") == published.part]
    return tuple({column: value for column, value in line.items() if column != "table"} for line in mine)


def is_recalled(source: str, column: str) -> bool:
    """Whether a number was written down from memory: `source` says so of its whole row, or of its accuracy alone."""
    parts = source.split("; ")
    return "recalled" in parts or (column == "top1_percent" and "recalled (accuracy)" in parts)


def quoted(text: str) -> str:
    """Return a text with the published numbers that it names, as `{spos_blocks.found-blocks.top1_percent}`.

    What among them was not checked against the paper is said behind them.
    """
    recalled = []

    def number(match: re.Match[str]) -> str:
        name, key, column = match.groups()
        line = next(line for line in _lines(name) if line["id"] == key)
        if is_recalled(line.get("source", ""), column):
            recalled.append(line[column])
        return line[column]

    text = re.sub(r"\{(\w+)\.([\w-]+)\.(\w+)\}", number, text)
    return f"{text} ({', '.join(recalled)}: {RECALLED})" if recalled else text


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
