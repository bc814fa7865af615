"""Tables for people, all from one frame of cells: HTML for pages and notebooks, Markdown, LaTeX (booktabs).

A cell is a text, a number, `Code`, a `Link`, a list of these, or nothing (None, NaN). The first column names the rows.
Texts stand left and numbers right, in a notebook too, whose own style would have all of them right.
"""

import html
import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from repro.errors import is_number
from repro.files import make_folder, write_bytes
from repro.report import style
from repro.results.columns import heading

NOTHING = "–"
LINES = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")  # what ends a line


class Code(str):
    """A cell that is a command or a name to be typed."""


class Link(NamedTuple):
    """A cell that leads somewhere."""

    text: str
    target: str


class Format(NamedTuple):
    """How a form writes plain text, code and links."""

    text: Callable[[str], str]
    code: Callable[[str], str]
    link: Callable[[str, str], str]


def _latex(text: str) -> str:
    """Escape what LaTeX would take for its own."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {letter: f"\\{letter}" for letter in "&%$#_{}"}
    special |= {"–": "--", "\u00a0": "~", "−": "$-$", "×": r"$\times$", "²": "$^2$"}
    return "".join(special.get(letter, letter) for letter in text)


def verbatim(text: str) -> str:
    """Return Markdown that shows a text as it is, in one line, also within a table: none of it is markup."""
    return re.sub(r"([\\`*_<>|~$&]|\](?=[(\[:]))", r"\\\1", LINES.sub(" ", text))


FORMATS = {
    "html": Format(
        lambda text: html.escape(text),
        lambda code: f"<code>{html.escape(code)}</code>",
        lambda text, target: f'<a href="{html.escape(target)}">{html.escape(text)}</a>',
    ),
    "markdown": Format(
        verbatim,
        lambda code: f"`{code.replace('|', chr(92) + '|')}`",
        lambda text, target: f"[{verbatim(text)}]({target})",
    ),
    "latex": Format(_latex, lambda code: rf"\texttt{{{_latex(code)}}}", lambda text, target: _latex(text)),
    "plain": Format(str, str, lambda text, target: text),
}


def number(value: float, decimals: int) -> str:
    """Return a number with so many decimals, or with two digits where it is too small for them; 2000, never 2e3."""
    if value and abs(value) < 10**-decimals:
        return f"{value:.2g}" if abs(value) >= 1e-4 else f"{value:.1e}"
    return f"{value:.{decimals}f}"


def cell(value: Any, form: str, decimals: int = 2) -> str:
    """Write one cell in a form: html, markdown, latex or plain."""
    written_as = FORMATS[form]
    if isinstance(value, Code):
        return written_as.code(value)
    if isinstance(value, Link):
        return written_as.link(*value)
    if isinstance(value, list):
        return " ".join(cell(part, form, decimals) for part in value)
    if value is None or value is pd.NA or value != value or value == "":
        return written_as.text(NOTHING)
    if isinstance(value, float):
        return written_as.text(number(value, decimals) if value % 1 else f"{value:.0f}")
    return written_as.text(LINES.sub(" ", str(value)))


def written(frame: pd.DataFrame, form: str, decimals: int = 2) -> pd.DataFrame:
    """Return the frame with every cell and heading written in a form."""
    cells = frame.astype(object).map(lambda value: cell(value, form, decimals))
    return cells.set_axis([FORMATS[form].text(str(column)) for column in frame], axis=1)


def sides(frame: pd.DataFrame) -> list[str]:
    """Return where the cells of each column stand: `right` if all there are numbers, else, as names of rows, `left`."""
    given = [[value for value in frame[column] if cell(value, "plain") != NOTHING] for column in frame]
    return [
        "right" if place and values and all(map(is_number, values)) else "left" for place, values in enumerate(given)
    ]


def to_html(frame: pd.DataFrame, decimals: int = 2, kinds: Sequence[str] = ()) -> str:
    """Return the frame as an HTML table in a box that scrolls; `kinds`: the class of each row, if they have one."""
    table, places = (
        written(frame, "html", decimals),
        [f'class={side} style="text-align:{side}"' for side in sides(frame)],
    )
    head = "".join(f"<th scope=col {place}>{name}</th>" for name, place in zip(table, places, strict=True))
    rows = []
    for (first, *others), kind in zip_longest(table.itertuples(index=False), kinds):
        cells = [f"<td {place}>{_broken(text)}</td>" for text, place in zip(others, places[1:], strict=True)]
        start = f'<tr class="{kind}">' if kind else "<tr>"
        rows.append(f'{start}<th scope=row style="text-align:left">{_broken(first)}</th>{"".join(cells)}</tr>')
    body = "\n".join(rows)
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _broken(text: str) -> str:
    """Return a cell of HTML whose long words, as names of runs and cells are, may be broken; not one with elements."""
    return text if "<" in text else re.sub(r"\S{20,}", lambda word: re.sub(r"(?<=[/,|])(?=\w)", "<wbr>", word[0]), text)


def to_markdown(frame: pd.DataFrame, decimals: int = 2, above: str = "") -> str:
    """Return the frame as a table in Markdown; `above` leads to where its links start from.

    They then lead to executed notebooks as they are, which the places that show Markdown show as well.
    """
    if above:
        frame = frame.astype(object).map(lambda value: _moved(value, above))
    rows = written(frame, "markdown", decimals)
    lines = [list(rows), ["---"] * len(rows.columns), *rows.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _moved(value: Any, above: str) -> Any:
    if isinstance(value, Link):
        return Link(value.text, above + re.sub(r"(?<=\w)\.html$", ".ipynb", value.target))
    return [_moved(part, above) for part in value] if isinstance(value, list) else value


def _places(pages: Any, above: str) -> str | None:
    """Return where the executed notebooks of a row are, seen from its file; None where the row has no run."""
    links = [_moved(Link("", page), above).target for page in pages if page] if isinstance(pages, list) else []
    return " ".join(links) or None


def to_latex(frame: pd.DataFrame) -> str:
    """Return the frame as a tabular in LaTeX; it needs the package booktabs."""
    columns = "".join(side[0] for side in sides(frame))
    return written(frame, "latex").style.hide(axis="index").to_latex(hrules=True, column_format=columns)


def show(frame: pd.DataFrame, decimals: int = 2, kinds: Sequence[str] = (), folded: str = "") -> None:
    """Show a frame in a notebook, without its index, its columns named for people; `kinds` as in `to_html`.

    A column `epoch`, counted from 0 as in metrics.jsonl, is shown from 1, as figures count.
    folded: the line under which it is folded away, for those who ask.
    """
    if "epoch" in frame and is_numeric_dtype(frame["epoch"]):
        frame = frame.assign(epoch=frame["epoch"] + 1)
    frame = frame.rename(columns=heading)
    table = to_html(frame, decimals, kinds)
    page = f"<details><summary>{html.escape(folded)}</summary>{table}</details>" if folded else table
    style.show({"text/html": page, "text/plain": to_markdown(frame, decimals)})


def write(
    numbers: pd.DataFrame, cells: pd.DataFrame, stem: Path, above: str = "../", work: pd.DataFrame | None = None
) -> None:
    """Write `numbers` as `stem`.csv, and `cells` as `stem`.md and `stem`.tex; `above`: see `to_markdown`.

    work: a second table for `stem`.md.
    """
    make_folder(stem.parent)
    if "pages" in numbers:
        numbers = numbers.assign(pages=[_places(pages, above) for pages in numbers["pages"]])
        numbers = numbers.rename(columns={"pages": "notebooks"})
    tables = [to_markdown(each, above=above) for each in (cells, work) if each is not None]
    write_bytes(stem.with_name(f"{stem.name}.csv"), numbers.to_csv(index=False).encode())
    write_bytes(stem.with_name(f"{stem.name}.md"), "\n".join(tables).encode())
    write_bytes(stem.with_name(f"{stem.name}.tex"), to_latex(cells).encode())
