"""The papers' figures from plain data, in one style: legible in grey, and the same bytes for the same data every time.

Each function returns a figure; `save` writes it as SVG, PDF and PNG, and shows it where it is called in a notebook. A
picture of a run that is not as published says in itself what made it.
"""

import functools
import io
import itertools
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from repro.files import make_folder, write_bytes
from repro.report import marks
from repro.report.cells import show
from repro.report.marks import INK
from repro.runs.run import Run

FAINT = "#b5b5b5"
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
NAMES = {"NASNET": "NASNet-A", "AMOEBANET": "AmoebaNet-A", "ENAS_RNN": "ENAS"}
PARTS = {"train": ("#0072b2", "-", "o"), "valid": ("#d55e00", "--", "s")}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the shared style alone: from Matplotlib's own defaults, whatever a matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def save(figure: Figure, stem: Path, run: Run | None) -> None:
    """Write `stem`.svg, `stem`.pdf and `stem`.png, each whole or not at all; show the figure in a notebook.

    run: whose numbers these are, which are marked unless it is as published; None where they are none of a run.
    The figure's label is what a reader hears who cannot see it.
    """
    make_folder(stem.parent)
    if share := marks.in_figure(figure, run):
        figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
        figure.set_label(marks.in_words(figure.get_label(), run))
    for extension, metadata in NO_DATES.items():
        buffer = io.BytesIO()
        title = {"Title": figure.get_label()} if figure.get_label() and extension != "png" else {}
        with style():
            figure.savefig(buffer, format=extension, metadata=metadata | title)
        picture = _few_colours(buffer) if extension == "png" else buffer.getvalue()
        write_bytes(stem.with_name(f"{stem.name}.{extension}"), picture)
    facts = {"width": round(figure.get_figwidth() * PIXELS_PER_INCH), "alt": figure.get_label()}
    show({"image/png": b64encode(picture).decode()}, **{"image/png": facts})


def _few_colours(png: io.BytesIO) -> bytes:
    """Return the picture with a palette of 256 colours: a third of the size, and no difference to see."""
    buffer = io.BytesIO()
    Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws: it does so in the shared style and leaves Matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Figure:
        with style():
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
    ends = ", ".join(
        f"({path['alpha'][-1]:.2f}, {path['weight'][-1]:.2f}) for xi = {path['xi']:g}" for path in trajectories
    )
    figure.set_label(f"Descent in the plane of alpha and w from {start}: it ends at {ends}; the solution is (1, 1)")
    return figure


def _limits(paths: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return limits that hold every path, with a margin; a descent that diverges does not set them."""
    values = np.concatenate([np.asarray(path) for path in paths])
    low, high = np.clip([values.min(), values.max()], -10, 10)
    margin = 0.1 * max(high - low, 1.0)
    return low - margin, high + margin


@styled
def search_curve(metrics: pd.DataFrame) -> Figure:
    """Loss, error and perplexity over the epochs: a panel for each measure that has a column `<part>_<measure>`.

    Where `run` tells several runs apart, their mean, and from the lowest to the highest a band.
    """
    measures = [measure for measure in UNITS if any(f"{part}_{measure}" in metrics for part in PARTS)]
    figure = Figure(figsize=(4 * len(measures), 3.2))
    runs = metrics["run"].nunique() if "run" in metrics else 1
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for part, (colour, line, marker) in PARTS.items():
            if (column := f"{part}_{measure}") in metrics:
                values = metrics.groupby("epoch")[column].agg(["mean", "min", "max"])
                axes.plot(
                    values.index + 1, values["mean"], color=colour, linestyle=line, marker=marker, markersize=4.5,
                    markevery=max(1, len(values) // 12), label={"train": "training", "valid": "validation"}[part],
                )  # fmt: skip
                if runs > 1:
                    axes.fill_between(values.index + 1, values["min"], values["max"], color=colour, alpha=0.2, lw=0)
        top = metrics[[f"{part}_{measure}" for part in PARTS if f"{part}_{measure}" in metrics]].max().max()
        axes.set(xlabel="epochs", ylabel=measure + UNITS[measure], ylim=(0, 1.08 * top or 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.legend()
    band = f", mean of {runs} runs with a band from the lowest to the highest" if runs > 1 else ""
    figure.set_label(f"Curves of {' and '.join(measures)} over {metrics['epoch'].max() + 1} epochs{band}")
    return figure


@styled
def progress(snapshots: pd.DataFrame, references: Mapping[str, float], *, cost: str, measure: str) -> Figure:
    """DARTS Figure 3: the current cell retrained at snapshots of the search: median and best so far, over runs.

    snapshots: `run`, `cost` and `value`, one row a snapshot, lower is better; cost and measure: the axes' labels.
    references: name -> value of other cells under the same training, as horizontal lines.
    """
    figure = Figure(figsize=(7.4, 3.8))
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
        axes.axhline(value, color=INK, linewidth=1.1, linestyle=line, label=NAMES.get(name, name.replace("$", r"\$")))
    axes.set(xlabel=cost, ylabel=measure)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside right upper")
    figure.set_label(f"{measure} of the current cell over {cost}, with the best so far, of {table.shape[1]} searches")
    return figure
