"""Architecture gradients beyond DARTS's single step, for any network.

DARTS takes w after one virtual step for w*(alpha), the minimum of the training loss. Two roads lead closer to it:

* the implicit function theorem. Where the training loss is least over w, with H its Hessian there,

      dL_val / dalpha = grad_alpha L_val - grad^2_{alpha, w} L_train H^-1 grad_w L_val,

  and a Neumann series, xi * sum over k of (I - xi H)^k, stands for H^-1 (Lorraine et al., 2020). Its first term
  alone is Eq. 7 with w in place of w';
* more virtual steps of SGD, through all of which the gradient goes back. One of them is `order="exact"`.

Both differentiate twice without a finite difference. Weights are only read.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import grad

from repro.darts.double_backward import differentiated_twice

Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]  # of w and alpha


def implicit_gradient(
    train_loss: Loss,
    valid_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    terms: int,
    *,
    xi: float | Tensor,
    weight_decay: float = 0.0,
) -> tuple[Tensor, ...]:
    """Return the gradient of the validation loss by the implicit function theorem, one tensor for each of `alphas`.

    terms: of the Neumann series, at least 1; it converges where xi is below 2 over the largest eigenvalue of H.
    weight_decay: what SGD adds to H's diagonal.
    """
    weights = [weight.detach().requires_grad_() for weight in weights]
    with differentiated_twice():
        slope = grad(train_loss(weights, alphas), weights, create_graph=True)
        found = grad(valid_loss(weights, alphas), (*alphas, *weights), materialize_grads=True)
        direct, term = found[: len(alphas)], found[len(alphas) :]
        total = list(term)
        for _ in range(terms - 1):
            product = grad(slope, weights, term, retain_graph=True, materialize_grads=True)  # H term
            curved = torch._foreach_add(list(product), list(term), alpha=weight_decay)
            term = [before - xi * each for before, each in zip(term, curved, strict=True)]
            torch._foreach_add_(total, term)
        mixed = grad(slope, alphas, total, materialize_grads=True)
    return tuple(d - xi * m for d, m in zip(direct, mixed, strict=True))


def unrolled_gradient(
    train_loss: Loss,
    valid_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    steps: int,
    *,
    xi: float | Tensor,
    momentum: float = 0.0,
    buffers: Sequence[Tensor] | None = None,
    weight_decay: float = 0.0,
) -> tuple[Tensor, ...]:
    """Return the gradient of the validation loss after `steps` of SGD on the training loss, one tensor per alpha.

    All steps see one training loss. Memory and time grow with the number of steps.
    buffers: of SGD's momentum, one for each weight; None before its first step.
    """
    ahead = [weight.detach().requires_grad_() for weight in weights]
    with differentiated_twice():
        for _ in range(steps):
            slope = grad(train_loss(ahead, alphas), ahead, create_graph=True, materialize_grads=True)
            step = [s + weight_decay * w for s, w in zip(slope, ahead, strict=True)]
            if momentum and buffers is not None:
                step = [s + momentum * buffer for s, buffer in zip(step, buffers, strict=True)]
            buffers = step
            ahead = [w - xi * s for w, s in zip(ahead, step, strict=True)]
        return grad(valid_loss(ahead, alphas), alphas, materialize_grads=True)
