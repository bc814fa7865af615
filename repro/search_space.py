"""Search spaces as genes (SPOS Sect. 3): what can be chosen, what a choice costs, which paths a supernet trains.

A gene is a tuple of integers: for each kind of choice (block, width, bits) one integer a layer, kind after kind, so
that 20 layers with blocks and widths make a gene of 40. Costs add up over layers, so a table of (layers, choices, ...)
gives the exact parameters, multiply-adds, BitOps or latency of any gene at once. Knows no network and needs no torch.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.errors import ReproError, UsageError

Gene = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """`layers` layers, each with one choice of every kind; `kinds` maps a kind to the names of its choices."""

    layers: int
    kinds: Mapping[str, tuple[str, ...]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the number of choices at each place of a gene."""
        return tuple(len(names) for names in self.kinds.values() for _ in range(self.layers))

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
                    f"give 0 to {size - 1} ({', '.join(self.kinds[kind])})"
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
        return self._choose(np.argmin)

    def dearest(self) -> Gene:
        """Return the gene that costs most."""
        return self._choose(np.argmax)

    def bins(self, count: int = 7) -> list[float]:
        """Return the `count` + 1 edges of equal bins from the cheapest to the dearest network."""
        return np.linspace(self(self.cheapest()), self(self.dearest()), count + 1).tolist()

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"name": self.name, "fixed": self.fixed, "table": self.table.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cost":
        """Rebuild a saved table."""
        return cls(value["name"], value["fixed"], np.asarray(value["table"]))

    def _choose(self, pick: Callable[..., np.ndarray]) -> Gene:
        rows = self.table.reshape(len(self.table), -1)
        choices = np.unravel_index(pick(rows, axis=1), self.table.shape[1:])
        return tuple(np.concatenate(choices).tolist())


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
    """Draws the path of each training step (SPOS Sect. 3), uniformly or uniformly within a random bin of `cost`.

    The released code draws one of the bins 290-300, ..., 350-360 M multiply-adds, then genes until one lies in it;
    after 500 in vain it takes the next as it comes. `edges` are the ends of the bins. `state_dict` resumes exactly.
    """

    TRIES = 500

    def __init__(self, space: Space, seed: int, cost: Cost | None = None, edges: Sequence[float] = ()) -> None:
        if (cost is None) != (len(edges) == 0) or len(edges) == 1 or list(edges) != sorted(edges):
            raise UsageError(f"bins need a cost and two or more ascending edges, not {list(edges)}")
        self.space, self.cost, self.edges = space, cost, list(edges)
        self.rng = np.random.default_rng(seed)

    def __call__(self) -> Gene:
        """Return the next path."""
        if self.cost is None:
            return self.space.random(self.rng)
        i = self.rng.integers(len(self.edges) - 1)
        genes = self.rng.integers(self.space.sizes, size=(self.TRIES + 1, len(self.space.sizes)))
        costs = self.cost.many(genes)
        inside = (self.edges[i] <= costs) & (costs <= self.edges[i + 1])
        inside[-1] = True
        return tuple(genes[inside.argmax()].tolist())

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state."""
        return self.rng.bit_generator.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.rng.bit_generator.state = state
