"""Cells by their performance (Wang et al., ICLR 2021): of each edge the operation without which the network is worst.

DARTS derives by the largest alpha; its authors leave deriving by performance with the shared weights as future work
(Sect. 5). An operation is removed by an alpha so low that all of its share goes to the others. What is decided stays so
while later decisions are made, and the weights are tuned to it in between.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from repro.spaces.cell_space import CellSpace

REMOVED = -100.0  # an alpha with a share of 0
Errors = tuple[float, float]  # error (percent), then loss, which tells apart what the error does not
Judge = Callable[[], Errors]  # of the network as its alphas are now


@contextmanager
def _restored(rows: Tensor) -> Iterator[None]:
    kept = rows.detach().clone()
    try:
        yield
    finally:
        rows.copy_(kept)


@torch.no_grad()
def choose_operation(alpha: Tensor, edge: int, judge: Judge, first: int = 0) -> list[Errors]:
    """Decide for one operation on a row of alpha (edges, operations): softmax(alpha) is 1 for it from then on.

    first: the first column that may be chosen; 1 where `none` is never derived. Return the errors without each of
    those.
    """
    row, errors = alpha[edge], []
    for column in range(first, len(row)):
        with _restored(row):
            row[column] = REMOVED
            errors.append(judge())
    _decide(row, first + errors.index(max(errors)))
    return errors


@torch.no_grad()
def choose_edges(alpha: Tensor, node: int, judge: Judge, space: CellSpace) -> list[Errors]:
    """Decide for the edges into a node that its cell retains: all others have `none`, the first operation, from now on.

    Return the errors without each edge.
    """
    rows, errors = alpha[space.rows(node)], []
    for row in rows:
        with _restored(row):
            _decide(row, 0)
            errors.append(judge())
    for index in sorted(range(len(rows)), key=errors.__getitem__)[: -space.keep]:
        _decide(rows[index], 0)
    return errors


def order(sizes: Sequence[int], seed: int) -> list[tuple[int, int]]:
    """Return all edges of several alphas of so many rows, as (alpha, row), in a random order."""
    edges = [(which, row) for which, size in enumerate(sizes) for row in range(size)]
    places = torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed)).tolist()
    return [edges[place] for place in places]


def _decide(row: Tensor, column: int) -> None:
    row.fill_(REMOVED)
    row[column] = 0.0
