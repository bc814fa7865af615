"""Tabular benchmarks: the true accuracy of every network of a space, to judge a ranking by (SPOS Sect. 4, correlation).

NAS-Bench-Macro (Su et al., CVPR 2021): 8 layers, each identity, MobileNetV2 block 3x3 with expansion 3, or 5x5 with 6;
6,561 single-path networks on CIFAR-10, images (N, 3, 32, 32), and here the supernet that contains them all.
NAS-Bench-201 (Dong and Yang, ICLR 2020): 15,625 cells of 6 edges with 5 operations, on three data sets.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scipy.stats import kendalltau
from torch import Tensor, nn

from repro.errors import ReproError, unknown
from repro.paths import Branch, Chain, Choices, Conv, Region, SinglePath
from repro.search_space import Gene, Space

MACRO_BLOCKS = {"identity": (0, 1), "mb_3x3_e3": (3, 3), "mb_5x5_e6": (6, 5)}  # expansion, kernel; in the table's order
MACRO_SPACE = Space(8, {"block": tuple(MACRO_BLOCKS)})
OPERATIONS_201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SPACE_201 = Space(6, {"operation": OPERATIONS_201})
COLUMNS_201 = {
    "cifar10": "CIFAR10TestAccuracy200Epochs",
    "cifar100": "CIFAR100TestAccuracy200Epochs",
    "imagenet16": "ImageNetTestAccuracy200Epochs",
}


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

    def accuracy(self, gene: Sequence[int]) -> float:
        """Return the mean test accuracy of a network in percent: stand-in for an evaluation in a search."""
        accuracies = self.rows[self.space.check(gene)].accuracies
        return sum(accuracies) / len(accuracies)


def nas_bench_macro(folder: Path) -> Table:
    """Read `nas-bench-macro/nas-bench-macro_cifar10.json` of a data folder; ReproError if rows are missing."""
    path = folder / "nas-bench-macro" / "nas-bench-macro_cifar10.json"
    return _table("NAS-Bench-Macro", MACRO_SPACE, path, _macro_rows)


def nas_bench_201(folder: Path, data: str = "cifar10") -> Table:
    """Read `nas-bench-201/nats_bench.csv` of a data folder, accuracies on `data`; ReproError if rows are missing."""
    if data not in COLUMNS_201:
        raise unknown("NAS-Bench-201 data set", data, COLUMNS_201)
    path = folder / "nas-bench-201" / "nats_bench.csv"
    return _table("NAS-Bench-201", SPACE_201, path, lambda text: _rows_201(text, COLUMNS_201[data]))


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Kendall's tau of two rankings of the same networks; None where a ranking is all ties."""
    tau = float(kendalltau(one, other).statistic)
    return tau if tau == tau else None


def _table(name: str, space: Space, path: Path, read: Callable[[str], Iterable[tuple[Gene, Row]]]) -> Table:
    try:
        rows = dict(read(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ReproError(f"{name} needs {path}, which is missing: put the file there or take another table") from error
    except (ValueError, KeyError, TypeError, AttributeError, ReproError) as error:
        raise ReproError(
            f"{path} is not the table of {name} ({type(error).__name__}: {error}): fetch it again"
        ) from error
    if missing := next((gene for gene in space.genes() if gene not in rows), None):
        what = ", ".join(next(iter(space.names(missing).values())))
        raise ReproError(
            f"{path} has {len(rows):,} of {space.count:,} networks, and not {list(missing)} ({what}): fetch it again"
        )
    return Table(name, space, rows)


def _macro_rows(text: str) -> Iterator[tuple[Gene, Row]]:
    for key, row in json.loads(text).items():
        gene = MACRO_SPACE.check([int(choice) for choice in key])
        yield gene, Row(tuple(map(float, row["test_acc"])), int(row["params"]), int(row["flops"]))


def _rows_201(text: str, column: str) -> Iterator[tuple[Gene, Row]]:
    for row in csv.DictReader(text.splitlines()):
        edges = [edge for edge in row["ArchitectureString"].replace("+", "").split("|") if edge]
        gene = SPACE_201.check([OPERATIONS_201.index(edge.split("~")[0]) for edge in edges])
        yield gene, Row((float(row[column]),))


class MacroBlock(nn.Module):
    """One choice of a layer: x (N, C, H, W) to (N, C', H / stride, W / stride)."""

    def __init__(self, name: str, inp: int, out: int, stride: int, affine: bool) -> None:
        super().__init__()
        expansion, kernel = MACRO_BLOCKS[name]
        middle, same, self.stride = expansion * inp, stride == 1 and inp == out, stride
        if expansion:
            depthwise = Conv(middle, middle, kernel, stride, depthwise=True)
            self.chain = (Conv(inp, middle), depthwise, Conv(middle, out, relu=False))
        else:
            self.chain = () if same else (Conv(inp, out, 1, stride, relu=False),)
        self.shortcut = same
        self.branch = Branch(self.chain, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        if not self.chain:
            return x
        y = self.branch(x, self.chain)
        return x + y if self.shortcut else y

    def chains(self) -> list[Chain]:
        """Return the block's convolutions."""
        return [self.chain]

    def used(self) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the block's parameters."""
        return self.branch.used(self.chain)


@dataclass(frozen=True)
class MacroLayout:
    """Sizes of the networks; the defaults are the benchmark's. Each stage halves the image and doubles the channels."""

    size: int = 32
    channels: int = 3
    classes: int = 10
    stem: int = 32
    repeats: tuple[int, ...] = (2, 3, 3)
    head: int = 1280

    def layers(self) -> Iterator[tuple[int, int, int]]:
        """Go through the layers: channels in and out, stride."""
        for stage, repeat in enumerate(self.repeats):
            width = self.stem * 2**stage
            yield width, 2 * width, 2
            yield from [(2 * width, 2 * width, 1)] * (repeat - 1)


class MacroNetwork(SinglePath):
    """The single-path supernet of NAS-Bench-Macro's space, or with `gene` the stand-alone network that it names."""

    def __init__(self, layout: MacroLayout, gene: Sequence[int] | None = None, affine: bool = False) -> None:
        super().__init__()
        self.size, self.reduction = layout.size, 1
        self.space = Space(sum(layout.repeats), MACRO_SPACE.kinds)
        last = layout.stem * 2 ** len(layout.repeats)
        self.chains = Conv(layout.channels, layout.stem, 3), Conv(last, layout.head)
        self.first, self.last = Branch(self.chains[:1], affine), Branch(self.chains[1:], affine)
        layers = [[MacroBlock(name, *row, affine) for name in MACRO_BLOCKS] for row in layout.layers()]
        if gene is None:
            self.features = nn.ModuleList(map(Choices, layers))
        else:
            chosen = self.space.check(gene)
            self.features = nn.ModuleList(layer[choice] for layer, choice in zip(layers, chosen, strict=True))
            self.space = Space(self.space.layers, {})
        self.classifier = nn.Linear(layout.head, layout.classes)

    def ends(self) -> list[nn.Module]:
        """Return the modules before and after the layers."""
        return [self.first, self.last, self.classifier]

    def stem(self, x: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to (N, stem, H, W)."""
        return self.first(x, self.chains[:1])

    def head(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits (N, classes)."""
        return self.classifier(self.last(x, self.chains[1:]).mean((2, 3)))
