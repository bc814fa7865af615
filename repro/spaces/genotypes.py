"""Genotypes: a cell as a value (DARTS Sect. 2.1, 2.4, Figures 4-6), written as JSON.

A convolutional cell is a list of edges, two for every intermediate node; the recurrent cell has one for every node.
An edge names an operation and the state it reads. This module also holds the published cells; it needs no torch.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import ReproError, UsageError, unknown
from repro.files import read_text
from repro.spaces import spelling
from repro.spaces.cell_space import CellSpace, Edge, is_int, shown

# The candidate operations of the convolutional search, in the order of alpha's columns (Sect. 3.1.1)
SEARCH_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
# What an evaluated cell may use: all but the zero operation, and two that only NASNet-A and AmoebaNet-A have
CELL_OPERATIONS = tuple(dict.fromkeys((*SEARCH_OPERATIONS[1:], "sep_conv_7x7", "conv_7x1_1x7")))
# The candidate activations of the recurrent search (Sect. 3.1.2)
RECURRENT_OPERATIONS = ("none", "tanh", "relu", "sigmoid", "identity")

EXPECTED = (
    'expected JSON such as {"normal": [["sep_conv_3x3", 0], ["skip_connect", 1]], "normal_concat": [2], '
    '"reduce": [["max_pool_3x3", 0], ["skip_connect", 1]], "reduce_concat": [2]}, or what DARTS prints, Genotype(...)'
)

CONVOLUTIONAL = CellSpace(SEARCH_OPERATIONS, inputs=2, keep=2, labels=("$c_{k-2}$", "$c_{k-1}$"))
RECURRENT = CellSpace(RECURRENT_OPERATIONS, inputs=1, keep=1)
CELL_SPACES = {"normal": CONVOLUTIONAL, "reduce": CONVOLUTIONAL, "recurrent": RECURRENT}  # by the name of a cell


@dataclass(frozen=True)
class ConvGenotype:
    """A pair of convolutional cells: edges 2i and 2i + 1 enter node i, whose number among the states is 2 + i.

    `normal_concat` and `reduce_concat` number the states whose channels are joined into the cell's output.
    Raises ReproError if either cell is not a valid one.
    """

    normal: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Edge, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for cell in ("normal", "reduce"):
            edges, concat = _freeze(self, cell, f"{cell}_concat")
            CELL_SPACES[cell].check(f"{cell} cell", edges, concat, CELL_OPERATIONS)


@dataclass(frozen=True)
class RecurrentGenotype:
    """A recurrent cell: edge i enters node i, whose number among the states is 1 + i; `concat` numbers those averaged.

    Raises ReproError if it is not a valid cell.
    """

    recurrent: tuple[Edge, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        edges, concat = _freeze(self, "recurrent", "concat")
        RECURRENT.check("recurrent cell", edges, concat, RECURRENT_OPERATIONS[1:])


Genotype = ConvGenotype | RecurrentGenotype


def to_json(genotype: Genotype) -> dict[str, Any]:
    """Return the genotype as JSON values: `{"normal": [["skip_connect", 0], ...], "normal_concat": [2, ...], ...}`."""
    fields = vars(genotype).items()
    return {name: [list(item) if isinstance(item, Edge) else item for item in value] for name, value in fields}


def from_json(values: Mapping[str, Any]) -> Genotype:
    """Return the genotype that `to_json` wrote, or that a reference file holds; ReproError if it is not a valid one."""
    if not isinstance(values, Mapping):
        raise ReproError(f"a genotype is a JSON object, not {shown(values)}")
    for kind in (ConvGenotype, RecurrentGenotype):
        names = kind.__dataclass_fields__
        if set(values) == set(names):
            return kind(**{name: values[name] for name in names})
    conv, recurrent = (", ".join(kind.__dataclass_fields__) for kind in (ConvGenotype, RecurrentGenotype))
    raise ReproError(f"a genotype with the keys {shown(list(values))}: expected {conv} or {recurrent}")


def of_kind(genotype: Genotype, kind: type[Genotype], name: Any) -> Genotype:
    """Return the genotype called `name`; UsageError unless it is one of that kind."""
    if isinstance(genotype, kind):
        return genotype
    words = ("convolutional", "recurrent")
    is_a, needed = words if kind is RecurrentGenotype else reversed(words)
    raise UsageError(f"genotype={name} is a {is_a} cell, and a {needed} one is needed")


def load(name: str | Path) -> Genotype:
    """Return a published cell by its name, or the one that a text spells, a file holds, or a run directory found.

    Text and file are JSON, as `to_json` returns it, or what DARTS prints, as `spelling` reads it.
    """
    if str(name) in PUBLISHED:
        return PUBLISHED[str(name)]
    if spelling.MARK in str(name) or str(name).startswith("{"):
        return _spelled("genotype", str(name))
    path = Path(name, "genotype.json") if os.path.isdir(name) else Path(name)
    if path.suffix != ".json" and not os.path.exists(path):  # names of any length and bytes
        raise unknown("genotype", str(name), [*PUBLISHED, "a file", "a text of a cell", "a run directory"], ReproError)
    try:
        return _spelled(path, read_text(path).removeprefix("\ufeff"))
    except (OSError, ValueError) as error:
        raise ReproError(f"cannot read the genotype file {path}: {error}; {EXPECTED}") from error


def _spelled(where: str | Path, text: str) -> Genotype:
    try:
        return from_json(spelling.read(text) if spelling.MARK in text else json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ReproError(f"cannot read the genotype file {where}: {error}; {EXPECTED}") from error
    except ReproError as error:
        raise ReproError(f"{where}: {error}; {EXPECTED}") from error


def _freeze(genotype: Genotype, edges_name: str, concat_name: str) -> tuple[tuple[Edge, ...], tuple[int, ...]]:
    """Turn the lists that JSON gives into tuples, so that a genotype is hashable."""
    edges, concat = getattr(genotype, edges_name), getattr(genotype, concat_name)
    for name, value in ((edges_name, edges), (concat_name, concat)):
        if not isinstance(value, Sequence | range) or isinstance(value, str):
            raise ReproError(f"genotype: {name} is {shown(value)}; expected a list")
    edges, concat = tuple(_edge(edges_name, edge) for edge in edges), tuple(concat)
    object.__setattr__(genotype, edges_name, edges)
    object.__setattr__(genotype, concat_name, concat)
    return edges, concat


def _edge(cell: str, value: Any) -> Edge:
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not (pair and isinstance(value[0], str) and is_int(value[1])):
        raise ReproError(f"genotype, {cell}: {shown(value)} is no edge; expected [operation, source]")
    return Edge(*value)


def _edges(text: str) -> tuple[Edge, ...]:
    pairs = (edge.split() for edge in text.split(","))
    return tuple(Edge(op, int(source)) for op, source in pairs)


# Cells of Figures 4 to 6 and of the baselines of Tables 1 to 3. The names V1 and V2 are the authors': V1 is the first
# release, V2 the rerun after a correction; neither stands for an order of approximation.
PUBLISHED: dict[str, Genotype] = {
    "DARTS_V1": ConvGenotype(
        normal=_edges(
            "sep_conv_3x3 1, sep_conv_3x3 0, skip_connect 0, sep_conv_3x3 1, "
            "skip_connect 0, sep_conv_3x3 1, sep_conv_3x3 0, skip_connect 2"
        ),
        normal_concat=(2, 3, 4, 5),
        reduce=_edges(
            "max_pool_3x3 0, max_pool_3x3 1, skip_connect 2, max_pool_3x3 0, "
            "max_pool_3x3 0, skip_connect 2, skip_connect 2, avg_pool_3x3 0"
        ),
        reduce_concat=(2, 3, 4, 5),
    ),
    "DARTS_V2": ConvGenotype(
        normal=_edges(
            "sep_conv_3x3 0, sep_conv_3x3 1, sep_conv_3x3 0, sep_conv_3x3 1, "
            "sep_conv_3x3 1, skip_connect 0, skip_connect 0, dil_conv_3x3 2"
        ),
        normal_concat=(2, 3, 4, 5),
        reduce=_edges(
            "max_pool_3x3 0, max_pool_3x3 1, skip_connect 2, max_pool_3x3 1, "
            "max_pool_3x3 0, skip_connect 2, skip_connect 2, max_pool_3x3 1"
        ),
        reduce_concat=(2, 3, 4, 5),
    ),
    "NASNET": ConvGenotype(  # NASNet-A, Zoph et al. 2018
        normal=_edges(
            "sep_conv_5x5 1, sep_conv_3x3 0, sep_conv_5x5 0, sep_conv_3x3 0, avg_pool_3x3 1, "
            "skip_connect 0, avg_pool_3x3 0, avg_pool_3x3 0, sep_conv_3x3 1, skip_connect 1"
        ),
        normal_concat=(2, 3, 4, 5, 6),
        reduce=_edges(
            "sep_conv_5x5 1, sep_conv_7x7 0, max_pool_3x3 1, sep_conv_7x7 0, avg_pool_3x3 1, "
            "sep_conv_5x5 0, skip_connect 3, avg_pool_3x3 2, sep_conv_3x3 2, max_pool_3x3 1"
        ),
        reduce_concat=(4, 5, 6),
    ),
    "AMOEBANET": ConvGenotype(  # AmoebaNet-A, Real et al. 2019
        normal=_edges(
            "avg_pool_3x3 0, max_pool_3x3 1, sep_conv_3x3 0, sep_conv_5x5 2, sep_conv_3x3 0, "
            "avg_pool_3x3 3, sep_conv_3x3 1, skip_connect 1, skip_connect 0, avg_pool_3x3 1"
        ),
        normal_concat=(4, 5, 6),
        reduce=_edges(
            "avg_pool_3x3 0, sep_conv_3x3 1, max_pool_3x3 0, sep_conv_7x7 2, sep_conv_7x7 0, "
            "avg_pool_3x3 1, max_pool_3x3 0, max_pool_3x3 1, conv_7x1_1x7 0, sep_conv_3x3 5"
        ),
        reduce_concat=(3, 4, 6),
    ),
    "DARTS_V1_RNN": RecurrentGenotype(
        recurrent=_edges("relu 0, relu 1, tanh 2, relu 3, relu 4, identity 1, relu 5, relu 1"),
        concat=tuple(range(1, 9)),
    ),
    "DARTS_V2_RNN": RecurrentGenotype(
        recurrent=_edges("sigmoid 0, relu 1, relu 1, identity 1, tanh 2, sigmoid 5, tanh 3, relu 5"),
        concat=tuple(range(1, 9)),
    ),
    "ENAS_RNN": RecurrentGenotype(  # Pham et al. 2018
        recurrent=_edges("tanh 0, tanh 1, relu 1, tanh 3, tanh 3, relu 3, relu 4, relu 7, relu 8, relu 8, relu 8"),
        concat=(2, 5, 6, 9, 10, 11),
    ),
}
