"""Eq. 2 in a recurrent search: all activations f on the n edges into a node, and their gradient written by hand.

A node adds sum_j kept_j s_j + c_j m_j. Of edge j, s is the state that it reads, kept the sum of its probabilities p
without that of the zero operation, and m = p . f(h) - kept s. A slope is the gradient of the loss by a value.

Equals `darts.rnn.recurrence.recurrence`;
held by `test_recurrent.py::test_gradient_written_out_is_that_of_the_plain_formula`.
"""

import torch
from torch import Tensor

from repro.spaces.genotypes import RECURRENT


class MixedActivations:
    """In a buffer (6, nodes, B, H) stand s, tanh h, relu h, sigmoid h and h, with weights (-kept, p) in m, and m."""

    def __init__(self, mixture: Tensor, states: Tensor) -> None:
        """Take softmax(alpha) (edges, 5), and the states (T, nodes + 1, B, H) for their shape and dtype."""
        self.buffer = states.new_empty(6, *states[0, 1:].shape)
        self.kept = mixture[:, 1:].sum(1)  # (edges)
        self.weights = torch.cat([-self.kept[:, None], mixture[:, 1:]], dim=1)  # (edges, 5)
        # p . f'(h) is a constant and a product with tanh^2, [h > 0] and sigmoid - sigmoid^2
        self.slopes = torch.cat([-mixture[:, 1:2], mixture[:, 2:4]], dim=1)  # (edges, 3)
        self.constant = mixture[:, 1] + mixture[:, 4]  # (edges)

    def forward(self, i: int, source: Tensor, c: Tensor, h: Tensor, out: Tensor) -> None:
        """Mix the sources (n, B, H) of node i into its state (B, H)."""
        self.buffer[0, i].copy_(source[i])  # the states before it are there already
        rows, values = RECURRENT.rows(i), self._values(h)  # (5, n, B * H)
        gated = _weighted(self.weights[rows], values, out=self.buffer[5, : len(c)]).mul_(c)  # (n, B, H): c m
        torch.addmv(gated.sum(0).view(-1), values[0].t(), self.kept[rows], out=out.view(-1))

    def begin(self, states: Tensor) -> None:
        """Take the states (nodes + 1, B, H) of the step whose backward pass begins."""
        self.buffer[0].copy_(states[:-1])

    def backward(self, i: int, c: Tensor, h: Tensor, slope: Tensor, d_source: Tensor, d_mixture: Tensor | None) -> None:
        """Add to the slopes of the sources and of the mixture; write those of c's argument and of h over c and h.

        Memory is used again as soon as what it held is no longer needed: a comment says what goes.
        """
        rows, values = RECURRENT.rows(i), self._values(h)  # (5, n, B * H)
        d_m = torch.mul(slope, c, out=self.buffer[5, : len(c)])  # (n, B, H)
        if d_mixture is not None:
            d_mixture[rows, 1:] += self._d_mixture(values, slope, d_m)  # (n, 4)
        m = _weighted(self.weights[rows], values, out=h)  # (n, B, H), over h, which is among the values
        torch.addcmul(d_m, d_m, c, value=-1, out=c).mul_(m)  # over c: slope c (1 - c) m, where c is a sigmoid
        d_h = _weighted(self.slopes[rows], self._derivatives(values), out=h)  # (n, B, H), over m
        d_h.add_(self.constant[rows, None, None]).mul_(d_m)
        past = d_m.neg_().add_(slope)  # (n, B, H), over d_m: slope (1 - c)
        d_source.addcmul_(past, self.kept[rows, None, None])

    def _values(self, h: Tensor) -> Tensor:
        """Return s, tanh h, relu h, sigmoid h and h of the n edges: (5, n, B * H)."""
        values = self.buffer[:5, : len(h)]
        torch.tanh(h, out=values[1])
        torch.clamp(h, min=0, out=values[2])
        torch.sigmoid(h, out=values[3])
        values[4].copy_(h)
        return values.flatten(2)

    def _derivatives(self, values: Tensor) -> Tensor:
        """Return tanh^2, [h > 0] and sigmoid - sigmoid^2, (3, n, B * H), over the values that they come from."""
        values[1].square_()
        values[2].sign_()
        values[3].addcmul_(values[3], values[3], value=-1)
        return values[1:4]

    def _d_mixture(self, values: Tensor, slope: Tensor, d_m: Tensor) -> Tensor:
        """Return the slopes of the probabilities: d_m . (f(h) - s) + slope . s, (n, 4)."""
        onto = torch.bmm(values.transpose(0, 1), d_m.view(len(d_m), -1, 1)).squeeze(2)  # (n, 5)
        straight = values[0] @ slope.reshape(-1)  # (n)
        return onto[:, 1:] - onto[:, :1] + straight[:, None]


def _weighted(weights: Tensor, values: Tensor, out: Tensor) -> Tensor:
    """Sum K values of each edge: (n, K), (K, n, B * H) -> (n, B, H), which is `out`."""
    torch.bmm(weights[:, None], values.transpose(0, 1), out=out.view(len(weights), 1, -1))
    return out
