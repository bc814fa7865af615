"""Cells and networks as graphs (DARTS Figures 4 to 6, Sect. 3.1.1): a genotype becomes DOT, and DOT becomes a picture.

The same genotype always gives the same DOT. `dot` draws it if there is one, else pygraphviz, which brings Graphviz
along; where neither can, the DOT text itself is kept.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from graphviz import Digraph

from repro.report import style
from repro.report.style import FONT, INK
from repro.runs.run import Run
from repro.spaces.cell_space import reductions
from repro.spaces.genotypes import CELL_SPACES, ConvGenotype, Edge, Genotype

FAINT = "#9a9a9a"
INPUT, NODE, OUTPUT, REDUCTION = "#d5e8d4", "#dae8fc", "#ffe6cc", "#f8cecc"
# Fill of a single-path layer, by what its choice has in its name
FILLS = {
    **dict.fromkeys(("3x3", "1W"), "#dae8fc"),
    **dict.fromkeys(("5x5", "2W"), "#b3cde8"),
    **dict.fromkeys(("7x7", "3W"), "#e1d5e7"),
    **dict.fromkeys(("xception", "4W"), "#fff2cc"),
}
PATH = "Green: stem; orange: head; a layer's fill: its kernel, or the bits of its weights. Arrows: what reads what."
# Family of an operation -> (colour, line): told apart in grey by the line
FAMILIES = {
    "sep_conv": ("#1b5e9c", "solid"),
    "dil_conv": ("#00695c", "solid"),
    "conv": ("#1b5e9c", "solid"),
    "max_pool": ("#a84300", "dashed"),
    "avg_pool": ("#a84300", "dashed"),
    "skip_connect": ("#555555", "dotted"),
    "relu": ("#1b5e9c", "solid"),
    "tanh": ("#a84300", "dashed"),
    "sigmoid": ("#00695c", "dashed"),
    "identity": ("#555555", "dotted"),
}

# What is said below the drawing of a cell: recurrent, convolutional
EDGES = (
    "Solid: relu; dashed: tanh and sigmoid; dotted: identity; thin grey: what the cell's output is the mean of.",
    "Solid: convolutions; dashed: poolings; dotted: skip connections; thin grey: what the cell's output joins.",
)


def operation_label(op: str) -> str:
    """Return an operation's name for people: "sep conv 3×3"."""
    if op in ("skip_connect", "none"):
        return {"skip_connect": "skip", "none": "zero"}[op]
    words = [word.replace("x", "×") if word[0].isdigit() else word for word in op.split("_")]
    return " ".join(words).replace("7×1 1×7", "7×1, 1×7")


def look(op: str) -> tuple[str, str]:
    """Return colour and line of an operation's edge."""
    return FAMILIES[next(family for family in FAMILIES if op.startswith(family))]


def cell_graphs(genotype: Genotype) -> dict[str, str]:
    """Return each cell of `genotype` as DOT: `normal` and `reduce`, or `recurrent`."""
    if isinstance(genotype, ConvGenotype):
        cells = {"normal": genotype.normal_concat, "reduce": genotype.reduce_concat}
    else:
        cells = {"recurrent": genotype.concat}
    return {name: _cell(name, getattr(genotype, name), concat) for name, concat in cells.items()}


