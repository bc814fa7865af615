"""The hidden states of a recurrent cell over time, for automatic differentiation of any order (DARTS Sect. 2.1, 3.1.2).

A cell makes a first state of its input and the hidden state, then one state after another by its nodes, and returns the
mean of some of them. Every new state is a highway s' = s + c (f(h) - s), with c and h linear in s. A node of a derived
cell reads one state through one activation f; a node of the search reads all states before it through all (Eq. 2).

T steps, B sequences, hidden size H. `unrolled` has the same values, and writes their first derivative out.
Equals `darts.plain_recurrent.language_model`;
held by `test_recurrent.py::test_network_is_the_plain_one_with_all_dropouts`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from repro.darts.plain_recurrent import ACTIVATIONS, apply_mask
from repro.spaces.genotypes import RECURRENT, RECURRENT_OPERATIONS, RecurrentGenotype

assert ("none", *ACTIVATIONS) == RECURRENT_OPERATIONS  # the columns of alpha


class Wiring(NamedTuple):
    """Which states each node reads (0 is the first), by which activation, and which states the output averages."""

    sources: tuple[slice, ...]
    activations: tuple[str, ...] | None  # None: every edge mixes all of them
    outputs: tuple[int, ...]


def wiring_of(genotype: RecurrentGenotype | None, nodes: int = 0) -> Wiring:
    """Return the wiring of a derived cell, or that of the search with so many nodes."""
    if genotype is None:
        return Wiring(tuple(slice(0, i + 1) for i in range(nodes)), None, tuple(range(1, nodes + 1)))
    sources = tuple(slice(edge.source, edge.source + 1) for edge in genotype.recurrent)
    return Wiring(sources, tuple(edge.op for edge in genotype.recurrent), genotype.concat)


class StateNorm(NamedTuple):
    """One BatchNorm without affine for all states; it moves its running statistics (H,) unless they are None."""

    mean: Tensor | None
    var: Tensor | None
    training: bool = True
    momentum: float = 0.1
    eps: float = 1e-5

    def __call__(self, state: Tensor) -> Tensor:
        """Normalise (B, H) by its batch, or by the running statistics."""
        return functional.batch_norm(state, self.mean, self.var, None, None, self.training, self.momentum, self.eps)


class Inputs(NamedTuple):
    """What a recurrence can be differentiated by."""

    gates: Tensor  # (T, B, 2H): the first map of the cell's input
    hidden: Tensor  # (B, H)
    first: Tensor  # (H, 2H): the first map of the hidden state
    maps: Tensor  # (nodes, H, 2H)
    mixture: Tensor | None  # (edges, 5): softmax(alpha) in the search


def recurrence(wiring: Wiring, norm: StateNorm | None, mask: Tensor | None, inputs: Inputs) -> Tensor:
    """Return the hidden states (T, B, H) of all steps.

    mask (B, H): the variational dropout of every state before it is mapped.
    """
    normalise = norm or (lambda state: state)
    hidden, outputs = inputs.hidden, []
    for gate in inputs.gates:
        c, h = (gate + apply_mask(hidden, mask) @ inputs.first).chunk(2, dim=-1)  # (B, H) each
        states = [normalise(torch.lerp(hidden, h.tanh(), c.sigmoid()))]
        for i, reads in enumerate(wiring.sources):
            source = torch.stack(states[reads])  # (edges into the node, B, H)
            c, h = (apply_mask(source, mask) @ inputs.maps[i]).chunk(2, dim=-1)
            if inputs.mixture is None:
                state = torch.lerp(source, ACTIVATIONS[wiring.activations[i]](h), c.sigmoid())
            else:
                p = inputs.mixture[RECURRENT.rows(i), :, None, None]  # (edges into the node, 5, 1, 1)
                kept = p[:, 1:].sum(1) * source  # the zero operation keeps nothing
                mixed = sum(p[:, 1 + k] * f(h) for k, f in enumerate(ACTIVATIONS.values()))
                state = kept + c.sigmoid() * (mixed - kept)
            states.append(normalise(state.sum(0)))
        hidden = torch.stack([states[i] for i in wiring.outputs]).mean(0)
        outputs.append(hidden)
    return torch.stack(outputs)
