"""What accuracy costs: DARTS Table 1 as a picture, and the accuracies of SPOS against multiply-adds and BitOps.

Rows are those of `compare.compare`. Our own numbers stand in these pictures, as stars, where they are as published,
from the paper's protocol on its data: others cannot be compared.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.report.style import BLUE, FAINT, GREEN, INK, ORANGE, canvas, describe, styled
from repro.results import published

MARKERS = {"RL": "s", "evolution": "D", "SMBO": "v", "random": "X", "gradient": "o"}
LINES = 30  # of text, in the height of a picture
STAR = {"marker": "*", "markersize": 15, "markeredgecolor": INK, "linestyle": "none", "capsize": 3}


@styled
def cost_against_error(rows: pd.DataFrame) -> Figure:
    """DARTS Table 1 as a picture: test error (percent) against search cost (GPU days), by method of search."""
    cost, error = "search_gpu_days", "test_error_percent"
    figure, axes = canvas(8.4, 5.2)
    paper = rows.dropna(subset=[cost, error]).drop_duplicates("id")
    colours = dict(zip(MARKERS, sns.color_palette("colorblind", len(MARKERS)), strict=True))
    for method, marker in MARKERS.items():
        part = paper[paper["search_method"] == method]
        axes.errorbar(
            part[cost], part[error], part["std"].fillna(0), linestyle="none", marker=marker, markersize=7, capsize=3,
            color=colours[method], markeredgecolor=INK, label=method,
        )  # fmt: skip
    texts = {True: [], False: []}  # on the left of their points, or not
    for row in paper.to_dict("records"):
        left = row[cost] > 50 or row[cost] == paper[cost].min()
        texts[left].append((row[cost], row[error], row["architecture"]))
    own = _own(rows, f"{cost} here", f"{error} here").to_dict("records")
    for row in own:
        place = row[f"{cost} here"], row[f"{error} here"]
        axes.errorbar(*place, row["std here"], color=colours[row["search_method"]], **STAR)
        texts[False].append((*place, f"{row['architecture']}, here, {row['profile']}"))
    axes.set(xscale="log", xlabel="search cost (GPU days)", ylabel="test error (%)")
    axes.margins(x=0.2)
    for left, part in texts.items():
        _label(axes, part, left=left)
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
    figure, axes = canvas(7.6, 4.8)
    paper = rows.dropna(subset=[cost, "top1_percent"]).drop_duplicates("id")
    found = paper["searched"] == "yes"
    for searched, marker, colour in ((True, "o", BLUE), (False, "s", ORANGE)):
        part, name = paper[found == searched], "SPOS" if searched else "baseline"
        axes.plot(part[cost], part["top1_percent"], marker, markersize=7, color=colour, label=name)
    low, high = paper[cost].min(), paper[cost].max()
    own = _own(rows, f"{cost} here", "top1_percent here")
    if len(own):
        places = own[f"{cost} here"], own["top1_percent here"], own["std here"].fillna(0)
        axes.errorbar(*places, color=GREEN, label="this package", **STAR)
    axes.set(xlabel=label, ylabel="top-1 accuracy (%)")
    axes.margins(y=0.16)
    axes.set_xlim(low - 0.4 * (high - low), high + 0.22 * (high - low))
    left, half = found | (paper[cost] < low + 0.03 * (high - low)), paper[cost] > (low + high) / 2
    for side, far in product((True, False), repeat=2):
        texts = paper.loc[(left == side) & (half == far), [cost, "top1_percent", "architecture"]]
        _label(axes, [*texts.itertuples(index=False)], left=side)
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


def _label(axes: Axes, texts: Sequence[tuple[float, float, str]], *, left: bool) -> None:
    """Write a text beside each point (x, y), no two over one another, each with a thin line to its point."""
    bottom, top = axes.get_ylim()
    heights = apart([y for _, y, _ in texts], (top - bottom) / LINES)
    place = {"textcoords": ("offset points", "data"), "ha": "right" if left else "left", "va": "center"}
    line = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 0}
    for (x, y, text), height in zip(texts, heights, strict=True):
        beside = -16 if left else 16, height
        axes.annotate(published.spaced(text), (x, y), beside, **place, fontsize=8, arrowprops=line, zorder=1.5)


def apart(heights: Sequence[float], least: float) -> np.ndarray:
    """Return heights at least so far apart, in their order: those that are too near are pushed apart, each as far."""
    order = np.argsort(heights, kind="stable")
    placed = np.asarray(heights, dtype=float)[order]
    for _ in range(500):
        push = np.maximum(1.001 * least - np.diff(placed), 0) / 2
        placed[:-1] -= push
        placed[1:] += push
    return placed[np.argsort(order)]
