"""The tables of the report: for publication what stands beside what, for work what was run and what is missing.

A number of ours that was not made by the paper's protocol on the paper's data carries a mark that says so.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from repro.configs.registry import EXPERIMENTS
from repro.report.typeset import Code, Link, number
from repro.results import published
from repro.results.columns import COLUMNS, Column
from repro.runs.states import duration


def comparison(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a published table for publication, from the numbers of `compare.compare`: ours, theirs, how far apart.

    Ours is the mean of its runs with their standard deviation; the interval of the difference is that of this mean.
    """
    rows, first = frame.to_dict("records"), subject(table)
    printed, names = [paper(row, first) for row in rows], [_name(row) for row in rows]
    if not frame["runs"].notna().any():
        return pd.DataFrame({"architecture": names, f"{first.heading}, paper": printed}, dtype=object)
    shared = _shared_mark(rows)
    cells = {
        "architecture": names,
        f"{first.heading}, here{shared or ''}": [here(row, first, marked=shared is None) for row in rows],
        "paper": printed,
        "difference [97 % interval]": [_difference(row, first) for row in rows],
    }
    return pd.DataFrame(cells, dtype=object)


def work(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return for every row that runs re-create how its number was made and its other measures, or what makes it."""
    rows = [row for row in frame.to_dict("records") if kind(row) != "quoted"]
    cells = {
        "architecture": [_name(row) for row in rows],
        "runs": [_links(row) for row in rows],
        "how they were made": [_made(row) for row in rows],
        "other measures, here (in the paper)": [_others(row, table) for row in rows],
        "state, and the command that makes it": [
            [f"{row['state']}:", Code(row["command"])] if _given(row.get("command")) else None for row in rows
        ],
    }
    return pd.DataFrame(cells, dtype=object)


def kind(row: dict[str, Any]) -> str:
    """Return the class of a row of numbers: `ours`, `missing` or `quoted`."""
    if _given(row.get("runs")):
        return "ours"
    return "missing" if _given(row.get("command")) else "quoted"


def mark(row: dict[str, Any]) -> str:
    """Return what must stand beside a number of ours: nothing where protocol and data are the paper's."""
    if row["as_published"]:
        return ""
    changed = [] if _given(row.get("id")) else ["changed"]
    data = [] if row["comparable"] else [row["data"]]
    return f" ({', '.join([row['profile'].split(',')[0], *changed, *data])})"


def _shared_mark(rows: list[dict[str, Any]]) -> str | None:
    """Return the mark that all numbers of ours have, None where they have different ones."""
    marks = {mark(row) for row in rows if kind(row) == "ours"}
    return marks.pop() if len(marks) == 1 else None


def subject(table: str) -> Column:
    """Return the column that a published table is about."""
    firsts = [next(iter(measures)) for measures in (each.measures for each in EXPERIMENTS.values()) if measures]
    return next(COLUMNS[name] for name in firsts if COLUMNS[name] in published.columns(table))


def _given(value: Any) -> bool:
    return value is not None and value == value and value != ""


def _name(row: dict[str, Any]) -> str:
    """Return the row's name, a published one spaced."""
    return published.spaced(row["architecture"]) if _given(row.get("id")) else row["architecture"]


def paper(row: dict[str, Any], column: Column, deviation: bool = True) -> str | None:
    """Return the paper's number as it is printed there, with its deviation."""
    value = row.get(column.name)
    if column.as_printed:
        return f"{value:g}" if _given(value) else None
    return _value(value, column, row.get("std") if deviation else None)


def _value(value: Any, column: Column, std: Any) -> str | None:
    if not _given(value):
        return None
    text = number(value, column.decimals)
    return f"{text}\u00a0±\u00a0{number(std, column.decimals)}" if _given(std) else text


def here(row: dict[str, Any], column: Column, deviation: bool = True, marked: bool = True) -> str | None:
    """Return our number with its deviation and its marks: the second one where steps did not compute in float32."""
    value = _value(row.get(f"{column.name} here"), column, row.get("std here") if deviation else None)
    if value is None:
        return None
    precision = f", {row['precision']}" if _given(row.get("precision")) else ""
    return value + (mark(row) if marked else "") + precision


def _difference(row: dict[str, Any], column: Column) -> str | None:
    """Return our number less the paper's, with the interval where several runs give one, or why there is none."""
    if not _given(row.get("runs")):
        return None
    if not _given(row.get("difference")):
        return None if row["as_published"] else "other protocol" if row["comparable"] else "other data"
    ends = [row[f"difference {end}"] for end in ("low", "high") if _given(row.get(f"difference {end}"))]
    value, *ends = (f"{each:+.{column.decimals}f}".replace("-", "−") for each in [row["difference"], *ends])
    return f"{value} [{', '.join(ends)}]" if ends else value


def _links(row: dict[str, Any]) -> Any:
    """Return how many runs a row is of, with links to their notebooks and a mark where some are published ones."""
    if not _given(row.get("runs")):
        return None
    links = [Link(f"run {place}", page) for place, page in enumerate(row["pages"], start=1) if page]
    some = "" if row["published"] == row["runs"] else f"{row['published']:g} "
    return [f"{row['runs']:g}:", *links, *([f"({some}published)"] if row["published"] else [])]


def _made(row: dict[str, Any]) -> str | None:
    """Return profile, data, epochs and time of a row's runs."""
    if not _given(row.get("runs")):
        return None
    epochs = f"{row['epochs']:g} epochs" if _given(row.get("epochs")) else ""
    time = f"{duration(3600 * row['hours'])} on {row['device']}"
    return ", ".join(filter(None, [row["profile"], row["data"], epochs, row["precision"], time]))


def _others(row: dict[str, Any], table: str) -> str | None:
    """Return what a table holds of a row beside what it is about: ours, and in brackets the paper's."""
    said = []
    for column in published.columns(table):
        if column.name not in (subject(table).name, "std"):
            ours, theirs = here(row, column, False, marked=False), paper(row, column, False)
            said += [f"{column.heading}: {ours or '–'} ({theirs or '–'})"] * bool(ours or theirs)
    return "; ".join(said) or None


def by_layer(latency: Mapping[str, Any]) -> pd.DataFrame:
    """Return what a latency.json holds as cells: milliseconds of each choice of each layer, blank where it has none."""
    choices = [" ".join(names) for names in product(*latency["choices"])]
    cells = pd.DataFrame(np.reshape(latency["cost"]["table"], (-1, len(choices))), columns=choices)
    cells.iloc[latency["lacking"], -1] = None
    return cells.rename_axis("layer").reset_index()
