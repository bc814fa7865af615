"""Searches in NAS-Bench-201's space held against the truth: the current cell's accuracy, epoch by epoch, and why.

Everything is read from run directories; what a search was not asked for is not drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.report.style import BLUE, FAINT, INK, ORANGE, canvas, describe, styled
from repro.results import compare
from repro.runs.run import Run

NEAR = 0.05  # of what an axis spans: points so near to each other share a place for their marks
PATHS = {"": "SPOS, evolution", "random_": "SPOS, random search"}  # prefix of a row's entries -> the method


class Course(NamedTuple):
    """One search by its method and seed: after which epochs it had which true accuracy (percent)."""

    method: str
    seed: int
    epochs: Sequence[int]
    accuracies: Sequence[float]


def courses(profile: str, *more: Run) -> list[Course]:
    """Return the courses of all finished searches of a profile that looked up their cells, and of `more` runs."""
    kinds = ("nb201-search", "nb201-paths")
    runs = [run for kind in kinds for group in compare.groups(kind) for run in group.runs if run.profile == profile]
    runs += [run for run in more if run.path not in {each.path for each in runs}]
    return [course for run in runs for course in of(run) if course.epochs]


def of(run: Run) -> Iterator[Course]:
    """Yield the course of each method of a run; with no epochs where it looked nothing up."""
    rows, values = run.metrics(), run.params.values()
    methods = PATHS
    if run.experiment == "nb201-search":
        annealed = "" if values["temperature"] == 1 else f", T to {values['temperature']:g}"
        methods = {"": f"DARTS, order {values['order']}{annealed}"}
    elif values["sampling"] != "uniform":
        methods = {prefix: f"{method}, {values['sampling']}" for prefix, method in PATHS.items()}
    for prefix, method in methods.items():
        known = [(row["epoch"] + 1, row[f"{prefix}true_accuracy"]) for row in rows if f"{prefix}true_accuracy" in row]
        yield Course(method, values["seed"], [epoch for epoch, _ in known], [accuracy for _, accuracy in known])


@styled
def true_accuracies(found: Sequence[Course], space: Mapping[str, float]) -> Figure:
    """True accuracy of the current cell over the epochs of every search, a colour for each method.

    space: what accuracies (percent) of the space stand as lines, by their names.
    """
    figure, axes = canvas(6.2, 4.8)
    methods = [*dict.fromkeys(course.method for course in found)]
    looks = zip(sns.color_palette("colorblind", len(methods)), cycle(("-", "--", "-.", ":")), cycle("osD^vP"))
    look = dict(zip(methods, looks, strict=False))
    for course in sorted(found, key=lambda course: (course.method, course.seed)):
        colour, line, marker = look[course.method]
        named = {} if course.method in axes.get_legend_handles_labels()[1] else {"label": course.method}
        axes.plot(
            course.epochs,
            course.accuracies,
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=4,
            alpha=0.8,
            **named,
        )
    for name, accuracy in space.items():
        axes.axhline(accuracy, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate(f"{name}, {accuracy:.2f} %", (1, accuracy), xycoords=("axes fraction", "data"), ha="right",
                      va="bottom", fontsize=9)  # fmt: skip
    axes.set(xlabel="epoch of the search", ylabel="true accuracy of the current cell (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    ends = ", ".join(f"{each.method}, seed {each.seed}: {each.accuracies[-1]:.2f} %" for each in found)
    words = f"True accuracy of the current cell over the epochs; at the end {ends}"
    return describe(figure, words, "A line: one search, a colour for each method; dotted: accuracies of the space.")


@styled
def front(result: Mapping[str, Any], label: str) -> Figure:
    """Accuracy of the cells of `hardware-front` against their cost, which `label` names.

    result: its `darts` and `spos` have a row for each cell; accuracies (percent) are true ones where all are known.
    """
    (figure, axes), said, every = canvas(5.8, 4.4), [], [*result["darts"], *result["spos"]]
    known = all("true_accuracy" in row for row in every)
    measure = "true_accuracy" if known else "accuracy"
    near = [NEAR * float(np.ptp([row[entry] for row in every])) for entry in ("cost", measure)]
    looks = {"darts": ("DARTS, weight", "weight", BLUE, "-", "o"), "spos": ("SPOS, limit", "limit", ORANGE, "--", "s")}
    for name, (words, setting, colour, line, marker) in looks.items():
        rows = sorted(result[name], key=lambda row: (row["cost"], row[measure]))
        costs, accuracies = ([row[entry] for row in rows] for entry in ("cost", measure))
        axes.plot(costs, accuracies, color=colour, linestyle=line, marker=marker, alpha=0.8, label=f"{words} as marked")
        for point, marks in _marked([(row["cost"], row[measure], f"{row[setting]:g}") for row in rows], near).items():
            mark, offset = ", ".join(marks), (4, 5) if name == "darts" else (4, -11)
            axes.annotate(mark, point, offset, textcoords="offset points", color=colour, fontsize=8)
        said += [f"{words} {row[setting]:g}: {row[measure]:.2f} % at {row['cost']:.3g}" for row in rows]
    axes.set(xlabel=label, ylabel=f"{'true accuracy' if known else 'accuracy with inherited weights'} (%)")
    figure.legend(loc="outside lower center", ncols=2)
    words = f"Accuracy of the found cells against {label}; {', '.join(said)}"
    return describe(figure, words, "Points: cells, each marked with its weight or its limit.")


def _marked(points: Sequence[tuple[float, float, str]], near: Sequence[float]) -> dict[tuple[float, float], list[str]]:
    """Return where the marks of points stand: at the first of those that are near it in both directions."""
    places: dict[tuple[float, float], list[str]] = {}
    for x, y, mark in points:
        close = (place for place in places if abs(place[0] - x) <= near[0] and abs(place[1] - y) <= near[1])
        places.setdefault(next(close, (x, y)), []).append(mark)
    return places


@styled
def diagnosis(rows: Sequence[Mapping[str, Any]], stopped: int | None = None) -> Figure:
    """Skip connections, curvature and discretisation gap over the epochs of a search: a panel for what its rows hold.

    stopped: the epoch at which it should have ended.
    """
    table = pd.DataFrame(rows)
    panels = {
        "skips": "skip connections",
        "alpha_eigenvalue": "largest eigenvalue",
        "discrete_error": "validation error (%)",
    }
    panels = {name: label for name, label in panels.items() if name in table}
    figure, epochs = Figure(figsize=(0.6 + 3.2 * len(panels), 3.8)), table["epoch"] + 1
    marks = "Points: epochs of one search"
    for axes, (name, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.plot(epochs, table[name], color=ORANGE, marker="s", markersize=4)
        axes.set(xlabel="epoch of the search", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name == "skips":
            axes.set_ylim(-0.3, max(2, table[name].max()) + 0.5)
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        elif name == "alpha_eigenvalue" and stopped is not None:
            axes.axvline(stopped, color=FAINT, linewidth=1.4)
            marks += "; upright grey line: where the search should have ended"
        elif name == "discrete_error":
            axes.lines[0].set(linestyle="--", label="derived alone")
            axes.plot(epochs, table["valid_error"], color=BLUE, marker="o", markersize=4, label="mixture")
            figure.legend(loc="outside lower center", ncols=2)
    last = ", ".join(f"{label} {table[name].iloc[-1]:.3g}" for name, label in panels.items())
    return describe(figure, f"Diagnosis over {len(table)} epochs; after the last: {last}", f"{marks}.")
