"""The tables of the report, cell by cell: what stands beside what, with how many decimals, and with which mark.

A number of ours that was not made by the paper's protocol on the paper's data carries a mark that says so, and so does
one of the paper's that was not checked against it.
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

RUNS, SOURCE = "runs", "executed notebook, or the command that makes it"
QUOTED = "quoted by the paper, not run here"


def comparison(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a published table beside ours, from the numbers of `compare.compare`.

    First what the table is about, then how our number was made, then all else that the paper gives.
    """
    rows, first = frame.to_dict("records"), subject(table)
    cells: dict[Any, list] = {"architecture": [_name(row) for row in rows]}
    cells |= _measure(rows, first, about=True)
    source = {SOURCE: [_source(row) for row in rows]}
    if ran := frame["runs"].notna().any():
        cells |= {RUNS: [_runs(row) for row in rows]}
        cells |= {name: [row[name] for row in rows] for name in ("profile", "data", "epochs")}
        cells |= {"time": [_time(row) for row in rows], **source}
    for column in published.columns(table):
        if column.name not in (first.name, "std"):
            cells |= _measure(rows, column)
    cells |= {} if ran else source
    if any(row.get("note") for row in rows):
        cells["note"] = [row.get("note") for row in rows]
    return pd.DataFrame(cells, dtype=object)


def _measure(rows: list[dict[str, Any]], column: Column, about: bool = False) -> dict[Any, list]:
    """Return one measure's columns, where there is something in them: the paper's numbers, and ours.

    about: whether it is what the table is about, so that deviations and differences are shown.
    """
    printed = [paper(row, column, about) for row in rows]
    own = [here(row, column, about) for row in rows]
    if not any(own):
        return {column.heading: printed} if any(printed) else {}
    columns = {(column.heading, "paper"): printed, (column.heading, f"here{_head(rows)}"): own}
    return columns | ({(column.heading, "difference"): [_difference(row, column) for row in rows]} if about else {})


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


def _head(rows: list[dict[str, Any]]) -> str:
    """Return the mark of a column of ours: that of all its numbers, or that some have one."""
    marks = {mark(row) for row in rows if kind(row) == "ours"}
    return "" if marks <= {""} else marks.pop() if len(marks) == 1 else ", as published where no mark is"


def subject(table: str) -> Column:
    """Return the column that a published table is about."""
    firsts = [next(iter(measures)) for measures in (each.measures for each in EXPERIMENTS.values()) if measures]
    return next(COLUMNS[name] for name in firsts if COLUMNS[name] in published.columns(table))


def _given(value: Any) -> bool:
    return value is not None and value == value and value != ""


def _name(row: dict[str, Any]) -> str:
    """Return the row's name, spaced."""
    return row["architecture"].replace("_", " ").replace("+", " + ").replace("(", " (").replace("  ", " ")


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


def here(row: dict[str, Any], column: Column, deviation: bool = True) -> str | None:
    """Return our number with its deviation and its marks: the second one where steps did not compute in float32."""
    value = _value(row.get(f"{column.name} here"), column, row.get("std here") if deviation else None)
    if value is None:
        return None
    precision = f", {row['precision']}" if _given(row.get("precision")) else ""
    return value + (f" ({row['device']})" if column.name == "search_gpu_days" else mark(row)) + precision


def _difference(row: dict[str, Any], column: Column) -> str | None:
    if not _given(row.get("runs")):
        return None
    if not _given(row.get("difference")):
        return None if row["as_published"] else "other protocol" if row["comparable"] else "other data"
    return f"{row['difference']:+.{column.decimals}f}".replace("-", "−")


def _runs(row: dict[str, Any]) -> Any:
    """Return how many runs a row is of, with a mark where some of them are published ones."""
    if not _given(row.get("published")) or row["published"] == 0:
        return row["runs"]
    some = "" if row["published"] == row["runs"] else f"{row['published']:g} "
    return f"{row['runs']:g} ({some}published)"


def _time(row: dict[str, Any]) -> str | None:
    return f"{number(row['hours'], 1)} {row['device']} h".replace(" ", "\u00a0") if _given(row.get("hours")) else None


def _source(row: dict[str, Any]) -> Any:
    if kind(row) == "quoted":
        return QUOTED
    pages = row["pages"] if kind(row) == "ours" else []
    links = [Link(f"run {place}", page) for place, page in enumerate(pages, start=1) if page]
    return links + ([f"{row['state']}:", Code(row["command"])] if _given(row.get("command")) else []) or None


def by_layer(latency: Mapping[str, Any]) -> pd.DataFrame:
    """Return what a latency.json holds as cells: milliseconds of each choice of each layer, blank where it has none."""
    choices = [" ".join(names) for names in product(*latency["choices"])]
    cells = pd.DataFrame(np.reshape(latency["cost"]["table"], (-1, len(choices))), columns=choices)
    cells.iloc[latency["lacking"], -1] = None
    return cells.rename_axis("layer").reset_index()
