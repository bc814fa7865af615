"""The figures of DARTS: the bilevel problem (Fig. 2), the cells during a search (Fig. 3), and how alpha moves.

Each function returns a figure of plain data, legible in grey; `style.save` writes it.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from repro.report.graphs import operation_label
from repro.report.style import BLUE, FAINT, GREEN, INK, ORANGE, canvas, describe, seeds, styled, told
from repro.spaces.genotypes import CELL_SPACES

NAMES = {"NASNET": "NASNet-A", "AMOEBANET": "AmoebaNet-A", "ENAS_RNN": "ENAS"}
CELLS = ({"color": BLUE, "linestyle": "-", "marker": "o"}, {"color": ORANGE, "linestyle": "--", "marker": "s"})
FOUND = (("o", BLUE), ("s", ORANGE), ("^", GREEN), ("D", INK))  # of searched cells
Softmax = Sequence[Sequence[float]]  # softmax(alpha): (edges, operations), edges by node, then by source


@styled
def bilevel_toy(trajectories: Sequence[Mapping[str, Any]]) -> Figure:
    """DARTS Figure 2: (alpha, w) from step to step for every xi, over L_val, with the analytic fixed points as rings.

    trajectories: `xi`, `alpha` and `weight` (one value a step, the start first) and `fixed_point`, where alpha = w.
    """
    figure, axes = canvas(5.6, 6)
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
    figure.legend([*handles, ring], [*labels, "analytic fixed points"], loc="outside lower center", ncols=3)
    ends = ", ".join(
        f"({path['alpha'][-1]:.2f}, {path['weight'][-1]:.2f}) for xi = {path['xi']:g}" for path in trajectories
    )
    return describe(
        figure,
        f"Descent in the plane of alpha and w from {start}: it ends at {ends}; the solution is (1, 1)",
        "Thin grey lines: contours of the validation loss; marks on a path: some of its steps.",
    )


def _limits(paths: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return limits that hold every path, with a margin; a descent that diverges does not set them."""
    values = np.concatenate([np.asarray(path) for path in paths])
    low, high = np.clip([values.min(), values.max()], -10, 10)
    margin = 0.1 * max(high - low, 1.0)
    return low - margin, high + margin


@styled
def progress(snapshots: pd.DataFrame, references: Mapping[str, float], *, cost: str, measure: str) -> Figure:
    """DARTS Figure 3: the current cell retrained at snapshots of the search: median and best so far, over runs.

    snapshots: `run`, `cost` and `value`, one row a snapshot, lower is better; cost and measure: the axes' labels.
    references: name -> value of other cells under the same training, as horizontal lines.
    """
    figure, axes = canvas(6.2, 4.8)
    table = snapshots.pivot(index="cost", columns="run", values="value").sort_index()
    best = table.cummin()
    for number, run in enumerate(table):
        label = f"each of {table.shape[1]} runs, best so far" if number == 0 else None
        axes.plot(table.index, best[run], color=FAINT, linewidth=1, drawstyle="steps-post", label=label)
        axes.plot(table.index, table[run], "s", color=ORANGE, markersize=4, alpha=0.5, zorder=3)
    lines = (("current cell", table, ORANGE, "--", "s"), ("best so far", best, BLUE, "-", "o"))
    for label, values, colour, line, marker in lines:
        axes.plot(
            table.index, values.median(axis=1), color=colour, linestyle=line, marker=marker, label=f"median, {label}"
        )
    for (name, value), line in zip(references.items(), itertools.cycle((":", "-.", (0, (1, 3))))):
        axes.axhline(value, color=INK, linewidth=1.1, linestyle=line, label=NAMES.get(name, name.replace("$", r"\$")))
    axes.set(xlabel=cost, ylabel=measure)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside lower center", ncols=2)
    return describe(
        figure,
        f"{measure} of the current cell over {cost}, with the best so far, of {table.shape[1]} searches",
        "Small squares: the current cell of each search; horizontal lines: published cells under the same training.",
    )


