"""Tabular benchmarks: the true accuracy of every network of a space, to judge a ranking by (SPOS Sect. 4, correlation).

NAS-Bench-Macro (Su et al., CVPR 2021): 8 layers, each identity, MobileNetV2 block 3x3 with expansion 3, or 5x5 with 6;
6,561 single-path networks on CIFAR-10 (`repro.spos.macro` builds them). NAS-Bench-201 (Dong and Yang, ICLR 2020):
15,625 cells of 6 edges with 5 operations, on three data sets.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

from repro.errors import ReproError, unknown
from repro.files import read_text, sha256
from repro.presence import MACRO, TABLE_201, require_table
from repro.spaces.path_spaces import MACRO_BLOCKS
from repro.spaces.space import Cost, Gene, Space

MACRO_SPACE = Space(8, {"block": tuple(MACRO_BLOCKS)})
OPERATIONS_201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES_201 = 4  # of a cell; the first is its input
EDGES_201 = tuple((node, source) for node in range(NODES_201) for source in range(node))
SPACE_201 = Space(len(EDGES_201), {"operation": OPERATIONS_201})
COLUMNS_201 = {
    "cifar10": "CIFAR10TestAccuracy200Epochs",
    "cifar100": "CIFAR100TestAccuracy200Epochs",
    "imagenet16": "ImageNetTestAccuracy200Epochs",
}
NEAR = 0.02  # two costs count as equal if the higher one exceeds the lower one by at most this fraction


class Row(NamedTuple):
    """One network: its test accuracies in percent, one a training run, and its size where the table gives it."""

    accuracies: tuple[float, ...]
    parameters: int | None = None
    mult_adds: int | None = None


@dataclass(frozen=True)
class Table:
    """Every network of `space` with what training it gave."""

    name: str
    space: Space
    rows: dict[Gene, Row]
    checksums: Mapping[str, str] = field(default_factory=dict)  # of its file, by its place in the data folder

    def accuracy(self, gene: Sequence[int]) -> float:
        """Return the mean test accuracy of a network in percent: stand-in for an evaluation in a search."""
        accuracies = self.rows[self.space.check(gene)].accuracies
        return sum(accuracies) / len(accuracies)


def equal_cost(space: Space, cost: Cost, gene: Gene, count: int, seed: int) -> list[Gene]:
    """Return `count` other networks of the space, drawn at random, whose cost is within 2 % of a network's."""
    wanted = cost(gene)
    near = [other for other in space.genes() if abs(cost(other) - wanted) <= NEAR * wanted and other != gene]
    chosen = np.random.default_rng(seed).permutation(len(near))[:count]
    return [near[index] for index in chosen]


def nas_bench_macro(folder: Path) -> Table:
    """Read `nas-bench-macro/nas-bench-macro_cifar10.json` of a data folder; ReproError if rows are missing."""
    path = folder / MACRO
    return _table("NAS-Bench-Macro", MACRO_SPACE, path, _macro_rows)


def nas_bench_201(folder: Path, data: str = "cifar10") -> Table:
    """Read `nas-bench-201/nats_bench.csv` of a data folder, accuracies on `data`; ReproError if rows are missing."""
    if data not in COLUMNS_201:
        raise unknown("NAS-Bench-201 data set", data, COLUMNS_201)
    return _table("NAS-Bench-201", SPACE_201, folder / TABLE_201, lambda text: _rows_201(text, COLUMNS_201[data]))


def cell_201(gene: Sequence[int]) -> str:
    """Return a cell as the benchmark writes it: |OPERATION~SOURCE|+|..|..|+|..|..|..|, a node between two +."""
    names = [OPERATIONS_201[choice] for choice in SPACE_201.check(gene)]
    edges = [[f"{name}~{s}" for name, (n, s) in zip(names, EDGES_201, strict=True) if n == node] for node in (1, 2, 3)]
    return "+".join(f"|{'|'.join(into)}|" for into in edges)


def gene_201(cell: str) -> Gene:
    """Return the gene of a cell as the benchmark writes it; ReproError for another text, or other edges."""
    pairs = re.findall(r"(\w+)~(\d)", cell)
    gene = tuple(OPERATIONS_201.index(name) if name in OPERATIONS_201 else -1 for name, _ in pairs)
    if len(gene) != len(EDGES_201) or -1 in gene or cell_201(gene) != cell:
        raise ReproError(
            f"{cell!r} is no cell of NAS-Bench-201: write |OPERATION~0|+|OPERATION~0|OPERATION~1|+|...~0|...~1|...~2| "
            f"with operations of {', '.join(OPERATIONS_201)}"
        )
    return gene


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Kendall's tau of two rankings of the same networks; None where a ranking is all ties."""
    tau = float(kendalltau(one, other).statistic)
    return tau if tau == tau else None


def kendall_tau_equal_cost(one: Sequence[float], other: Sequence[float], costs: Sequence[float]) -> float | None:
    """Return Kendall's tau (tau-b) over the pairs of networks whose costs differ by at most 2 % of the lower one.

    None where there is no such pair, or a ranking is all ties among them.
    """
    first, second = np.triu_indices(len(costs), 1)
    x, y, cost = (np.asarray(values, dtype=float) for values in (one, other, costs))
    near = np.maximum(cost[first], cost[second]) <= (1 + NEAR) * np.minimum(cost[first], cost[second])
    signs = [np.sign(values[first] - values[second])[near] for values in (x, y)]
    untied = np.prod([float(np.count_nonzero(sign)) for sign in signs])
    return float((signs[0] * signs[1]).sum() / untied**0.5) if untied else None


def _table(name: str, space: Space, path: Path, read: Callable[[str], Iterable[tuple[Gene, Row]]]) -> Table:
    require_table(name, path)
    try:
        found = [*read(read_text(path))]
        rows = dict(found)
        if len(rows) < len(found):
            raise ReproError(f"{len(found):,} rows hold {len(rows):,} networks: some stand there twice")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ReproError) as error:
        raise ReproError(
            f"{path} is not the table of {name} ({type(error).__name__}: {error}): fetch it again"
        ) from error
    if missing := next((gene for gene in space.genes() if gene not in rows), None):
        what = ", ".join(next(iter(space.names(missing).values())))
        raise ReproError(
            f"{path} has {len(rows):,} of {space.count:,} networks, and not {list(missing)} ({what}): fetch it again"
        )
    return Table(name, space, rows, {f"{path.parent.name}/{path.name}": sha256(path)})


def _macro_rows(text: str) -> Iterator[tuple[Gene, Row]]:
    for key, row in json.loads(text).items():
        gene = MACRO_SPACE.check([int(choice) for choice in key])
        yield gene, Row(tuple(map(float, row["test_acc"])), int(row["params"]), int(row["flops"]))


def _rows_201(text: str, column: str) -> Iterator[tuple[Gene, Row]]:
    rows = csv.DictReader(text.splitlines())
    if lacking := {column, "ArchitectureString"} - {*(rows.fieldnames or ())}:
        raise ReproError(f"it has no column {', '.join(sorted(lacking))}")
    for row in rows:
        if not row[column]:
            raise ReproError(f"{row['ArchitectureString']} has no {column}")
        yield gene_201(row["ArchitectureString"]), Row((float(row[column]),))
