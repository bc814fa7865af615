"""What accuracy costs: DARTS Table 1 as a picture, and the accuracies of SPOS against multiply-adds and BitOps.

Rows are those of `compare.compare`. Our own numbers stand in these pictures, as stars, where they are as published,
from the paper's protocol on its data: others cannot be compared. Two pictures of our own: what kinds of steps cost.
"""

import re
from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.report.figures import INK, styled

MARKERS = {"RL": "s", "evolution": "D", "SMBO": "v", "random": "X", "gradient": "o"}
KINDS = (("o", "#0072b2"), ("s", "#d55e00"))  # of steps: told apart without colour
STAR = {"marker": "*", "markersize": 15, "markeredgecolor": INK, "linestyle": "none", "capsize": 3}


@styled
def cost_against_error(rows: pd.DataFrame) -> Figure:
    """DARTS Table 1 as a picture: test error (percent) against search cost (GPU days), by method of search."""
    cost, error = "search_gpu_days", "test_error_percent"
    figure = Figure(figsize=(8.4, 5.2))
    axes = figure.subplots()
    paper = rows.dropna(subset=[cost, error]).drop_duplicates("id")
    colours = dict(zip(MARKERS, sns.color_palette("colorblind", len(MARKERS)), strict=True))
    for method, marker in MARKERS.items():
        part = paper[paper["search_method"] == method]
        axes.errorbar(
            part[cost], part[error], part["std"].fillna(0), linestyle="none", marker=marker, markersize=7, capsize=3,
            color=colours[method], markeredgecolor=INK, label=method,
        )  # fmt: skip
    for row in paper.to_dict("records"):
        left = row[cost] > 50 or row[cost] == paper[cost].min()
        _label(axes, row[cost], row[error], row["architecture"], left=left)
    own = _own(rows, f"{cost} here", f"{error} here").to_dict("records")
    for row in own:
        place = row[f"{cost} here"], row[f"{error} here"]
        axes.errorbar(*place, row["std here"], color=colours[row["search_method"]], **STAR)
        _label(axes, *place, f"{row['architecture']}, here, {row['profile']}", left=False)
    axes.set(xscale="log", xlabel="search cost (GPU days)", ylabel="test error (%)")
    axes.margins(x=0.16)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend([bar.lines[0] for bar in handles], labels, title="search by", loc="outside lower center", ncols=5)
    figure.set_label(f"Test error against search cost: {len(paper)} published architectures and {len(own)} of our own")
    return figure


@styled
def accuracy_against_cost(rows: pd.DataFrame, cost: str, label: str) -> Figure:
    """SPOS Sect. 4: top-1 accuracy (percent) against a cost; hollow points were written down from memory.

    cost: `flops_M` or `bitops_G`; `label` names it.
    """
    figure = Figure(figsize=(7.6, 4.8))
    axes = figure.subplots()
    paper = rows.dropna(subset=[cost, "top1_percent"]).drop_duplicates("id")
    names = paper["architecture"].str
    found = names.contains("search|README") & ~names.contains("random")
    for searched, marker, colour in ((True, "o", "#0072b2"), (False, "s", "#d55e00")):
        for recalled in (False, True):
            part = paper[(found == searched) & (paper["recalled"] == recalled)]
            name = ("SPOS" if searched else "baseline") + (", recalled" if recalled else "")
            axes.plot(
                part[cost], part["top1_percent"], linestyle="none", marker=marker, markersize=7, color=colour,
                fillstyle="none" if recalled else "full", markeredgewidth=1.6, label=name if len(part) else None,
            )  # fmt: skip
    low, high = paper[cost].min(), paper[cost].max()
    for row, searched in zip(paper.to_dict("records"), found, strict=True):
        share = (row[cost] - low) / (high - low)
        left = share > (0.1 if searched else 0.95)
        _label(axes, row[cost], row["top1_percent"], row["architecture"], left=left, lift=0 if left or searched else 3)
    own = _own(rows, f"{cost} here", "top1_percent here")
    if len(own):
        places = own[f"{cost} here"], own["top1_percent here"], own["std here"].fillna(0)
        axes.errorbar(*places, color="#009e73", label="this package", **STAR)
    axes.set(xlabel=label, ylabel="top-1 accuracy (%)")
    axes.margins(x=0.14, y=0.1)
    figure.legend(loc="outside lower center", ncols=5)
    figure.set_label(f"Top-1 accuracy against {label}: {len(paper)} published networks and {len(own)} of our own")
    return figure


@styled
def orders(turns: pd.DataFrame) -> Figure:
    """Seconds of a search step in first and in second order, which took turns, with the median of each.

    turns: a row for each, with `seconds_first` and `seconds_second`.
    """
    kinds = {"first": "first order", "second": "second order"}
    return _in_turn({"seconds of a step": _of(turns, "seconds", kinds)}, "turn", "median")


@styled
def one_path(paths: pd.DataFrame) -> Figure:
    """Peak memory and seconds of a step along each path and of the whole mixture, with the means over the paths.

    paths: a row for each, with `bytes_path`, `bytes_mixture`, `seconds_path` and `seconds_mixture`.
    """
    kinds = {"path": "one path", "mixture": "whole mixture"}
    memory, seconds = _of(paths, "bytes", kinds) / 2**20, _of(paths, "seconds", kinds)
    return _in_turn({"peak memory (MiB)": memory, "seconds of a step": seconds}, "path", "mean")


def _of(rows: pd.DataFrame, measure: str, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return what was measured of each kind of step, a column for each."""
    return pd.DataFrame({label: rows[f"{measure}_{kind}"] for kind, label in kinds.items()})


def _in_turn(panels: Mapping[str, pd.DataFrame], turn: str, middle: str) -> Figure:
    """Draw a panel for each measure: a point for each turn and kind of step, a dashed line at the middle of each kind.

    panels: measure with its unit -> a row for each turn, a column for each kind; middle: mean or median.
    """
    figure, said = Figure(figsize=(max(6.0, 4.4 * len(panels)), 3.8)), []
    for axes, (measure, rows) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True):
        for (kind, values), (marker, colour) in zip(rows.items(), KINDS, strict=True):
            axes.plot(range(1, len(values) + 1), values, marker, color=colour, label=kind)
            axes.axhline(values.agg(middle), color=colour, linewidth=1.2, linestyle="--", zorder=0)
            said.append(f"{measure}, {kind}: {middle} {values.agg(middle):.3g}")
        axes.set(xlabel=turn, ylabel=measure, ylim=(0, 1.05 * rows.max(axis=None)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.set_label("; ".join(said))
    return figure


def _own(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the rows that were run here as published and have all `columns`."""
    if not {"as_published", *columns} <= set(rows):
        return rows.head(0)
    return rows[rows["as_published"].eq(True)].dropna(subset=list(columns))


def _label(axes: Axes, x: float, y: float, text: str, *, left: bool, lift: int = 0) -> None:
    """Write a text beside a point, `lift` points above its height."""
    spaced = re.sub(r" *\+ *", " + ", re.sub(r" *\(", " (", text))
    place = {"xytext": (-8 if left else 8, lift), "textcoords": "offset points", "ha": "right" if left else "left"}
    box = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}
    axes.annotate(spaced, (x, y), **place, va="center", fontsize=8, bbox=box, zorder=1.5)
