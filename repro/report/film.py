"""The most likely cell of a search, epoch by epoch, as a GIF (DARTS Sect. 2.4).

The states stand in a row and do not move, so that only what changes moves: an edge that is new in its epoch is bold.
"""

import html
import io
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path as File
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from PIL import Image

from repro.files import make_folder, write_bytes
from repro.report import style
from repro.report.graphs import FAMILIES, INPUT, NODE, OUTPUT, look, operation_label
from repro.report.style import FAINT, INK, styled
from repro.runs.run import Run
from repro.spaces.cell_space import CellSpace
from repro.spaces.genotypes import CELL_SPACES, ConvGenotype, Edge, Genotype, from_json

SECONDS, LAST_SECONDS = 0.4, 4.0  # that a frame stays, and the last one
DPI = 90


def save(genotypes: Sequence[dict[str, Any]], path: File, run: Run) -> None:
    """Write the film of the cells of successive epochs (as JSON values) as a GIF, and show it in a notebook.

    run: as in `style.save`.
    """
    cells = [from_json(genotype) for genotype in genotypes]
    steps = list(pairwise([cells[0], *cells]))
    frames = [_pixels(_frame(cell, before, epoch, run)) for epoch, (before, cell) in enumerate(steps, start=1)]
    frames = [frame.quantize(palette=_palette(), dither=Image.Dither.NONE) for frame in frames]
    durations = [int(1000 * SECONDS)] * (len(frames) - 1) + [int(1000 * LAST_SECONDS)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)
    write_bytes(make_folder(path.parent) / path.name, buffer.getvalue())
    changes = sum(before != cell for before, cell in steps)
    alt = f"Film of the most likely cell over {len(cells)} epochs; it changes in {changes} of them"
    alt = html.escape(style.marked_words(alt, run))
    data = b64encode(buffer.getvalue()).decode()
    style.show({"text/html": f'<img src="data:image/gif;base64,{data}" alt="{alt}">', "text/plain": alt})


def _pixels(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    with style.defaults():
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _palette() -> Image.Image:
    """Return the colours of a frame, each also thinned by white, as the edges of letters are."""
    strong = (INK, FAINT, *dict.fromkeys(colour for colour, _ in FAMILIES.values()))
    shades = [(share, to_rgb(colour)) for colour in strong for share in (1, 0.7, 0.4)]
    shades += [(1, to_rgb(colour)) for colour in (INPUT, NODE, OUTPUT)]
    mixed = [round(255 * (1 - share * (1 - part))) for share, colour in shades for part in colour]
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *mixed])
    return palette


@styled
def _frame(cell: Genotype, before: Genotype, epoch: int, run: Run | None) -> Figure:
    """Draw the cell after `epoch` epochs of `run`; `before` is that of the epoch before."""
    names = ("normal", "reduce") if isinstance(cell, ConvGenotype) else ("recurrent",)
    figure = Figure(figsize=(8, 2.8 * len(names) + 0.3), dpi=DPI, layout="none")
    figure.subplots_adjust(0.01, 0.01 + style.mark_figure(figure, run), 0.99, 0.93, hspace=0.1)
    for axes, name in zip(figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
        _row(axes, getattr(cell, name), getattr(before, name), CELL_SPACES[name])
        axes.set_title(f"{name} cell", fontsize=11, loc="left", y=0.9)
    figure.suptitle(f"after epoch {epoch}", fontsize=12)
    return figure


def _row(axes: Axes, edges: Sequence[Edge], before: Sequence[Edge], space: CellSpace) -> None:
    """Draw the states in a row and each edge as an arc: the first of a node above, the second below."""
    inputs, per_node = space.inputs, space.keep
    nodes = len(edges) // per_node
    states = map(str, range(inputs - len(space.labels) + nodes))
    names = [*space.labels, *states, "$c_k$" if space.labels else "$h_t$"]
    for place, edge in enumerate(edges):
        node = place // per_node
        new = edge not in before[node * per_node : (node + 1) * per_node]
        _arc(axes, edge, inputs + node, below=place % per_node == 1, new=new)
    last = len(names) - 1
    fills = [INPUT] * inputs + [NODE] * nodes + [OUTPUT]
    axes.plot([inputs, last], [0, 0], color=FAINT, linewidth=1, zorder=1)  # every node goes into the output
    axes.scatter(range(last + 1), [0] * (last + 1), s=520, c=fills, edgecolors=INK, linewidths=1, zorder=4)
    for place, name in enumerate(names):
        axes.text(place, 0, name, ha="center", va="center", fontsize=9, zorder=5)
    top = _height(last - 1) + 0.2
    axes.set(xlim=(-0.4, last + 0.4), ylim=(-top if inputs > 1 else -0.4, top))
    axes.set_axis_off()


def _height(states: int) -> float:
    """Return the height of an arc over so many states."""
    return 0.35 + 0.3 * states


def _arc(axes: Axes, edge: Edge, target: int, *, below: bool, new: bool) -> None:
    """Draw one edge as a parabola, with its operation at the top."""
    colour, line = look(edge.op)
    middle, height = (edge.source + target) / 2, _height(target - edge.source) * (-1 if below else 1)
    curve = Path([(edge.source, 0), (middle, 2 * height), (target, 0)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    width = 3 if new else 1.5
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linestyle=line, linewidth=width, zorder=2))
    axes.text(
        middle, height, operation_label(edge.op), ha="center", va="center", fontsize=8.5, color=colour, zorder=3,
        fontweight="bold" if new else "normal", bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
    )  # fmt: skip
