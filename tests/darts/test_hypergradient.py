"""Gradients beyond one step: closed forms, one step is Eq. 7, many are those of the converged problem."""

import pytest
import torch

from repro.darts.bilevel import architecture_gradient
from repro.experiments.toy import train_loss, valid_loss


@pytest.fixture
def ridge():
    """A ridge problem in float64, its penalties exp(alpha): losses, the least-squares weights, their exact gradient."""
    draw = torch.Generator().manual_seed(5)
    (x, y), (x_valid, y_valid) = ([torch.randn(n, d, generator=draw).double() for d in (4, 1)] for n in (20, 15))
    alpha = torch.randn(4, generator=draw).double().requires_grad_()

    def train(w, a):
        return ((x @ w[0] - y) ** 2).mean() + (a[0].exp() * w[0][:, 0] ** 2).sum()

    def valid(w, a):
        return ((x_valid @ w[0] - y_valid) ** 2).mean()

    best = torch.linalg.solve(x.T @ x / len(x) + alpha.exp().diag(), x.T @ y / len(x))
    return train, valid, [best.detach()], [alpha], torch.autograd.grad(valid([best], [alpha]), alpha)[0]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_unrolled_toy_is_its_closed_form(steps):
    alpha, weight = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (2.0, -2.0))
    xi, left = 0.1, 0.8**steps  # each step brings w nearer to alpha by 1 - 2 xi
    (gradient,) = architecture_gradient("unrolled", train_loss, valid_loss, [weight], [alpha], steps, xi=xi)
    ahead = 2.0 - 4.0 * left
    assert gradient.item() == pytest.approx(ahead + 2.0 * (1 - left) - 2, abs=1e-12)


@pytest.mark.parametrize("order", ["implicit", "unrolled"])
def test_errors_at_the_minimum_fall_with_the_terms_until_the_gradient_is_exact(ridge, order):
    train, valid, weights, alphas, exact = ridge
    errors = [
        (architecture_gradient(order, train, valid, weights, alphas, terms, xi=0.05)[0] - exact).norm() / exact.norm()
        for terms in (1, 2, 5, 20, 400)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1
    assert errors[-1] < 1e-9


def test_both_are_one_number_at_the_minimum(ridge):
    """Where w no longer moves, going back through K steps is summing K terms."""
    train, valid, weights, alphas, _ = ridge
    for terms in (1, 3):
        both = [
            architecture_gradient(order, train, valid, weights, alphas, terms, xi=0.05)[0]
            for order in ("implicit", "unrolled")
        ]
        torch.testing.assert_close(*both, rtol=1e-12, atol=1e-14)


def test_one_unrolled_step_is_the_exact_order_with_momentum_and_decay(ridge):
    train, valid, weights, alphas, _ = ridge
    how = {"xi": 0.1, "momentum": 0.9, "weight_decay": 0.01, "buffers": [torch.ones_like(weights[0])]}
    weights = [weights[0] + 1]
    one, exact = (
        architecture_gradient(order, train, valid, weights, alphas, **how)[0] for order in ("unrolled", "exact")
    )
    torch.testing.assert_close(one, exact, rtol=1e-12, atol=1e-14)


def test_unrolled_steps_are_those_of_sgd(ridge):
    train, valid, weights, alphas, _ = ridge
    how = {"xi": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    here = [weights[0] + 1]
    gradient = architecture_gradient("unrolled", train, valid, here, alphas, 3, buffers=None, **how)[0]

    def after(alpha):
        ahead = torch.nn.Parameter(here[0].clone())
        sgd = torch.optim.SGD([ahead], 0.1, 0.9, weight_decay=0.01)
        for _ in range(3):
            ahead.grad = torch.autograd.grad(train([ahead], [alpha]), ahead)[0]
            sgd.step()
        return valid([ahead.detach()], [alpha]).item()

    for index in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[index] = 1e-5
        slope = (after(alphas[0].detach() + shift) - after(alphas[0].detach() - shift)) / 2e-5
        assert gradient[index].item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_weight_decay_is_a_part_of_the_curvature(ridge):
    """Given to SGD or written into the loss, it is one and the same."""
    train, valid, weights, alphas, _ = ridge
    inside = lambda w, a: train(w, a) + 0.05 * (w[0] ** 2).sum()
    for order in ("implicit", "unrolled"):
        one = architecture_gradient(order, train, valid, weights, alphas, 3, xi=0.05, weight_decay=0.1)[0]
        other = architecture_gradient(order, inside, valid, weights, alphas, 3, xi=0.05)[0]
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
