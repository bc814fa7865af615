"""Uniform paths through a recurrent cell (SPOS Sect. 3, on language): each node reads one state by one activation.

A node has one map, whatever it reads and by which activation (DARTS A.1.2), so the weights of a supernet are those of
any of its cells: a path is the discrete cell itself, without the BatchNorm that a mixture needs. A gene names for each
node the state that it reads, then for each node its activation.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from repro.darts.plain_recurrent import ACTIVATIONS
from repro.darts.rnn.language_model import LanguageModel
from repro.darts.rnn.recurrence import wiring_of
from repro.darts.rnn.training import Descent, evaluate
from repro.darts.rnn.windows import NotFinite, Window
from repro.spaces.cell_space import Edge
from repro.spaces.genotypes import RecurrentGenotype
from repro.spaces.space import Gene, PathSampler, Space

WORST = -690.0  # log-likelihood of a cell whose loss is not finite: the largest perplexity that is told


@dataclass(frozen=True)
class RecurrentSpace(Space):
    """Recurrent cells: node i reads one of the 1 + i states before it by one activation."""

    def at(self, layer: int) -> tuple[int, ...]:
        """Return from how many states, and from how many activations, a node chooses."""
        return 1 + layer, len(ACTIVATIONS)

    def genotype(self, gene: Gene) -> RecurrentGenotype:
        """Return the cell of a gene."""
        names = [*ACTIVATIONS]
        edges = tuple(Edge(names[activation], state) for state, activation in self.by_layer(gene))
        return RecurrentGenotype(edges, tuple(range(1, 1 + self.layers)))

    def choose(self, network: LanguageModel, gene: Gene) -> None:
        """Let a network be the cell of a gene from now on, with the weights that it has."""
        network.wiring = wiring_of(self.genotype(gene))


def recurrent_space(nodes: int) -> RecurrentSpace:
    """Return the space of cells with so many nodes."""
    return RecurrentSpace(nodes, {"state": tuple(map(str, range(nodes))), "activation": tuple(ACTIVATIONS)})


@dataclass(frozen=True)
class PathDescent(Descent):
    """Draws the cell of every window anew, uniformly; the hidden state comes from the cell of the window before."""

    sampler: PathSampler = field(kw_only=True)

    def step(
        self, network: LanguageModel, optimizer: torch.optim.Optimizer, train: Window, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move w along one path; return the loss and the hidden state (B, H) after the window."""
        self.sampler.space.choose(network, self.sampler())
        return super().step(network, optimizer, train, hidden)


@dataclass(frozen=True)
class PerplexityJudge:
    """Scores genes by the mean log-likelihood of a word (nats) of streams (rows, B), with inherited weights."""

    space: RecurrentSpace
    network: LanguageModel
    text: Tensor
    bptt: int

    def __call__(self, gene: Gene) -> float:
        """Return minus the loss, which is minus the logarithm of the perplexity."""
        self.space.choose(self.network, gene)
        try:
            return max(WORST, -evaluate(self.network, self.text, self.bptt))
        except NotFinite:  # with others' weights a state may grow without bound
            return WORST
