"""Every claim at one glance: the effect of each line with its interval, and every unit as a point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.report.style import BLUE, FAINT, INK, ORANGE, describe, styled
from repro.results import verdicts

# Verdict -> marker, filled or not, colour: told apart without colour
MARKERS = {
    verdicts.HOLDS: ("o", "full", BLUE),
    verdicts.SMALL: ("D", "full", BLUE),
    verdicts.FAILS: ("X", "full", ORANGE),
    verdicts.OPEN: ("o", "none", INK),
    verdicts.UNTOLD: ("s", "none", INK),
    verdicts.UNFINISHED: ("s", "none", FAINT),
}
BOUNDS = {"L": ("-", "L: the least that the claim needs"), "U": (":", "U: the smallest effect that would matter")}
ROW = 0.27  # inches


@styled
def claims(rows: Sequence[dict[str, Any]]) -> Figure:
    """Return a panel for each unit of effects and in it a row for each line; rows are those of `claim_rows.rows`."""
    parts = {unit: [row for row in rows if row["unit"] == unit] for unit in dict.fromkeys(row["unit"] for row in rows)}
    heights = [len(part) + 2 for part in parts.values()]
    figure = Figure(figsize=(11, ROW * sum(heights) + 0.7))
    panels = figure.subplots(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (unit, part) in zip(panels, parts.items(), strict=True):
        _panel(axes, unit, part)
    figure.legend(handles=_handles(rows), loc="outside lower center", ncols=3)
    verdict = "; ".join(f"{row['line']} {row['verdict']}" for row in rows if row["effect"] is not None)
    return describe(
        figure,
        f"Effects with 97 % intervals of {len(rows)} lines of claims: {verdict or 'none is run'}",
        "Large mark: the effect, its shape the verdict; thick line: its 97 % interval; small points: the units (of "
        "the best of four: jackknife values).",
    )


def _panel(axes: Axes, unit: str, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the lines whose effects have this unit, from top to bottom."""
    axes.set(xlim=_limits(rows), ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), [f"{row['effect of']}   {row['line']}" for row in rows], fontsize=8)
    axes.set_xlabel(unit, fontsize=9)
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="y", visible=False)
    for place, row in enumerate(rows):
        for bound, (style, _) in BOUNDS.items():
            if row[bound] is not None:
                axes.vlines(row[bound], place - 0.4, place + 0.4, color=INK, linewidth=1.1, linestyle=style)
        if row["effect"] is not None:
            _effect(axes, place, row)
        size = "" if row["verdict"] == verdicts.NOT_RUN else f" ({row['size']})"
        text = f"{row['verdict']}{size}"
        axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def _effect(axes: Axes, place: int, row: dict[str, Any]) -> None:
    """Draw an effect, its interval and the units, those that do not decide hollow."""
    marker, fill, colour = MARKERS[row["verdict"]]
    for units, style in ((row["units"], "full"), (row["more units"], "none")):
        axes.plot(units, [place + 0.25] * len(units), "o", color=FAINT, markersize=4, fillstyle=style, zorder=1.5)
    left, right = np.clip([row["low"], row["high"]], *axes.get_xlim())
    axes.hlines(place, left, right, color=colour, linewidth=2)
    axes.plot(row["effect"], place, marker, color=colour, fillstyle=fill, markersize=7, markerfacecoloralt="white")


def _limits(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return limits that hold bounds, effects, intervals and units; what is infinite does not set them."""
    values = [row[name] for row in rows for name in ("L", "U", "effect", "low", "high") if row[name] is not None]
    values += [value for row in rows for value in (*row["units"], *row["more units"])]
    low, high = min(filter(np.isfinite, values)), max(filter(np.isfinite, values))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _handles(rows: Sequence[dict[str, Any]]) -> list[Line2D]:
    """Return what the legend explains: the verdicts that there are, a unit, and the bounds."""
    shown = {row["verdict"] for row in rows if row["effect"] is not None}
    marks = [(word, *MARKERS[word]) for word in MARKERS if word in shown]
    marks += [("one unit (hollow: does not decide)", "o", "full", FAINT)] * bool(shown)
    points = [
        Line2D([], [], color=colour, marker=marker, fillstyle=fill, linestyle="none", label=word)
        for word, marker, fill, colour in marks
    ]
    return points + [Line2D([], [], color=INK, linestyle=style, label=label) for style, label in BOUNDS.values()]
