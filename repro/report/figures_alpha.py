"""How alpha moves in a search (DARTS Sect. 2.2, 2.4): softmax(alpha) of every edge, at the end and over the epochs."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.report.cells import operation_label
from repro.report.figures import INK, styled
from repro.spaces.genotypes import CELL_SPACES

Shares = Sequence[Sequence[float]]  # (edges, operations), rows by node, then by source


@styled
def alpha_heatmap(shares: Mapping[str, Shares]) -> Figure:
    """softmax(alpha) of every edge (rows) and operation (columns), one panel a cell; a dot marks an edge's strongest.

    shares: cell -> (edges, operations), as the search logs it; `none` cannot be an edge's strongest (Sect. 2.4).
    """
    rows = max(len(values) for values in shares.values())
    figure = Figure(figsize=(0.8 + 3.9 * len(shares), 1.6 + 0.3 * rows))
    panels = figure.subplots(1, len(shares), squeeze=False)[0]
    top = max(np.max(values) for values in shares.values())
    for axes, (cell, values) in zip(panels, shares.items(), strict=True):
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
    figure.set_label(f"Heat map of softmax(alpha) for every edge and operation: {', '.join(shares)} cell")
    return figure


@styled
def alpha_history(history: Sequence[Shares], cell: str) -> Figure:
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
    panels[-1, columns // 2].set_xlabel("epochs of the search", fontsize=10)
    figure.set_label(
        f"Heat maps over {epochs} epochs, one for each of the {count} edges of the {cell} cell: "
        "softmax(alpha) of every operation; dots follow the strongest"
    )
    return figure


def _mark(axes: Axes, operations: Sequence[str], *, first: bool, last: bool) -> None:
    """Name the operations at the first panel of a row, and the epochs below the last row."""
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=3, min_n_ticks=1))
    axes.tick_params(length=2, labelsize=8, labelbottom=last)
    axes.set_yticks(np.arange(len(operations)) + 0.5, [operation_label(op) for op in operations] if first else [])
    axes.tick_params(axis="y", length=0, labelsize=7)
