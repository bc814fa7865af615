"""The architecture gradient of DARTS (Sect. 2.3, Eqs. 5 to 8), for any network.

Search minimises L_val(w*(alpha), alpha) over alpha, where w*(alpha) minimises L_train(w, alpha). One virtual step of
SGD, w' = w - xi grad_w L_train(w, alpha), stands in for w*(alpha). Its gradient is

    grad_alpha L_val(w', alpha) - xi grad^2_{alpha, w} L_train(w, alpha) grad_{w'} L_val(w', alpha)

Nothing here knows a network: a loss is a function of the weights and the alphas, and `Functional` turns a module into
one. Weights, buffers and optimizers are only read.

Equals `darts.plain.unrolled_gradient`; held by `test_bilevel.py::test_the_unrolled_gradient_is_the_plain_one`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from repro.darts.double_backward import differentiated_twice
from repro.darts.hypergradient import Loss, implicit_gradient, unrolled_gradient

Order = Literal[1, 2, "exact", "implicit", "unrolled"]
# orders beyond the paper, and what of the virtual step they take
_BEYOND = {
    "implicit": (implicit_gradient, ("xi", "weight_decay")),
    "unrolled": (unrolled_gradient, ("xi", "weight_decay", "momentum", "buffers")),
}


class Functional:
    """A module as a function of its weights and alphas; every call works on fresh copies of its buffers.

    Deviation: the released code lets the extra passes of the architecture step move the BatchNorm statistics.
    """

    def __init__(self, network: nn.Module, weights: Sequence[nn.Parameter], alphas: Sequence[nn.Parameter]) -> None:
        self.network = network
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        self.names = [names[id(parameter)] for parameter in (*weights, *alphas)]

    def __call__(self, weights: Sequence[Tensor], alphas: Sequence[Tensor], *inputs: Tensor) -> Tensor:
        """Apply the network to `inputs` with these weights and alphas in place of its own."""
        state = dict(zip(self.names, (*weights, *alphas), strict=True))
        state |= {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        return torch.func.functional_call(self.network, state, inputs)


def architecture_gradient(
    order: Order,
    train_loss: Loss,
    valid_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    terms: int = 1,
    **how: Any,
) -> tuple[Tensor, ...]:
    """Return the gradient of the validation loss over `alphas`, one tensor for each.

    order: 1 takes the weights as they are (xi = 0); 2 takes the mixed second derivative as a central difference with
        step eps / ||grad_w' L_val|| (Eq. 8); "exact" takes it by double backward. Beyond the paper, "implicit" and
        "unrolled" go further towards w*(alpha), see `repro.darts.hypergradient`.
    terms: of the Neumann series of "implicit", or virtual steps of "unrolled".
    how: of the virtual step, see `unrolled_terms`.
    """
    if order not in get_args(Order):
        raise ValueError(f"order={order!r} is none of {', '.join(map(repr, get_args(Order)))}")
    if order == 1:
        weights = [weight.detach() for weight in weights]
        return _grad(valid_loss(weights, alphas), alphas)
    if order in _BEYOND:
        gradient, takes = _BEYOND[order]
        how = {name: value for name, value in how.items() if name in takes}
        return gradient(train_loss, valid_loss, weights, alphas, terms, **how)
    direct, implicit = unrolled_terms(order, train_loss, valid_loss, weights, alphas, **how)
    return tuple(d - i for d, i in zip(direct, implicit, strict=True))


def unrolled_terms(
    order: Order,
    train_loss: Loss,
    valid_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    *,
    eps: float = 0.01,
    grad_clip: float = 0.0,
    precisely: Callable[[], AbstractContextManager[Any]] = nullcontext,
    **sgd: Any,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return both terms of Eq. 7, one tensor for each of `alphas`; the second one includes xi and is to be subtracted.

    order: 2 for the finite difference of Eq. 8, "exact" for double backward.
    grad_clip: largest norm of the virtual step's gradient and of grad_w' L_val (the released recurrent code); 0: any.
    precisely: holds while the finite difference is taken, for whose small step losses may compute too coarsely. The
        virtual step and the gradient over w' need no more precision than a step of SGD.
    sgd: xi and the other options of `virtual_step`.
    """
    weights = [weight.detach().requires_grad_() for weight in weights]
    exact = order == "exact"
    held = alphas if exact else [alpha.detach() for alpha in alphas]  # else their gradient would be computed too
    with differentiated_twice() if exact else nullcontext():
        slope = _grad(train_loss(weights, held), weights, create_graph=exact)
        step, coefficient = _clipped([part.detach() for part in slope], grad_clip)
        ahead = virtual_step(weights, step, **sgd)
        gradient = _grad(valid_loss(ahead, alphas), (*alphas, *ahead))
        direct, vector = gradient[: len(alphas)], _clipped(gradient[len(alphas) :], grad_clip)[0]
        del ahead, step, gradient
        if exact:
            implicit = torch.autograd.grad(slope, alphas, vector, materialize_grads=True)  # double backward
        else:
            with precisely():
                implicit = finite_difference(train_loss, weights, alphas, vector, eps)
    # The released recurrent code scales the implicit term by the coefficient that clipped the virtual step.
    return direct, tuple(sgd["xi"] * coefficient * term for term in implicit)


def virtual_step(
    weights: Sequence[Tensor],
    gradient: Sequence[Tensor],
    *,
    xi: float | Tensor,
    momentum: float = 0.0,
    buffers: Sequence[Tensor] | None = None,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    """Return w' = w - xi (momentum * buffer + gradient + weight_decay * w): the next step of `torch.optim.SGD`.

    buffers: those of SGD's momentum, one for each weight; None before its first step.
    """
    with torch.no_grad():
        step = torch._foreach_add(list(gradient), list(weights), alpha=weight_decay)
        if momentum and buffers is not None:
            torch._foreach_add_(step, list(buffers), alpha=momentum)
        torch._foreach_mul_(step, xi)
        return [ahead.requires_grad_() for ahead in torch._foreach_sub(list(weights), step)]


def finite_difference(
    loss: Loss, weights: Sequence[Tensor], alphas: Sequence[Tensor], vector: Sequence[Tensor], eps: float
) -> tuple[Tensor, ...]:
    """Return grad^2_{alpha, w} L . vector as a central difference along `vector` (Eq. 8); its error is O(eps^2).

    Equals `darts.plain.hessian_vector_product`; held by `test_bilevel.py::test_the_unrolled_gradient_is_the_plain_one`.
    """
    step = eps / _norm(vector)
    shift = torch._foreach_mul(list(vector), step)
    with torch.no_grad():
        forward = torch._foreach_add(list(weights), shift)
    plus = _grad(loss(forward, alphas), alphas)
    with torch.no_grad():
        torch._foreach_sub_(forward, shift, alpha=2)
    minus = _grad(loss(forward, alphas), alphas)
    return tuple((p - m) / (2 * step) for p, m in zip(plus, minus, strict=True))


def _grad(loss: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs, create_graph=create_graph, materialize_grads=True)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))


def _clipped(tensors: Sequence[Tensor], largest: float) -> tuple[Sequence[Tensor], float | Tensor]:
    """Scale `tensors` to a joint norm of at most `largest`, if that is not 0; return them and the coefficient."""
    if not largest:
        return tensors, 1.0
    coefficient = (largest / (_norm(tensors) + 1e-6)).clamp(max=1.0)
    return torch._foreach_mul(list(tensors), coefficient), coefficient
