"""Search spaces as genes (SPOS Sect. 3): what can be chosen, what a choice costs, which paths a supernet trains.

A gene is a tuple of integers: for each kind of choice (block, width, bits) one integer a layer, kind after kind, so
that 20 layers with blocks and widths make a gene of 40. Costs add up over layers, so a table of (layers, choices, ...)
gives the exact parameters, multiply-adds, BitOps or latency of any gene at once. Knows no network and needs no torch.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.errors import ReproError, UsageError

Gene = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """`layers` layers, each with one choice of every kind; `kinds` maps a kind to the names of its choices.

    Layers that are `lacking` do not have the last choice of each kind, as where a layer that is skipped would not fit.
    """

    layers: int
    kinds: Mapping[str, tuple[str, ...]]
    lacking: frozenset[int] = frozenset()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the number of choices at each place of a gene."""
        return tuple(n for sizes in zip(*map(self.at, range(self.layers)), strict=True) for n in sizes)

    def at(self, layer: int) -> tuple[int, ...]:
        """Return the number of choices of each kind in a layer."""
        return tuple(len(names) - (layer in self.lacking) for names in self.kinds.values())

    @property
    def count(self) -> int:
        """Return the number of networks in the space."""
        return math.prod(self.sizes)

    def check(self, gene: Sequence[int]) -> Gene:
        """Return `gene` as a tuple of integers; ReproError names a wrong length or the choice that is out of range."""
        if len(gene) != len(self.sizes):
            raise ReproError(
                f"a gene of {len(gene)} choices does not fit: {len(self.sizes)} are needed, "
                f"one of {' and of '.join(self.kinds) or 'nothing'} for each of {self.layers} layers"
            )
        for place, (choice, size) in enumerate(zip(gene, self.sizes, strict=True)):
            if not isinstance(choice, int | np.integer) or not 0 <= choice < size:
                kind, layer = list(self.kinds)[place // self.layers], place % self.layers
                raise ReproError(
                    f"choice {choice!r} for the {kind} of layer {layer} is out of range: "
                    f"give 0 to {size - 1} ({', '.join(self.kinds[kind][:size])})"
                )
        return tuple(int(choice) for choice in gene)

    def by_layer(self, gene: Sequence[int]) -> list[tuple[int, ...]]:
        """Check `gene` and return what it chooses in each layer: one integer for each kind."""
        gene = self.check(gene)
        return [gene[layer :: self.layers] for layer in range(self.layers)]

    def names(self, gene: Sequence[int]) -> dict[str, list[str]]:
        """Return the names of the choices, kind by kind, layer by layer."""
        columns = zip(*self.by_layer(gene), strict=True)
        return {kind: [self.kinds[kind][i] for i in column] for kind, column in zip(self.kinds, columns, strict=True)}

    def random(self, rng: np.random.Generator) -> Gene:
        """Draw one gene uniformly."""
        return tuple(rng.integers(self.sizes).tolist())

    def genes(self) -> Iterator[Gene]:
        """Go through every gene of a small space, in lexicographic order."""
        return itertools.product(*map(range, self.sizes))


@dataclass(frozen=True)
class Cost:
    """What a network costs: `fixed` for stem and head plus table[layer, choice of kind 1, choice of kind 2, ...]."""

    name: str  # "multiply-adds"
    fixed: float
    table: np.ndarray

    def __call__(self, gene: Sequence[int]) -> float:
        """Return the cost of one gene."""
        return self.many(np.asarray([gene]))[0].item()

    def many(self, genes: np.ndarray) -> np.ndarray:
        """Return the costs (N,) of genes (N, length)."""
        layers, kinds = len(self.table), self.table.ndim - 1
        choices = genes.reshape(len(genes), kinds, layers).swapaxes(0, 1)  # (kinds, N, layers)
        index = np.broadcast_to(np.arange(layers), (len(genes), layers))
        return self.fixed + self.table[(index, *choices)].sum(axis=1)

    def cheapest(self) -> Gene:
        """Return the gene that costs least."""
        choices = np.unravel_index(self.table.reshape(len(self.table), -1).argmin(axis=1), self.table.shape[1:])
        return tuple(np.concatenate(choices).tolist())

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"name": self.name, "fixed": self.fixed, "table": self.table.tolist()}

    @classmethod
    def of_layers(cls, name: str, fixed: float, rows: Sequence[np.ndarray]) -> "Cost":
        """Make it of a table (choices of kind 1, ...) for each layer; what a layer lacks costs as its dearest choice.

        So it is never the cheapest, and no gene has it.
        """
        most = np.max([row.shape for row in rows], axis=0)
        pads = [[(0, n - k) for n, k in zip(most, row.shape, strict=True)] for row in rows]
        padded = [np.pad(row, pad, mode="maximum") if row.ndim else row for row, pad in zip(rows, pads, strict=True)]
        return cls(name, fixed, np.stack(padded))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cost":
        """Rebuild a saved table."""
        return cls(value["name"], value["fixed"], np.asarray(value["table"]))


