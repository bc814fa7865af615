"""What all trainings have: curves over the epochs, our own and those of others, and what kinds of steps cost."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from repro.report.style import BLUE, GREEN, INK, ORANGE, describe, seeds, styled, told
from repro.results.others import Curve

# Lines and markers differ too: told apart without colour
PARTS = {
    "train": ("training", BLUE, "-", "o"),
    "valid": ("validation", ORANGE, "--", "s"),
    "test": ("test", GREEN, ":", "^"),
}
UNITS = {"loss": " (nats)", "error": " (%)", "perplexity": ""}
KINDS = (("o", BLUE), ("s", ORANGE), ("^", GREEN))  # of steps
LINES = ("-", "--", "-.", ":")


@styled
def curves(metrics: pd.DataFrame) -> Figure:
    """Loss, error and perplexity over the epochs: a panel for each measure that has a column `<part>_<measure>`.

    Where `run` tells several runs apart, as `style.seeds` draws them.
    """
    measures = [measure for measure in UNITS if any(f"{part}_{measure}" in metrics for part in PARTS)]
    figure = Figure(figsize=(0.6 + 3.2 * len(measures), 3.6))
    metrics = metrics if "run" in metrics else metrics.assign(run=0)
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for part, (name, colour, line, marker) in PARTS.items():
            if (column := f"{part}_{measure}") in metrics:
                values = metrics.pivot(index="epoch", columns="run", values=column)
                look = {"color": colour, "linestyle": line, "marker": marker, "label": name}
                seeds(axes, values, max(1, len(values) // 12), **look)
        top = metrics[[f"{part}_{measure}" for part in PARTS if f"{part}_{measure}" in metrics]].max().max()
        axes.set(xlabel="epoch", ylabel=measure + UNITS[measure], ylim=(0, 1.08 * top or 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    runs = metrics["run"].nunique()
    words = f"Curves of {' and '.join(measures)} over {metrics['epoch'].max() + 1} epochs, {runs} run{'s' * (runs > 1)}"
    return describe(figure, words, told(runs))


@styled
def errors(curves: Sequence[Curve], title: str) -> Figure:
    """Errors over the epochs, a panel for each part of the images; theirs as lines, ours as marks on a line."""
    parts = list(curves[0].errors)
    figure = Figure(figsize=(0.6 + 3.4 * len(parts), 4))
    for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        for place, curve in enumerate(curves):
            measured = curve.errors.get(part, ())
            style = {"color": ORANGE, "marker": "o", "zorder": 3} if curve.ours else {"color": INK, "linewidth": 1.4}
            look = {"linestyle": LINES[place % len(LINES)], "label": curve.name, **style}
            axes.plot(range(1, len(measured) + 1), measured, **look)
        axes.set(xlabel="epoch", ylabel=f"{PARTS[part][0]} error (%)", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):  # numbers in full: 20, not 2 x 10^1
            axis.set_major_formatter(LogFormatter())
            axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    figure.suptitle(title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    ends = "; ".join(map(_end, curves))
    marks = f"All axes are logarithmic; black: others; orange, with points: ours. {ends}."
    return describe(figure, f"{title}: errors over the epochs", marks)


def _end(curve: Curve) -> str:
    """Return how far a curve goes, and where it ends."""
    ends = ", ".join(f"{PARTS[part][0]} {measured[-1]:.1f} %" for part, measured in curve.errors.items() if measured)
    return f"{curve.name} after {max(map(len, curve.errors.values()))}: {ends}"


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

    paths: a row for each, with `bytes_path`, `bytes_mixture`, `seconds_path` and `seconds_mixture`; of two paths too,
    where they were measured.
    """
    kinds = {"path": "one path", "mixture": "whole mixture"}
    if "bytes_two_paths" in paths:
        kinds["two_paths"] = "two paths"
    memory, seconds = _of(paths, "bytes", kinds) / 2**20, _of(paths, "seconds", kinds)
    return _in_turn({"peak memory (MiB)": memory, "seconds of a step": seconds}, "path", "mean")


def _of(rows: pd.DataFrame, measure: str, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return what was measured of each kind of step, a column for each."""
    return pd.DataFrame({label: rows[f"{measure}_{kind}"] for kind, label in kinds.items()})


def _in_turn(panels: Mapping[str, pd.DataFrame], turn: str, middle: str) -> Figure:
    """Draw a panel for each measure: a point for each turn and kind of step, a dashed line at the middle of each kind.

    panels: measure with its unit -> a row for each turn, a column for each kind; middle: mean or median.
    """
    figure, said = Figure(figsize=(0.6 + max(5.0, 3.2 * len(panels)), 3.8)), []
    for axes, (measure, rows) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True):
        for (kind, values), (marker, colour) in zip(rows.items(), KINDS, strict=False):
            axes.plot(range(1, len(values) + 1), values, marker, color=colour, label=kind)
            axes.axhline(values.agg(middle), color=colour, linewidth=1.2, linestyle="--", zorder=0)
            said.append(f"{measure}, {kind}: {middle} {values.agg(middle):.3g}")
        axes.set(xlabel=turn, ylabel=measure, ylim=(0, 1.05 * rows.max(axis=None)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(figure, "; ".join(said), f"Points: each {turn}; dashed: the {middle} of each kind.")
