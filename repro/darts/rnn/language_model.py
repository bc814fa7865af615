"""Recurrent language models (DARTS Sect. 3.1.2, A.1.2, A.2.2): tokens (T, B) and a hidden state (B, H) to a loss.

One class is both networks: without a genotype the search network, whose nodes mix all activations over all states
before them, with one BatchNorm without affine; with a genotype its evaluation network. Embedding and softmax share
their weight. Dropout is variational: one mask (B, H) for all steps of a sequence, and whole words of the embedding.

Equals `darts.plain_recurrent.language_model`;
held by `test_recurrent.py::test_network_is_the_plain_one_with_all_dropouts`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from repro.darts.double_backward import recorded_gradient
from repro.darts.plain_recurrent import apply_mask
from repro.darts.rnn.recurrence import Inputs, StateNorm, wiring_of
from repro.darts.rnn.unrolled import unroll
from repro.spaces.genotypes import RECURRENT, RecurrentGenotype

INIT = 0.04  # weights start uniformly in -INIT..INIT
LOGITS = 2**23  # values of the softmax in memory at a time


@dataclass(frozen=True)
class Dropout:
    """Rates of variational dropout; the defaults are the search's (A.1.2)."""

    word: float = 0.0  # whole words, everywhere in the sequences
    embedding: float = 0.2
    input: float = 0.75  # the embedding where it enters the cell
    hidden: float = 0.25  # every state before it is mapped
    output: float = 0.75


class Masks(NamedTuple):
    """Dropout masks for a whole sequence; kept values are scaled by 1 / (1 - rate), and None keeps all."""

    word: Tensor | None = None  # (V, 1)
    input: Tensor | None = None  # (B, H): that of the embedding times that of the cell's input
    hidden: Tensor | None = None  # (B, H)
    output: Tensor | None = None  # (B, H)


class Output(NamedTuple):
    """The result of reading a sequence."""

    loss: Tensor  # mean negative log-likelihood of the targets, in nats
    hidden: Tensor  # (B, H), after the last step
    states: Tensor  # (T, B, H)
    dropped: Tensor  # (T, B, H): the states after dropout, which the softmax reads


