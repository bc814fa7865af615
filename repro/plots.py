"""The papers' figures from plain data, in one style: legible in grey, and the same bytes for the same data every time.

Each function returns a figure; `save` writes it as SVG, PDF and PNG, and shows it where it is called in a notebook.
"""

import functools
import io
import itertools
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from repro.drawing import operation_label, show
from repro.files import write_bytes
from repro.genotypes import RECURRENT_OPERATIONS, SEARCH_OPERATIONS

INK, FAINT = "#333333", "#b5b5b5"
STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("notebook"),
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so every machine has it
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.formatter.useoffset": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "svg.hashsalt": "repro",
    "pdf.fonttype": 42,
}
NO_DATES = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
PIXELS_PER_INCH = 90  # of a figure shown in a notebook
# Line of each part of the data: told apart without colour
UNITS = {"loss": " (nats)", "error": " (%)", "perplexity": ""}
PARTS = {"train": ("#0072b2", "-", "o"), "valid": ("#d55e00", "--", "s"), "test": ("#009e73", ":", "^")}


def save(figure: Figure, stem: Path) -> None:
    """Write `stem`.svg, `stem`.pdf and `stem`.png, each whole or not at all; show the figure in a notebook."""
    for extension, metadata in NO_DATES.items():
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            figure.savefig(buffer, format=extension, metadata=metadata)
        write_bytes(stem.with_name(f"{stem.name}.{extension}"), buffer.getvalue())
    width = round(figure.get_figwidth() * PIXELS_PER_INCH)
    show({"image/png": b64encode(buffer.getvalue()).decode()}, **{"image/png": {"width": width}})


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws: it does so in the shared style and leaves Matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


@styled
def bilevel_toy(trajectories: Sequence[Mapping[str, Any]]) -> Figure:
    """DARTS Figure 2: (alpha, w) from step to step for every xi, over L_val, with the analytic fixed points as rings.

    trajectories: `xi`, `alpha` and `weight` (one value a step, the start first) and `fixed_point`, where alpha = w.
    """
    figure = Figure(figsize=(6.4, 5))
    axes = figure.subplots()
    (left, right), (low, high) = (_limits([path[name] for path in trajectories]) for name in ("alpha", "weight"))
    alpha, weight = np.meshgrid(np.linspace(left, right, 101), np.linspace(low, high, 101))
    losses = axes.contour(alpha, weight, alpha * weight - 2 * alpha + 1, levels=10, colors=FAINT, linewidths=0.6)
    axes.clabel(losses, fontsize=7, fmt="%g")
    axes.axline((1, 1), slope=1, color=INK, linewidth=1, linestyle=(0, (6, 3)), label=r"$w = w^*(\alpha) = \alpha$")
    colours = sns.color_palette("viridis", len(trajectories) + 1)
    for path, colour, marker in zip(trajectories, colours, itertools.cycle("osD^vP")):
        axes.plot(
            path["alpha"], path["weight"], color=colour, linewidth=1.6, marker=marker, markevery=(0.06, 0.06),
            markersize=4.5, label=rf"$\xi = {path['xi']:g}$",
        )  # fmt: skip
        end = path["fixed_point"]
        axes.plot(end, end, marker="o", markersize=13, color=colour, fillstyle="none", markeredgewidth=2)
    start = trajectories[0]["alpha"][0], trajectories[0]["weight"][0]
    axes.plot(*start, marker="*", markersize=14, color=INK, linestyle="none", label="start")
    axes.plot(1, 1, marker="+", markersize=13, markeredgewidth=2, color=INK, linestyle="none", label="solution (1, 1)")
    axes.set(xlabel=r"$\alpha$", ylabel=r"$w$", xlim=(left, right), ylim=(low, high))
    axes.grid(False)
    handles, labels = axes.get_legend_handles_labels()
    ring = Line2D([], [], marker="o", markersize=11, color=INK, fillstyle="none", markeredgewidth=2, linestyle="none")
    figure.legend([*handles, ring], [*labels, "analytic fixed points"], loc="outside right upper")
    return figure


