"""Discrete cells: derived from alpha (edges, operations) (DARTS Sect. 2.4), or drawn at random (Sect. 3.2).

The strength of an edge is the largest softmax(alpha) of its operations other than `none`. Each node of a
convolutional cell keeps its two strongest incoming edges, each node of a recurrent cell its strongest one.

Equals `darts.plain.derive`; held by `test_discretise.py::test_the_convolutional_cells_are_the_plain_ones`.
"""

import random

import torch
from torch import Tensor

from repro.errors import Diverged
from repro.spaces.cell_space import CellSpace
from repro.spaces.genotypes import CONVOLUTIONAL, RECURRENT, ConvGenotype, Edge, RecurrentGenotype


def conv_genotype(normal: Tensor, reduce: Tensor) -> ConvGenotype:
    """Return the cells that alphas (edges, 8) stand for; node i keeps 2 of its 2 + i edges, the stronger one first."""
    cells = [_strongest(alphas, CONVOLUTIONAL) for alphas in (normal, reduce)]
    return ConvGenotype(cells[0], _nodes(cells[0], CONVOLUTIONAL), cells[1], _nodes(cells[1], CONVOLUTIONAL))


def discrete_alphas(alphas: Tensor, space: CellSpace = CONVOLUTIONAL) -> Tensor:
    """Return alphas of the same shape whose softmax is the derived cell: 1 for the operation of each retained edge.

    On all other edges it is 1 for `none`.
    """
    found = torch.full_like(alphas, -torch.inf)
    found[:, 0] = 0.0
    for place, edge in enumerate(_strongest(alphas, space)):
        row = found[space.rows(place // space.keep).start + edge.source]
        row[0], row[space.operations.index(edge.op)] = -torch.inf, 0.0
    return found


def recurrent_genotype(alphas: Tensor) -> RecurrentGenotype:
    """Return the cell that alphas (edges, 5) stand for; node i keeps 1 of its 1 + i edges."""
    edges = _strongest(alphas, RECURRENT)
    return RecurrentGenotype(edges, _nodes(edges, RECURRENT))


def random_conv_genotype(dice: random.Random, nodes: int) -> ConvGenotype:
    """Draw two cells: for every node two different states before it, and for each edge an operation, all uniformly.

    `none` is not among the operations, as in derived cells.
    """
    cells, space = [], CONVOLUTIONAL
    for _ in ("normal", "reduce"):
        sources = [source for node in range(nodes) for source in dice.sample(range(space.inputs + node), space.keep)]
        cells.append(tuple(Edge(dice.choice(space.operations[1:]), source) for source in sources))
    return ConvGenotype(cells[0], _nodes(cells[0], space), cells[1], _nodes(cells[1], space))


def random_recurrent_genotype(generator: torch.Generator, nodes: int) -> RecurrentGenotype:
    """Draw a cell: for every node one of the states before it and one activation, all uniformly."""
    names, edges = RECURRENT.operations[1:], []
    for i in range(nodes):
        op, source = (int(torch.randint(count, (), generator=generator)) for count in (len(names), i + 1))
        edges.append(Edge(names[op], source))
    return RecurrentGenotype(tuple(edges), _nodes(edges, RECURRENT))


def _nodes(edges: tuple[Edge, ...], space: CellSpace) -> tuple[int, ...]:
    """Return the states that a cell puts out: all its nodes."""
    return tuple(range(space.inputs, space.inputs + len(edges) // space.keep))


def _strongest(alphas: Tensor, space: CellSpace) -> tuple[Edge, ...]:
    nodes = space.nodes(*alphas.shape)
    if not torch.isfinite(alphas).all():
        raise Diverged("alphas hold a value that is not finite: the search has diverged; lower its learning rates")
    probabilities = alphas.detach().double().softmax(dim=1)[:, 1:]  # without `none`, the first operation
    strengths, columns = (values.tolist() for values in probabilities.max(dim=1))
    edges: list[Edge] = []
    for node in range(nodes):
        rows = range(len(alphas))[space.rows(node)]
        ranked = sorted(rows, key=lambda row: -strengths[row])  # stable: of equals, the first
        edges += [Edge(space.operations[1 + columns[row]], row - rows.start) for row in ranked[: space.keep]]
    return tuple(edges)
