"""DARTS as the paper writes it and in its order: one module for every operation, nothing batched, nothing reused.

The place to begin reading. The fast code says at its head which of these functions it equals and which test holds it to
that; `python -m benchmarks` times it against them. Maps are (N, C, H, W); alpha is (edges, 8), its rows by node, then
by source. Modules have the names of the authors' checkpoints.
"""

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import cross_entropy

from repro.spaces.genotypes import SEARCH_OPERATIONS, Edge

Nodes = Sequence[Sequence[Edge]]  # for each intermediate node the edges into it
Batch = tuple[Tensor, Tensor]  # images (N, C, H, W), labels (N,)

# ---- Sect. 2.1 and 2.2: a cell, and its continuous relaxation


class Cell(nn.Module):
    """A graph of states: 0 and 1 are the outputs of the two cells before, node j follows from those before it by Eq. 1.

    Eq. 1: x^(j) = sum over i < j of o^(i,j)(x^(i)).
    """

    def __init__(
        self,
        preprocess: tuple[nn.Module, nn.Module],
        nodes: Nodes,
        operations: Sequence[nn.Module],
        concat: Sequence[int],
    ) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess
        self.nodes, self._ops, self.concat = nodes, nn.ModuleList(operations), concat

    def forward(self, before: Tensor, last: Tensor, probabilities: Tensor | None = None) -> Tensor:
        """Compute node after node and join some; in the search `probabilities` (edges, 8) weigh the operations."""
        states, operations = [self.preprocess0(before), self.preprocess1(last)], iter(self._ops)
        if probabilities is not None:
            operations = (partial(mixed, p=probabilities[edge]) for edge, mixed in enumerate(self._ops))
        for node in self.nodes:
            states.append(sum(next(operations)(states[edge.source]) for edge in node))
        return torch.cat([states[i] for i in self.concat], dim=1)


class MixedOp(nn.Module):
    """Eq. 2: the sum over all o of exp(alpha_o) / (sum over o' of exp(alpha_o')) o(x); p is softmax(alpha)."""

    def __init__(self, operations: Sequence[nn.Module]) -> None:
        super().__init__()
        self._ops = nn.ModuleList(operations)

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        """Weigh and add up all operations on one edge."""
        return sum(weight * op(x) for weight, op in zip(p, self._ops, strict=True))


# ---- Sect. 2.3: approximation; `network.parameters()` are w, `network.alphas` are alpha


def search_step(
    network: nn.Module,
    weight_optimizer: torch.optim.SGD,
    alpha_optimizer: torch.optim.Optimizer,
    train: Batch,
    valid: Batch,
    order: int = 2,
    grad_clip: float = 5.0,
) -> Tensor:
    """Algorithm 1, once: move alpha down Eq. 7, then w down its gradient; return L_train(w, alpha) in between."""
    alpha_optimizer.zero_grad()
    if order == 1:  # xi = 0, so that w' = w
        loss(network, valid).backward()
    else:
        gradient = unrolled_gradient(network, weight_optimizer, train, valid)
        for alpha, part in zip(network.alphas, gradient, strict=True):
            alpha.grad = part
    alpha_optimizer.step()
    weight_optimizer.zero_grad()
    train_loss = loss(network, train)
    train_loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), grad_clip)
    weight_optimizer.step()
    return train_loss.detach()


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Return L(w, alpha) on a batch."""
    images, labels = batch
    return cross_entropy(network(images), labels)


def unrolled_gradient(network: nn.Module, optimizer: torch.optim.SGD, train: Batch, valid: Batch) -> list[Tensor]:
    """Eq. 7: grad_alpha L_val(w', alpha) - xi grad^2_{alpha, w} L_train(w, alpha) grad_w' L_val(w', alpha).

    w' = w - xi grad_w L_train(w, alpha), xi being the learning rate of w. With momentum and weight decay, by which the
    paper lets it be modified, it is the step that SGD would take. As the authors do, a second network holds it.
    """
    group, weights = optimizer.param_groups[0], list(network.parameters())
    slopes = grad(loss(network, train), weights)
    ahead, xi = copy.deepcopy(network), group["lr"]
    with torch.no_grad():
        for moved, weight, slope in zip(ahead.parameters(), weights, slopes, strict=True):
            buffer = optimizer.state[weight].get("momentum_buffer", 0)
            moved.sub_(xi * (group["momentum"] * buffer + slope + group["weight_decay"] * weight))
    slopes = grad(loss(ahead, valid), [*ahead.alphas, *ahead.parameters()])
    direct, v = slopes[: len(ahead.alphas)], slopes[len(ahead.alphas) :]
    return [d - xi * h for d, h in zip(direct, hessian_vector_product(network, train, v), strict=True)]


def hessian_vector_product(network: nn.Module, train: Batch, v: Sequence[Tensor]) -> list[Tensor]:
    """Eq. 8: (grad_alpha L_train(w+, alpha) - grad_alpha L_train(w-, alpha)) / 2 eps with w± = w ± eps v."""
    eps = 0.01 / torch.cat([part.flatten() for part in v]).norm()

    def move(step: Tensor) -> None:
        with torch.no_grad():
            for weight, part in zip(network.parameters(), v, strict=True):
                weight.add_(step * part)

    move(eps)
    plus = grad(loss(network, train), network.alphas)
    move(-2 * eps)
    minus = grad(loss(network, train), network.alphas)
    move(eps)
    return [(p - m) / (2 * eps) for p, m in zip(plus, minus, strict=True)]


# ---- Sect. 2.4: deriving discrete architectures


def derive(alpha: Tensor, inputs: int = 2, keep: int = 2, operations: Sequence[str] = SEARCH_OPERATIONS) -> list[Edge]:
    """Retain for each node the `keep` strongest edges, each with its strongest operation that is not zero.

    The strength of an edge is the softmax of that operation. A recurrent cell has 1 input, and nodes that keep 1 edge.
    """
    rows, edges = alpha.detach().double().softmax(dim=1).tolist(), []
    while rows:
        count = inputs + len(edges) // keep  # states before this node
        node, rows = rows[:count], rows[count:]
        best = [max(range(1, len(row)), key=row.__getitem__) for row in node]  # column 0 is the zero operation
        strengths = [row[column] for row, column in zip(node, best, strict=True)]
        strongest = sorted(range(count), key=strengths.__getitem__, reverse=True)[:keep]
        edges += [Edge(operations[best[source]], source) for source in strongest]
    return edges