def _limits(paths: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return limits that hold every path, with a margin; a descent that diverges does not set them."""
    values = np.concatenate([np.asarray(path) for path in paths])
    low, high = np.clip([values.min(), values.max()], -10, 10)
    margin = 0.1 * max(high - low, 1.0)
    return low - margin, high + margin


@styled
def search_curve(metrics: pd.DataFrame) -> Figure:
    """Loss, error and perplexity over the epochs: a panel for each measure that has a column `<part>_<measure>`."""
    measures = [measure for measure in UNITS if any(f"{part}_{measure}" in metrics for part in PARTS)]
    figure = Figure(figsize=(4 * len(measures), 3.2))
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for part, (colour, line, marker) in PARTS.items():
            if (column := f"{part}_{measure}") in metrics:
                every = max(1, len(metrics) // 12)
                axes.plot(
                    metrics["epoch"] + 1, metrics[column], color=colour, linestyle=line, marker=marker, markersize=4.5,
                    markevery=every, label={"train": "training", "valid": "validation"}.get(part, part),
                )  # fmt: skip
        top = max((line.get_ydata().max() for line in axes.lines), default=1)
        axes.set(xlabel="epochs", ylabel=measure + UNITS[measure], ylim=(0, 1.08 * top or 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.legend()
    return figure


@styled
def alpha_heatmap(shares: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """softmax(alpha) of every edge (rows) and operation (columns), one panel a cell; a dot marks an edge's strongest.

    shares: cell -> (edges, operations), as the search logs it; `none` cannot be an edge's strongest (Sect. 2.4).
    """
    rows = max(len(values) for values in shares.values())
    figure = Figure(figsize=(0.8 + 3.9 * len(shares), 1.6 + 0.3 * rows))
    panels = figure.subplots(1, len(shares), squeeze=False)[0]
    top = max(np.max(values) for values in shares.values())
    for axes, (cell, values) in zip(panels, shares.items(), strict=True):
        table = np.asarray(values)
        convolutional = table.shape[1] == len(SEARCH_OPERATIONS)
        operations = SEARCH_OPERATIONS if convolutional else RECURRENT_OPERATIONS
        sns.heatmap(
            table, ax=axes, cmap="Blues", vmin=0, vmax=top, linewidths=0.5, linecolor="white", square=False,
            cbar=axes is panels[-1], cbar_kws={"label": r"softmax$(\alpha)$"},
            xticklabels=[operation_label(op) for op in operations], yticklabels=edge_labels(len(table), convolutional),
        )  # fmt: skip
        strongest = 1 + table[:, 1:].argmax(axis=1)
        dark = table[np.arange(len(table)), strongest] > 0.6 * top
        colours = np.where(dark, "white", INK)
        axes.scatter(strongest + 0.5, np.arange(len(table)) + 0.5, s=22, c=colours, zorder=3)
        axes.set(title=f"{cell} cell")
        axes.tick_params(axis="x", rotation=45, length=0)
        axes.tick_params(axis="y", rotation=0, length=0)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    return figure


def edge_labels(edges: int, convolutional: bool) -> list[str]:
    """Name the rows of alpha: by node, then by source; a convolutional cell's first two sources are its inputs."""
    inputs = [r"$c_{k-2}$", r"$c_{k-1}$"] if convolutional else []
    labels: list[str] = []
    node = 0 if convolutional else 1
    while len(labels) < edges:
        labels += [f"{source} → {node}" for source in [*inputs, *map(str, range(node))]]
        node += 1
    return labels


@styled
def progress(snapshots: pd.DataFrame, references: Mapping[str, float], *, cost: str, measure: str) -> Figure:
    """DARTS Figure 3: the current cell retrained at snapshots of the search: median and best so far, over runs.

    snapshots: `run`, `cost` and `value`, one row a snapshot, lower is better; cost and measure: the axes' labels.
    references: name -> value of other cells under the same training, as horizontal lines.
    """
    figure = Figure(figsize=(6.4, 4))
    axes = figure.subplots()
    table = snapshots.pivot(index="cost", columns="run", values="value").sort_index()
    best = table.cummin()
    for number, run in enumerate(table):
        label = f"each of {table.shape[1]} runs, best so far" if number == 0 else None
        axes.plot(table.index, best[run], color=FAINT, linewidth=1, drawstyle="steps-post", label=label)
    lines = (("current cell", table, "#d55e00", "--", "s"), ("best so far", best, "#0072b2", "-", "o"))
    for label, values, colour, line, marker in lines:
        axes.plot(
            table.index, values.median(axis=1), color=colour, linestyle=line, marker=marker, label=f"median, {label}"
        )
    for (name, value), line in zip(references.items(), itertools.cycle((":", "-.", (0, (1, 3))))):
        axes.axhline(value, color=INK, linewidth=1.1, linestyle=line, label=name)
    axes.set(xlabel=cost, ylabel=measure)
    axes.legend(loc="upper right")
    return figure


MARKERS = {"RL": "s", "evolution": "D", "SMBO": "v", "random": "X", "gradient": "o"}


@styled
def cost_against_error(rows: pd.DataFrame) -> Figure:
    """DARTS Table 1 as a picture: test error (percent) against search cost (GPU days), by method of search.

    rows: `architecture`, `test_error_percent`, `search_gpu_days`, `search_method`, `std` and, for rows of our own,
    `source`; rows without both numbers are left out.
    """
    figure = Figure(figsize=(8, 5.2))
    axes = figure.subplots()
    rows = rows.dropna(subset=["test_error_percent", "search_gpu_days"]).reset_index(drop=True)
    ours = rows["source"].ne("paper") if "source" in rows else pd.Series(False, index=rows.index)
    colours = dict(zip(MARKERS, sns.color_palette("colorblind", len(MARKERS)), strict=True))
    for method, marker in MARKERS.items():
        for own in (False, True):
            part = rows[(rows["search_method"] == method) & (ours == own)]
            if len(part):
                axes.errorbar(
                    part["search_gpu_days"], part["test_error_percent"], part["std"].fillna(0), linestyle="none",
                    marker="*" if own else marker, markersize=13 if own else 7, capsize=3, color=colours[method],
                    markeredgecolor=INK, label=f"{method}, this package" if own else method,
                )  # fmt: skip
    axes.set(xscale="log", xlabel="search cost (GPU days)", ylabel="test error (%)")
    _label_points(axes, rows["search_gpu_days"], rows["test_error_percent"], rows["architecture"])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend([bar.lines[0] for bar in handles], labels, title="search by", loc="outside lower center", ncols=6)
    return figure


def _label_points(axes: Axes, x: Iterable[float], y: Iterable[float], texts: Iterable[str]) -> None:
    """Write each text beside its point: to the left in the right half of the picture."""
    x = np.asarray(x, dtype=float)
    middle = np.sqrt(x.min() * x.max()) if len(x) else 0
    for across, up, text in zip(x, y, texts, strict=True):
        side, shift = ("left", 8) if across <= middle else ("right", -8)
        spaced = re.sub(r" *\+ *", " + ", re.sub(r" *\(", " (", text))
        label = axes.annotate(
            spaced, (across, up), (shift, 0), textcoords="offset points", fontsize=8, ha=side, va="center"
        )
        label.set(fontsize=8, path_effects=[withStroke(linewidth=2.5, foreground="white")])