@dataclass(frozen=True)
class Budget:
    """A hard constraint: `cost` at most `limit`; ReproError, naming the cheapest network, if none can meet it."""

    cost: Cost
    limit: float

    def __post_init__(self) -> None:
        cheapest = self.cost.cheapest()
        if not self.limit >= (least := self.cost(cheapest)):
            raise ReproError(
                f"a budget of {self.limit:,.12g} {self.cost.name} is below the cheapest network, {list(cheapest)}, "
                f"which costs {least:,.12g}: raise the budget to that or more"
            )

    def excess(self, gene: Gene) -> float:
        """Return how far `gene` is over the limit, as a fraction of it; 0 within the budget."""
        return max(0.0, self.cost(gene) - self.limit) / abs(self.limit or 1)


class PathSampler:
    """Draws the path of each training step (SPOS Sect. 3), uniformly or, given a `cost`, uniformly within a random bin.

    A bin is drawn, then paths until one lies in it. `edges` are the ends of the bins, by default of seven equal ones
    over the costs of all paths but one in 1,000 at either end: 291 to 363 M multiply-adds in the published space, where
    the released code has 290 to 360 M. A bin without paths is left out. `state_dict` resumes exactly.
    """

    BINS, TAIL = 7, 0.001
    PILOT = 100_000  # paths that show where costs lie
    TRIES = 500  # paths drawn at a time

    def __init__(self, space: Space, seed: int, cost: Cost | None = None, edges: Sequence[float] = ()) -> None:
        if (len(edges) > 0 and cost is None) or len(edges) == 1 or list(edges) != sorted(edges):
            raise UsageError(f"bins need a cost and two or more ascending edges, not {list(edges)}")
        self.space, self.cost = space, cost
        self.bins = [] if cost is None else self._bins(edges)
        self.rng = np.random.default_rng(seed)

    def _bins(self, edges: Sequence[float]) -> list[tuple[float, float]]:
        """Return the two ends of every bin that has paths; UsageError if none has."""
        _, costs = self._draw(np.random.default_rng(0), self.PILOT)  # bins are the space's, whatever the seed
        if not len(edges):
            edges = np.linspace(*np.quantile(costs, (self.TAIL, 1 - self.TAIL)), self.BINS + 1)
        bins = [(low, high) for low, high in itertools.pairwise(edges) if ((low <= costs) & (costs <= high)).any()]
        if not bins:
            raise UsageError(f"no path costs {edges[0]:,.12g} to {edges[-1]:,.12g} {self.cost.name}: take other edges")
        return bins

    def _draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return genes (count, length), drawn uniformly, and their costs (count,)."""
        genes = rng.integers(self.space.sizes, size=(count, len(self.space.sizes)))
        return genes, self.cost.many(genes)

    def __call__(self) -> Gene:
        """Return the next path."""
        if self.cost is None:
            return self.space.random(self.rng)
        low, high = self.bins[self.rng.integers(len(self.bins))]
        inside = np.zeros(1, bool)
        while not inside.any():
            genes, costs = self._draw(self.rng, self.TRIES)
            inside = (low <= costs) & (costs <= high)
        return tuple(genes[inside.argmax()].tolist())

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state."""
        return self.rng.bit_generator.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.rng.bit_generator.state = state
