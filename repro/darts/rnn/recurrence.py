"""A recurrent cell over T steps (DARTS Sect. 2.1, A.1.2): gates (T, B, 2H), a hidden state (B, H) -> states (T, B, H).

A cell makes a first state of its input and the state before, then one state after another by its nodes, and returns
the mean of some of them. Every new state is a highway s' = s + c (f(h) - s), with c and h linear in s. A node of an
evaluated cell reads one state through one activation f; a node of the search reads all states before it through all.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda h: h}


class Wiring(NamedTuple):
    """Which states each node reads (0 is the first), by which activation, and which states the output averages."""

    sources: tuple[slice, ...]
    activations: tuple[str, ...] | None  # None: every edge mixes all of them
    outputs: tuple[int, ...]

    def rows(self, node: int) -> slice:
        """Return the rows of the mixture that belong to the edges into `node`, which reads all states before it."""
        start = node * (node + 1) // 2
        return slice(start, start + node + 1)


class Norm(NamedTuple):
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

    gates: Tensor  # (T, B, 2H): the input's share in the first state
    hidden: Tensor  # (B, H)
    first: Tensor  # (H, 2H): the hidden state's map
    maps: Tensor  # (nodes, H, 2H)
    mixture: Tensor | None  # (edges, 5): the probabilities of a search's operations, by node, then by source


def plain(wiring: Wiring, norm: Norm | None, mask: Tensor | None, inputs: Inputs) -> Tensor:
    """Return the states (T, B, H), in differentiable operations as the paper writes them: for derivatives of any order.

    mask (B, H): the variational dropout of every state before it is mapped.
    """
    normalise = norm or (lambda state: state)
    hidden, outputs = inputs.hidden, []
    for gate in inputs.gates:
        c, h = (gate + times(hidden, mask) @ inputs.first).chunk(2, dim=-1)
        states = [normalise(torch.lerp(hidden, h.tanh(), c.sigmoid()))]
        for i, reads in enumerate(wiring.sources):
            source = torch.stack(states[reads])
            c, h = (times(source, mask) @ inputs.maps[i]).chunk(2, dim=-1)
            if inputs.mixture is None:
                state = torch.lerp(source, ACTIVATIONS[wiring.activations[i]](h), c.sigmoid())
            else:
                p = inputs.mixture[wiring.rows(i), :, None, None]
                kept = p[:, 1:].sum(1) * source  # the zero operation keeps nothing
                state = kept + c.sigmoid() * (
                    sum(p[:, 1 + k] * f(h) for k, f in enumerate(ACTIVATIONS.values())) - kept
                )
            states.append(normalise(state.sum(0)))
        hidden = torch.stack([states[i] for i in wiring.outputs]).mean(0)
        outputs.append(hidden)
    return torch.stack(outputs)


def times(value: Tensor, mask: Tensor | None) -> Tensor:
    """Return value * mask, or the value where there is no mask."""
    return value if mask is None else value * mask


def recorded(
    compute: Callable[..., Tensor], inputs: Sequence[Tensor | None], needed: Sequence[bool], slope: Tensor
) -> list[Tensor | None]:
    """Return the gradient of compute(*inputs) as operations that autograd records, so that it can be differentiated.

    The inputs are seen through views: where one depends on another, only what `compute` does with each shall count.
    """
    views = [value if value is None else value.view_as(value) for value in inputs]
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    found = iter(torch.autograd.grad(compute(*views), wanted, slope, create_graph=True, materialize_grads=True))
    return [next(found) if need else None for need in needed]
