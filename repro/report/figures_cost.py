"""What accuracy costs: DARTS Table 1 as a picture, and the accuracies of SPOS against multiply-adds and BitOps.

Rows are those of `compare.compare`. Our own numbers stand in these pictures, as stars, where they are as published,
from the paper's protocol on its data: others cannot be compared.
"""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.report.style import BLUE, GREEN, INK, ORANGE, describe, styled
from repro.results import published

MARKERS = {"RL": "s", "evolution": "D", "SMBO": "v", "random": "X", "gradient": "o"}
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
    return describe(
        figure,
        f"Test error against search cost: {len(paper)} published architectures and {len(own)} of our own",
        "Bars: the standard deviation between trainings, where it is given; stars: our own, as published.",
    )


@styled
def accuracy_against_cost(rows: pd.DataFrame, cost: str, label: str) -> Figure:
    """SPOS Sect. 4: top-1 accuracy (percent) against a cost.

    cost: `flops_M` or `bitops_G`; `label` names it.
    """
    figure = Figure(figsize=(7.6, 4.8))
    axes = figure.subplots()
    paper = rows.dropna(subset=[cost, "top1_percent"]).drop_duplicates("id")
    found = paper["searched"] == "yes"
    for searched, marker, colour in ((True, "o", BLUE), (False, "s", ORANGE)):
        part, name = paper[found == searched], "SPOS" if searched else "baseline"
        axes.plot(part[cost], part["top1_percent"], marker, markersize=7, color=colour, label=name)
    low, high = paper[cost].min(), paper[cost].max()
    for row, searched in zip(paper.to_dict("records"), found, strict=True):
        share = (row[cost] - low) / (high - low)
        left = share > (0.1 if searched else 0.95)
        _label(axes, row[cost], row["top1_percent"], row["architecture"], left=left, lift=0 if left or searched else 3)
    own = _own(rows, f"{cost} here", "top1_percent here")
    if len(own):
        places = own[f"{cost} here"], own["top1_percent here"], own["std here"].fillna(0)
        axes.errorbar(*places, color=GREEN, label="this package", **STAR)
    axes.set(xlabel=label, ylabel="top-1 accuracy (%)")
    axes.margins(x=0.14, y=0.1)
    figure.legend(loc="outside lower center", ncols=5)
    return describe(
        figure,
        f"Top-1 accuracy against {label}: {len(paper)} published networks and {len(own)} of our own",
        "Points: published networks; stars: our own, as published, with their standard deviation.",
    )


def _own(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the rows that were run here as published and have all `columns`."""
    if not {"as_published", *columns} <= set(rows):
        return rows.head(0)
    return rows[rows["as_published"].eq(True)].dropna(subset=list(columns))


def _label(axes: Axes, x: float, y: float, text: str, *, left: bool, lift: int = 0) -> None:
    """Write a text beside a point, `lift` points above its height."""
    place = {"xytext": (-8 if left else 8, lift), "textcoords": "offset points", "ha": "right" if left else "left"}
    box = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}
    axes.annotate(published.spaced(text), (x, y), **place, va="center", fontsize=8, bbox=box, zorder=1.5)