def network_graph(cells: int, channels: int, size: int, auxiliary: bool = False) -> str:
    """Return the stack of `cells` cells as DOT; `channels` and `size` (pixels) are those of the first cell.

    Reductions stand at one and two thirds: they halve the size and double the channels.
    """
    graph = _graph("network", nodesep="0.12", ranksep="0.22")
    graph.node("stem", "conv 3×3", fillcolor=INPUT)
    states = ["stem", "stem"]
    for index in range(cells):
        reduction = index in reductions(cells)
        if reduction:
            channels, size = 2 * channels, -(-size // 2)
        name = f"cell{index}"
        label = f"{index + 1}\\n{'reduction' if reduction else 'normal'}\\n{channels} ch\\n{size}×{size}"
        graph.node(
            name, label, fillcolor=REDUCTION if reduction else NODE, penwidth="2" if reduction else "1", width="0.8"
        )
        for source in dict.fromkeys(states):
            graph.edge(source, name, color=INK if source == states[1] else FAINT)
        states = [states[1], name]
    graph.node("head", "average pool\\nlinear\\nsoftmax", fillcolor=OUTPUT)
    graph.edge(states[1], "head")
    if auxiliary:
        graph.node("auxiliary", "auxiliary\\nhead", fillcolor=OUTPUT, style="rounded,filled,dashed")
        graph.edge(f"cell{reductions(cells)[1]}", "auxiliary", style="dashed")
    return graph.source


def path_graph(choices: Mapping[str, Sequence[str]], sizes: Sequence[int]) -> str:
    """Return a single-path network as DOT, a row of layers for each stage (SPOS Sect. 4).

    choices: kind of choice -> its name in each layer; sizes: pixels of each layer's square input and, last, the head's.
    """
    graph = _graph("network", rankdir="TB", nodesep="0.15", ranksep="0.3")
    rows: list[list[tuple[str, str, str]]] = [[("stem", f"stem\\n{sizes[0]}×{sizes[0]}", INPUT)]]
    for layer, names in enumerate(zip(*choices.values(), strict=True)):
        inp, out = sizes[layer : layer + 2]
        fill = next((colour for part, colour in FILLS.items() if part in names[0]), "#f5f5f5")
        lines = [operation_label(name) for name in names]
        if inp != out:
            rows.append([])
            lines.append(f"{out}×{out}")
        rows[-1].append((f"layer{layer}", "\\n".join(lines), fill))
    rows[-1].append(("head", "average pool\\nlinear", OUTPUT))
    for row in rows:
        with graph.subgraph(graph_attr={"rank": "same"}) as same:
            for name, label, fill in row:
                same.node(name, label, fillcolor=fill, width="1")
    names = [[name for name, *_ in row] for row in rows]
    for row in names:
        graph.edges(pairwise(row))
    for row, following in pairwise(names):
        graph.edge(row[0], following[0], style="invis")
        graph.edge(row[-1], following[0], constraint="false", color=FAINT)
    return graph.source


def save_path(result: Mapping[str, Any], stem: Path, run: Run | None) -> None:
    """Draw the single-path network of a result, its `choices` and `sizes`, as `style.save_graph` does."""
    graph = path_graph(result["choices"], result["sizes"])
    style.save_graph(graph, stem, run, alt="Graph of the layers", marks=PATH)


def save_cells(genotype: Genotype, stem: Path, run: Run | None, formats: Sequence[str] = ("svg",)) -> None:
    """Draw every cell of `genotype` into `stem`-<cell>.svg (or pdf, png); show it in a notebook, or say why not.

    run: as in `style.save`.
    """
    for cell, source in cell_graphs(genotype).items():
        style.show({"text/markdown": f"{cell} cell"})
        place = stem.with_name(f"{stem.name}-{cell}")
        style.save_graph(
            source, place, run, formats, described(genotype, cell), EDGES[isinstance(genotype, ConvGenotype)]
        )


def described(genotype: Genotype, cell: str) -> str:
    """Return in words what the drawing of a cell shows, for readers who cannot see it."""
    convolutional = isinstance(genotype, ConvGenotype)
    inputs, count = ("c(k-2)", "c(k-1)") if convolutional else (), CELL_SPACES[cell].keep
    names = [*inputs, *map(str, range(len(getattr(genotype, cell)) + 1))]
    words = [f"{operation_label(op)} of {names[source]}" for op, source in getattr(genotype, cell)]
    nodes = [" and ".join(words[first : first + count]) for first in range(0, len(words), count)]
    numbered = [f"node {number}: {node}" for number, node in enumerate(nodes, start=0 if convolutional else 1)]
    return f"Graph of the {cell} cell; {'; '.join(numbered)}"


def _graph(name: str, **attributes: str) -> Digraph:
    font = {"fontname": FONT, "fontcolor": INK}
    return Digraph(
        name,
        graph_attr={"rankdir": "LR", "bgcolor": "white", "pad": "0.1", **attributes},
        node_attr={
            **font, "fontsize": "13", "shape": "box", "style": "rounded,filled", "color": INK, "height": "0.35",
            "width": "0.4", "margin": "0.09,0.05",
        },
        edge_attr={**font, "fontsize": "12", "color": INK, "arrowsize": "0.7"},
    )  # fmt: skip


def _indexed(letter: str, index: str) -> str:
    """Return a label with an index: small, since Graphviz lowers it differently on every machine."""
    return f'<{letter}<FONT POINT-SIZE="9"> {index}</FONT>>'


def _cell(name: str, edges: Sequence[Edge], concat: Sequence[int]) -> str:
    """Return one cell: inputs, nodes, operations, and thin edges of the states that its output joins or is the mean of.

    Convolutional: states 0 and 1 are the two cells before, and node i, state 2 + i, is labelled i, as in the paper's
    figures. Recurrent: state 0 mixes the word and the hidden state, and node i is state 1 + i.
    """
    space, recurrent = CELL_SPACES[name], name == "recurrent"
    graph = _graph(name, nodesep="0.25", ranksep="0.4") if recurrent else _graph(name, nodesep="0.3", ranksep="0.35")
    inputs = {"x": ("x", "t"), "h": ("h", "t−1")} if recurrent else {"0": ("c", "k−2"), "1": ("c", "k−1")}
    with graph.subgraph(graph_attr={"rank": "same"}) as same:  # the first above the second
        for state, label in inputs.items():
            same.node(state, _indexed(*label), fillcolor=INPUT)
        same.edge(*inputs, style="invis")
    if recurrent:
        graph.edges(["x0", "h0"])
    first = 0 if recurrent else space.inputs
    for place in range(len(edges) // space.keep + recurrent):
        graph.node(str(first + place), str(place), fillcolor=NODE, shape="circle", margin="0.02")
    for place, (op, source) in enumerate(edges):
        (colour, line), target = look(op), str(space.inputs + place // space.keep)
        text = {"label": f" {operation_label(op)} ", "fontcolor": colour}
        graph.edge(str(source), target, color=colour, **text, style=line, penwidth="1.6")
    graph.node("output", _indexed("h", "t") if recurrent else _indexed("c", "k"), fillcolor=OUTPUT, penwidth="2")
    for state in concat:
        graph.edge(str(state), "output", color=FAINT, arrowsize="0.5")
    return graph.source
