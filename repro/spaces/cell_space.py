"""A space of cells as a record (DARTS Sect. 2.1, 2.4): operations, edges and their order, derivation, labels.

Networks, derivation, metrics and figures ask the record. It also says which cells of a network reduce.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from repro.errors import ReproError


class Edge(NamedTuple):
    """One operation and the state it reads: the cell's inputs come first, then the nodes, in one count from 0."""

    op: str
    source: int


@dataclass(frozen=True)
class CellSpace:
    """Cells whose every node reads all states before it; an edge is a row of alpha, by node, then by source state."""

    operations: tuple[str, ...]  # columns of alpha; the first is the zero operation, which no derived edge has
    inputs: int  # states that a cell begins with
    keep: int  # edges into a node that the derived cell retains
    labels: tuple[str, ...] = ()  # of the inputs in figures; the states after those that have one count from 0

    def edges(self, nodes: int) -> list[tuple[int, int]]:
        """Return for every row of alpha the node (from 0) and the state that it reads (the inputs come first)."""
        return [(node, source) for node in range(nodes) for source in range(self.inputs + node)]

    def rows(self, node: int) -> slice:
        """Return the rows of alpha that are edges into `node`."""
        start = node * self.inputs + node * (node - 1) // 2
        return slice(start, start + self.inputs + node)

    def by_source(self, nodes: int) -> list[list[int]]:
        """Return for every state that is read the rows of alpha that are edges from it."""
        edges = self.edges(nodes)
        return [[row for row, edge in enumerate(edges) if edge[1] == state] for state in range(self.inputs + nodes - 1)]

    def nodes(self, rows: int, columns: int) -> int:
        """Return the nodes of a cell with alpha of this shape; ReproError if none has it."""
        nodes = next(nodes for nodes in range(1, rows + 2) if self.rows(nodes).start >= rows)
        if self.rows(nodes).start != rows or columns != len(self.operations):
            raise ReproError(
                f"alphas of shape ({rows}, {columns}): "
                f"expected {self.inputs} + {self.inputs + 1} + ... rows and {len(self.operations)} columns"
            )
        return nodes

    def edge_labels(self, nodes: int) -> list[str]:
        """Return what figures call each row of alpha: "source → node"."""
        names = [*self.labels, *map(str, range(self.inputs + nodes))]
        return [f"{names[source]} → {names[self.inputs + node]}" for node, source in self.edges(nodes)]

    def check(self, cell: str, edges: tuple[Edge, ...], concat: tuple[int, ...], operations: tuple[str, ...]) -> None:
        """ReproError unless these edges, by these operations, are a `cell` whose output joins the nodes `concat`."""
        nodes, rest = divmod(len(edges), self.keep)
        if rest or not nodes:
            raise ReproError(
                f"{cell} with {len(edges)} edges: too few, expected {self.keep} for each node, at least 1 node"
            )
        for position, (op, source) in enumerate(edges):
            state = self.inputs + position // self.keep
            where = f"{cell}, edge {position} into state {state}"
            if op not in operations:
                raise ReproError(f"{where}: unknown operation {op!r}; expected one of {', '.join(operations)}")
            if not 0 <= source < state:
                raise ReproError(
                    f"{where}: reads state {source}, a forward edge; expected a source from 0 to {state - 1}"
                )
        last = self.inputs + nodes - 1
        for state in concat:
            if not (is_int(state) and self.inputs <= state <= last):
                raise ReproError(f"{cell}: concat holds {shown(state)}; expected nodes from {self.inputs} to {last}")
        if not concat or len(set(concat)) < len(concat):
            raise ReproError(f"{cell}: concat is {list(concat)}; expected at least one node, each of them once")


def is_int(value: Any) -> bool:
    """Whether a value of JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return a value as it stands in a message: one line, of bounded length."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def reductions(cells: int) -> tuple[int, int]:
    """Return which of a network's cells reduce: those at 1/3 and 2/3 of the depth (Sect. 3.1.1)."""
    return cells // 3, 2 * cells // 3
