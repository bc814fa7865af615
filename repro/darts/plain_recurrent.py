"""The recurrent networks of DARTS (Sect. 2.1, 3.1.2, A.1.2): one step, one node and one operation at a time.

Weights are a dict under the released code's names: encoder.weight (V, H), rnns.0._W0 (2H, 2H), rnns.0._Ws.i (H, 2H),
decoder.bias (V,). Masks (already scaled by 1 / (1 - rate)) may be None; `word` is (V, 1), the others (B, H).
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.spaces.genotypes import RECURRENT_OPERATIONS, RecurrentGenotype

Weights = Mapping[str, Tensor]
Masks = Mapping[str, Tensor | None]
Norm = Callable[[Tensor], Tensor] | None

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda h: h}
NO_MASKS = dict.fromkeys(("word", "embedding", "x", "hidden", "output"))


def apply_mask(value: Tensor, mask: Tensor | None) -> Tensor:
    """Apply variational dropout."""
    return value if mask is None else value * mask


def first_state(w: Weights, x: Tensor, h: Tensor, masks: Masks) -> Tensor:
    """Return the first state of a step, of its input (B, H) and the state before (B, H)."""
    gates = torch.cat([apply_mask(x, masks["x"]), apply_mask(h, masks["hidden"])], dim=-1).mm(w["rnns.0._W0"])
    c, candidate = gates.chunk(2, dim=-1)
    return h + c.sigmoid() * (candidate.tanh() - h)


def mixed_step(w: Weights, alpha: Tensor, x: Tensor, h: Tensor, masks: Masks, norm: Norm) -> Tensor:
    """Step once with the search cell: every node mixes all operations over all states before it (Eq. 2)."""
    probabilities = alpha.softmax(dim=-1)
    states = norm(first_state(w, x, h, masks)).unsqueeze(0)
    nodes, offset = sum(name.startswith("rnns.0._Ws") for name in w), 0
    for i in range(nodes):
        masked = apply_mask(states, masks["hidden"])
        gates = masked.flatten(0, 1).mm(w[f"rnns.0._Ws.{i}"]).view(i + 1, *h.shape[:1], -1)
        c, candidate = gates.chunk(2, dim=-1)
        c, state = c.sigmoid(), torch.zeros_like(h)
        for k, name in enumerate(RECURRENT_OPERATIONS):
            if name == "none":
                continue
            output = states + c * (ACTIVATIONS[name](candidate) - states)
            state = state + (probabilities[offset : offset + i + 1, k, None, None] * output).sum(dim=0)
        states = torch.cat([states, norm(state).unsqueeze(0)])
        offset += i + 1
    return states[-nodes:].mean(dim=0)


def cell_step(w: Weights, genotype: RecurrentGenotype, x: Tensor, h: Tensor, masks: Masks, norm: Norm = None) -> Tensor:
    """Step once with a derived cell: one activation and one source for each node."""
    states = [first_state(w, x, h, masks)]
    for i, (name, source) in enumerate(genotype.recurrent):
        gates = apply_mask(states[source], masks["hidden"]).mm(w[f"rnns.0._Ws.{i}"])
        c, candidate = gates.chunk(2, dim=-1)
        states.append(states[source] + c.sigmoid() * (ACTIVATIONS[name](candidate) - states[source]))
    return torch.stack([states[i] for i in genotype.concat], dim=-1).mean(dim=-1)


def language_model(
    w: Weights,
    cell: Tensor | RecurrentGenotype,
    tokens: Tensor,
    h: Tensor,
    masks: Masks = NO_MASKS,
    norm: Norm = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return log_prob (T, B, V), the last hidden state (B, H), the states (T, B, H) and the states after dropout.

    cell: the alphas (edges, 5) of the search cell, whose shared BatchNorm is `norm`, or a genotype.
    """
    embedding = F.embedding(tokens, apply_mask(w["encoder.weight"], masks["word"]))
    embedding = apply_mask(embedding, masks["embedding"])
    step = mixed_step if isinstance(cell, Tensor) else cell_step
    states = []
    for x in embedding:
        h = step(w, cell, x, h, masks, norm)
        states.append(h)
    states = torch.stack(states)
    output = apply_mask(states, masks["output"])
    log_prob = F.linear(output.flatten(0, 1), w["encoder.weight"], w["decoder.bias"]).log_softmax(dim=-1)
    return log_prob.view(*tokens.shape, -1), h, states, output