@styled
def alpha_heatmap(softmax: Mapping[str, Softmax]) -> Figure:
    """softmax(alpha) of every edge (rows) and operation (columns), one panel a cell; a dot marks an edge's strongest.

    softmax: cell -> (edges, operations), as the search logs it; `none` cannot be an edge's strongest (Sect. 2.4).
    """
    rows = max(len(values) for values in softmax.values())
    figure = Figure(figsize=(0.8 + 3.9 * len(softmax), 1.6 + 0.3 * rows))
    panels = figure.subplots(1, len(softmax), squeeze=False)[0]
    top = max(np.max(values) for values in softmax.values())
    for axes, (cell, values) in zip(panels, softmax.items(), strict=True):
        table, space = np.asarray(values), CELL_SPACES[cell]
        sns.heatmap(
            table, ax=axes, cmap="Blues", vmin=0, vmax=top, linewidths=0.5, linecolor="white", square=False,
            cbar=axes is panels[-1], cbar_kws={"label": r"softmax$(\alpha)$"},
            xticklabels=[operation_label(op) for op in space.operations],
            yticklabels=space.edge_labels(space.nodes(*table.shape)),
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
    return describe(
        figure,
        f"Heat map of softmax(alpha) for every edge and operation: {', '.join(softmax)} cell",
        "The darker, the more weight; a dot, white on dark: the strongest operation of an edge other than zero.",
    )


@styled
def alpha_history(history: Sequence[Softmax], cell: str) -> Figure:
    """softmax(alpha) over the epochs: a panel for each edge (down: node, across: state read), a row for each operation.

    history: one (edges, operations) for every epoch. Dots follow an edge's strongest operation.
    """
    values = np.asarray(history)  # (epochs, edges, operations)
    epochs, count, width = values.shape
    space = CELL_SPACES[cell]
    nodes = space.nodes(count, width)
    places, names = space.edges(nodes), space.edge_labels(nodes)
    rows, columns = places[-1][0] + 1, places[-1][1] + 1
    figure = Figure(figsize=(1.9 + 1.45 * columns, 0.9 + (0.16 * width + 0.32) * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    norm = Normalize(0, max(values.max(), 3 / width))  # where all are alike, a light tone
    drawn = {place: panels[place] for place in places}
    size = min(5, 1.8 + 60 / epochs)
    dots = {"marker": "o", "markersize": size, "mfc": "white", "mec": INK, "mew": 0.7, "linestyle": "none"}
    for axes in set(panels.flat) - set(drawn.values()):
        axes.set_axis_off()
    for (place, axes), name, edge in zip(drawn.items(), names, values.swapaxes(0, 1), strict=True):
        extent = (0.5, epochs + 0.5, width, 0)
        image = axes.imshow(edge.T, aspect="auto", cmap="Blues", norm=norm, interpolation="nearest", extent=extent)
        strongest = 1.5 + edge[:, 1:].argmax(axis=1)
        axes.plot(np.arange(1, epochs + 1), strongest, **dots)
        axes.set_title(name, fontsize=9, pad=2)
        _mark(axes, space.operations, first=place[1] == 0, last=place[0] == rows - 1)
    figure.colorbar(image, ax=panels, label=r"softmax$(\alpha)$", shrink=0.7, aspect=30)
    figure.suptitle(f"{cell} cell", fontsize=12)
    panels[-1, columns // 2].set_xlabel("epoch of the search", fontsize=10)
    return describe(
        figure,
        f"Heat maps over {epochs} epochs, one for each of the {count} edges of the {cell} cell: "
        "softmax(alpha) of every operation; dots follow the strongest",
        "Columns: epochs; the darker, the more weight; a dot: the strongest operation of an edge other than zero.",
    )


@styled
def skips(counts: Mapping[str, pd.DataFrame]) -> Figure:
    """Skip connections in the cell that would be derived after each epoch: a search that collapses fills with them.

    counts: cell -> a row for each epoch, a column for each search.
    """
    figure, axes = canvas(5.6, 3.6)
    for (cell, values), look in zip(counts.items(), CELLS, strict=True):
        seeds(axes, values, max(1, len(values) // 12), label=f"{cell} cell", **look)
    top = max(values.max(axis=None) for values in counts.values())
    axes.set(xlabel="epoch of the search", ylabel="skip connections", ylim=(-0.3, max(2, top) + 0.5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside lower center", ncols=2)
    last = ", ".join(f"{values.iloc[-1].mean():.1f} in the {cell} cell" for cell, values in counts.items())
    runs = next(iter(counts.values())).shape[1]
    return describe(figure, f"Skip connections of the derived cell, epoch by epoch; at last {last}", told(runs))


@styled
def random_cells(random: Sequence[float], searched: Mapping[str, Sequence[float]], measure: str) -> Figure:
    """Histogram of random cells, with those that searches found on it: every cell under the same training.

    random, searched: `measure` of every cell, lower is better.
    """
    figure, axes = canvas(5.6, 3.8)
    axes.hist(random, bins="auto", color=FAINT, label=f"{len(random)} random cells")
    axes.plot(random, [-0.06 * axes.get_ylim()[1]] * len(random), "|", color=INK, markersize=8)
    top = axes.get_ylim()[1]
    for place, ((name, values), (marker, colour)) in enumerate(zip(searched.items(), itertools.cycle(FOUND))):
        height = top * (1.08 + 0.1 * place)
        axes.plot(values, [height] * len(values), marker, color=colour, label=f"{name}: {len(values)}")
        axes.plot(np.mean(values), height, "|", color=colour, markersize=18, markeredgewidth=2)
    axes.set(xlabel=measure, ylabel="random cells")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    means = ", ".join(f"{name} {np.mean(values):.1f}" for name, values in {"random": random, **searched}.items())
    marks = (
        "Strokes below: each random cell; points above: each searched cell; upright strokes through them: their mean."
    )
    return describe(figure, f"{measure} of {len(random)} random cells and of searched ones; means: {means}", marks)


def _mark(axes: Axes, operations: Sequence[str], *, first: bool, last: bool) -> None:
    """Name the operations at the first panel of a row, and the epochs below the last row."""
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=3, min_n_ticks=1))
    axes.tick_params(length=2, labelsize=8, labelbottom=last)
    axes.set_yticks(np.arange(len(operations)) + 0.5, [operation_label(op) for op in operations] if first else [])
    axes.tick_params(axis="y", length=0, labelsize=7)
