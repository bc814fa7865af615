"""From the mixture to a cell (DARTS Sect. 2.4): alphas (edges, operations) -> genotype.

The strength of an edge is the largest softmax(alpha) of its operations other than `none`. Each node of a
convolutional cell keeps its two strongest incoming edges, each node of a recurrent cell its strongest one. Rows of
alpha are ordered by node, then by source.

Equals `darts.plain.derive`; held by `test_discretise.py::test_the_convolutional_cells_are_the_plain_ones`.
"""

import torch
from torch import Tensor

from repro.errors import Diverged, ReproError
from repro.spaces.genotypes import (
    EDGES_PER_NODE,
    INPUTS,
    RECURRENT_OPERATIONS,
    SEARCH_OPERATIONS,
    ConvGenotype,
    Edge,
    RecurrentGenotype,
)


def conv_genotype(normal: Tensor, reduce: Tensor) -> ConvGenotype:
    """Return the cells that alphas (edges, 8) stand for; node i keeps 2 of its 2 + i edges, the stronger one first."""
    cells = [_strongest(alphas, SEARCH_OPERATIONS, INPUTS, EDGES_PER_NODE) for alphas in (normal, reduce)]
    concats = [tuple(range(INPUTS, INPUTS + len(edges) // EDGES_PER_NODE)) for edges in cells]
    return ConvGenotype(cells[0], concats[0], cells[1], concats[1])


def recurrent_genotype(alphas: Tensor) -> RecurrentGenotype:
    """Return the cell that alphas (edges, 5) stand for; node i keeps 1 of its 1 + i edges."""
    edges = _strongest(alphas, RECURRENT_OPERATIONS, inputs=1, keep=1)
    return RecurrentGenotype(edges, tuple(range(1, 1 + len(edges))))


def _strongest(alphas: Tensor, operations: tuple[str, ...], inputs: int, keep: int) -> tuple[Edge, ...]:
    _check(alphas, operations, inputs)
    strengths = alphas.detach().double().softmax(dim=1)[:, 1:]  # without `none`, the first operation
    best, column = (values.tolist() for values in strengths.max(dim=1))
    edges: list[Edge] = []
    first, sources = 0, inputs
    while first < len(best):
        ranked = sorted(range(sources), key=lambda source: -best[first + source])  # stable: of equals, the first
        edges += [Edge(operations[1 + column[first + source]], source) for source in ranked[:keep]]
        first, sources = first + sources, sources + 1
    return tuple(edges)


def _check(alphas: Tensor, operations: tuple[str, ...], inputs: int) -> None:
    rows, columns = alphas.shape
    complete, sources = 0, inputs
    while complete < rows:
        complete, sources = complete + sources, sources + 1
    if columns != len(operations) or complete != rows or not rows:
        raise ReproError(
            f"alphas of shape ({rows}, {columns}): "
            f"expected {inputs} + {inputs + 1} + ... rows and {len(operations)} columns"
        )
    if not torch.isfinite(alphas).all():
        raise Diverged("alphas hold a value that is not finite: the search has diverged; lower its learning rates")
