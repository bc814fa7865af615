"""Pictures of architecture gradients: against that of the converged problem, and along a search."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.report.style import BLUE, FAINT, GREEN, INK, ORANGE, describe, styled

SERIES = {"implicit": (BLUE, "-", "o"), "unrolled": (ORANGE, "--", "s")}
LEVELS = {"first order": (INK, ":"), "one step": (GREEN, "-.")}
LEAST = 1e-3  # relative error that is drawn
PRECISIONS = {"float32": (ORANGE, "--", "s"), "float64": (BLUE, "-", "o")}


@styled
def truth(rows: pd.DataFrame) -> Figure:
    """Relative error at the minimum against the number of terms, a panel for each problem.

    rows: those of `hypergradient-truth`, with problem, after (missing at the minimum), method and relative_error.
    """
    figure, panels = _problems(rows[rows["after"].isna()])
    said = []
    for axes, problem, found in panels:
        errors = found.set_index("method")["relative_error"].clip(lower=LEAST)
        for order, (colour, line, marker) in SERIES.items():
            values = {int(name.split()[1]): errors[name] for name in errors.index if name.startswith(order)}
            axes.plot([*values], [*values.values()], line, color=colour, marker=marker, label=f"{order}, K")
        for name, (colour, line) in LEVELS.items():
            axes.axhline(errors[name], color=colour, linestyle=line, label=name)
        axes.set(xlabel="terms or steps K", xscale="log", yscale="log")
        said.append(f"{problem}: {', '.join(f'{name} {error:.2g}' for name, error in errors.items())}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return describe(
        figure,
        "Relative error of architecture gradients at the minimum of the training loss, against the exact gradient of "
        f"the converged problem. {'; '.join(said)}",
        f"Points: a number of terms or steps; horizontal lines: what has none. Errors below {LEAST:g} are drawn there.",
    )


def _problems(rows: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, str, pd.DataFrame]]]:
    """Return a figure of relative errors: for each problem its panel, its name and its rows."""
    figure, parts = Figure(figsize=(9, 3.6)), rows.groupby("problem", sort=False)
    panels = figure.subplots(1, len(parts), sharey=True)
    for axes, (problem, _) in zip(panels, parts, strict=True):
        axes.set_title(problem)
    panels[0].set_ylabel(f"relative error (at least {LEAST:g})")
    return figure, [(axes, problem, found) for axes, (problem, found) in zip(panels, parts, strict=True)]


@styled
def descent(rows: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Relative error of some methods while w descends to its minimum, a panel for each problem."""
    figure, panels = _problems(rows.dropna(subset="after"))
    styles = [(INK, ":", ""), (GREEN, "-.", "^"), (BLUE, "-", "o"), (ORANGE, "--", "s")]
    for axes, _, found in panels:
        for method, (colour, line, marker) in zip(methods, styles, strict=False):
            values = found[found["method"] == method]
            errors = values["relative_error"].clip(lower=LEAST)
            axes.plot(values["after"], errors, line, color=colour, marker=marker, label=method)
        axes.set(xlabel="steps of w before", yscale="log")
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(left=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    words = f"Relative error of {', '.join(methods)} after steps of gradient descent on w"
    return describe(figure, words, f"A panel for each problem. Errors below {LEAST:g} are drawn there.")


@styled
def differences(looks: pd.DataFrame) -> Figure:
    """Cosine and relative error of Eq. 8 with the exact derivative over its step eps, in both precisions.

    looks: a row for each look, eps and precision. Faint marks are single looks, the line goes through the medians.
    """
    figure = Figure(figsize=(8, 3.6))
    panels = figure.subplots(1, 2)
    for axes, (measure, words) in zip(
        panels, {"cosine": "cosine", "relative_error": "relative error"}.items(), strict=True
    ):
        for precision, (colour, line, marker) in PRECISIONS.items():
            found = looks[looks["precision"] == precision]
            axes.plot(found["eps"], found[measure], marker, color=colour, alpha=0.25, markersize=4)
            middle = found.groupby("eps")[measure].median()
            axes.plot(middle.index, middle, line, color=colour, label=precision)
        _at_the_papers(axes)
        axes.set(xlabel="eps", ylabel=words, xscale="log")
    panels[1].set_yscale("log")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    middle = looks.groupby(["precision", "eps"])["cosine"].median()
    said = "; ".join(f"{precision}, eps {eps:g}: {value:.3f}" for (precision, eps), value in middle.items())
    marks = "Faint points: single looks; lines: their medians; upright grey line: the paper's eps, 0.01."
    return describe(figure, f"Eq. 8 against the exact derivative; median cosine: {said}", marks)


@styled
def along(looks: Sequence[Mapping[str, Any]]) -> Figure:
    """Cosine of whole gradients with the exact one of one step over the steps of a search, and the second term's share.

    looks: those of a search, each with step, gradients and share.
    """
    figure = Figure(figsize=(8, 3.6))
    left, right = figure.subplots(1, 2)
    steps, names = [look["step"] for look in looks], [*looks[0]["gradients"]]
    shown = ["first order", *(name for name in names if name.startswith("implicit"))]
    shown += [name for name in names if name.startswith("unrolled") and name != "unrolled 1"]
    colours = {"first": INK, "implicit": BLUE, "unrolled": ORANGE}
    for place, name in enumerate(shown):
        cosines = [look["gradients"][name]["cosine"] for look in looks]
        left.plot(steps, cosines, marker="osD^v<>"[place % 7], color=colours[name.split()[0]], label=name, alpha=0.8)
    left.set(xlabel="step of the search", ylabel="cosine with the exact gradient")
    right.plot(steps, [look["share"] for look in looks], "-o", color=GREEN)
    right.set(xlabel="step of the search", ylabel="second term over the first", ylim=(0, None))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    ends = ", ".join(f"{name} {looks[-1]['gradients'][name]['cosine']:.3f}" for name in shown)
    words = f"Cosine of gradients with the exact one of one step along a search; at the last look: {ends}"
    return describe(
        figure, words, "Points: looks at one search; the colour tells the kind of gradient, the shape which."
    )


def _at_the_papers(axes: Axes) -> None:
    axes.axvline(0.01, color=FAINT, zorder=0, label="the paper's eps")