class LanguageModel(nn.Module):
    """A language model over `vocabulary_size` words; embedding, hidden state and cell have one `hidden_size` H.

    Parameters: embedding (V, H), bias (V,), first (2H, 2H) whose rows read input and hidden state, maps (nodes, H, 2H),
    and in the search network alpha (edges, 5), started at `alpha_init` x N(0, 1).
    """

    def __init__(
        self,
        vocabulary_size: int,
        hidden_size: int,
        genotype: RecurrentGenotype | None = None,
        *,
        nodes: int = 8,
        dropout: Dropout = Dropout(),
        alpha_init: float = 1e-3,
    ) -> None:
        super().__init__()
        nodes = len(genotype.recurrent) if genotype else nodes
        self.dropout, self.wiring = dropout, wiring_of(genotype, nodes)
        self.embedding = nn.Parameter(torch.empty(vocabulary_size, hidden_size).uniform_(-INIT, INIT))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.first = nn.Parameter(torch.empty(2 * hidden_size, 2 * hidden_size).uniform_(-INIT, INIT))
        self.maps = nn.Parameter(torch.empty(nodes, hidden_size, 2 * hidden_size).uniform_(-INIT, INIT))
        self.alpha = self.norm = None
        if genotype is None:
            self.alpha = nn.Parameter(alpha_init * torch.randn(RECURRENT.rows(nodes).start, len(RECURRENT.operations)))
            self.norm = nn.BatchNorm1d(hidden_size, affine=False)

    @property
    def alphas(self) -> list[nn.Parameter]:
        """Return the architecture: [alpha] in the search network, [] in an evaluated one."""
        return [] if self.alpha is None else [self.alpha]

    def weights(self) -> list[nn.Parameter]:
        """Return all parameters but alpha."""
        return [self.embedding, self.bias, self.first, self.maps]

    def initial(self, batch: int) -> Tensor:
        """Return the hidden state (batch, H) that a text begins with: zeros."""
        return self.embedding.new_zeros(batch, self.embedding.shape[1])

    def masks(self, batch: int) -> Masks:
        """Draw the dropout of one sequence; none in evaluation mode."""
        if not self.training:
            return Masks()
        vocabulary_size, size = self.embedding.shape
        rates = self.dropout
        embedding, entry = (self._mask(batch, size, rate) for rate in (rates.embedding, rates.input))
        return Masks(
            word=self._mask(vocabulary_size, 1, rates.word),
            input=entry if embedding is None else apply_mask(embedding, entry),
            hidden=self._mask(batch, size, rates.hidden),
            output=self._mask(batch, size, rates.output),
        )

    def forward(self, tokens: Tensor, targets: Tensor, hidden: Tensor, masks: Masks | None = None) -> Output:
        """Read tokens (T, B) from `hidden` (B, H) on, predict targets (T, B); dropout is drawn unless given."""
        masks = masks or self.masks(tokens.shape[1])
        states, dropped = self._states(tokens, hidden, masks)
        loss = cross_entropy(dropped.flatten(0, 1), self.embedding, self.bias, targets.flatten())
        return Output(loss, states[-1], states, dropped)

    def log_prob(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """Return log-probabilities of the next token, (T, B, V)."""
        _, dropped = self._states(tokens, hidden, self.masks(tokens.shape[1]))
        return functional.linear(dropped, self.embedding, self.bias).log_softmax(dim=-1)

    def _states(self, tokens: Tensor, hidden: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        size = hidden.shape[1]
        words = functional.embedding(tokens, self.embedding)
        if masks.word is not None:
            words = words * masks.word[tokens]
        gates = apply_mask(words, masks.input) @ self.first[:size]  # (T, B, 2H), of all steps at once
        mixture = None if self.alpha is None else self.alpha.softmax(dim=1)
        inputs = Inputs(gates, hidden, self.first[size:], self.maps, mixture)
        norm = self.norm and StateNorm(self.norm.running_mean, self.norm.running_var, self.norm.training)
        states = unroll(self.wiring, norm, masks.hidden, inputs)
        return states, apply_mask(states, masks.output)

    def _mask(self, rows: int, columns: int, rate: float) -> Tensor | None:
        kept = 1 - rate
        return None if rate == 0 else self.embedding.new_empty(rows, columns).bernoulli_(kept).div_(kept)


def cross_entropy(states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy of softmax(states @ weight.T + bias), (N, H), (V, H), (V,), with targets (N,).

    Loss and gradient are computed together, part by part, so that the (N, V) logits are never in memory as a whole.
    """
    return _CrossEntropy.apply(torch.is_grad_enabled(), targets, states, weight, bias)


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, graded: bool, targets: Tensor, *inputs: Tensor) -> Tensor:
        needed = [graded and need for need in ctx.needs_input_grad[2:]]
        slopes = [torch.zeros_like(value) if need else None for value, need in zip(inputs, needed, strict=True)]
        states, weight, bias = inputs  # (N, H), (V, H), (V)
        rows, loss = max(1, LOGITS // len(weight)), states.new_zeros(())
        for start in range(0, len(states), rows):
            part, target = states[start : start + rows], targets[start : start + rows, None]  # (n, H), (n, 1)
            log_prob = torch.addmm(bias, part, weight.t()).log_softmax(dim=1)
            loss -= log_prob.gather(1, target).sum()
            if any(needed):
                slope = log_prob.exp_()
                slope.scatter_add_(1, target, slope.new_full((), -1.0).expand_as(target))
                _add_slopes(slopes, start, slope.div_(len(states)), part, weight)
        ctx.save_for_backward(targets, *inputs, *slopes)
        return loss / len(states)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        targets, *inputs = ctx.saved_tensors[:4]
        if not torch.is_grad_enabled():
            return None, None, *(None if held is None else held * slope for held in ctx.saved_tensors[4:])
        plain = lambda *views: _plain(targets, *views)
        return None, None, *recorded_gradient(plain, inputs, ctx.needs_input_grad[2:], slope)


def _plain(targets: Tensor, states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(states, weight, bias), targets)


def _add_slopes(slopes: list[Tensor | None], start: int, slope: Tensor, part: Tensor, weight: Tensor) -> None:
    """Add what one part's logits contribute, by their `slope` (n, V), to the slopes of states, weight and bias."""
    states, weights, bias = slopes
    if states is not None:
        torch.mm(slope, weight, out=states[start : start + len(part)])
    if weights is not None:
        weights.addmm_(slope.t(), part)
    if bias is not None:
        bias += slope.sum(0)
