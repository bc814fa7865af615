"""Architecture gradients against the exact one of the converged problem, on problems small enough to have it.

Figure 2 of DARTS, a ridge regression with a penalty for each feature as alpha, and a network of one hidden layer whose
activation is a mixture, with softmax(alpha) as in Eq. 2. All in float64.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from repro.configs.hypergradient import HypergradientTruth
from repro.darts.bilevel import architecture_gradient
from repro.darts.hypergradient import Loss
from repro.errors import ReproError
from repro.experiments import toy
from repro.runs.run import Run
from repro.training import devices

# No ReLU: at a kink, where descent likes to end, there is no Hessian
ACTIVATIONS = (torch.tanh, softplus, torch.sigmoid, lambda x: x)
DECAY = 0.01  # of the network's weights, a part of its training loss: it makes the minimum a point
PRECISE = 1e-7  # norm of the slope at what passes for the minimum


@dataclass(frozen=True)
class Problem:
    """Both losses, w as one vector where descent starts, and alpha as one vector."""

    name: str
    train: Loss
    valid: Loss
    weights: Tensor
    alpha: Tensor

    def slope(self, weights: Tensor) -> Tensor:
        """Return grad_w L_train."""
        weights = weights.detach().requires_grad_()
        return torch.autograd.grad(self.train([weights], [self.alpha.detach()]), weights)[0]

    def minimum(self, weights: Tensor) -> Tensor:
        """Return w*(alpha): where the training loss is least, downhill from `weights`."""
        best = weights.clone().requires_grad_()
        how = {"max_iter": 5000, "history_size": 50, "line_search_fn": "strong_wolfe"}
        optimizer = torch.optim.LBFGS([best], tolerance_grad=PRECISE / 100, tolerance_change=0, **how)

        def closure() -> Tensor:
            best.grad = self.slope(best)
            return self.train([best], [self.alpha]).detach()

        optimizer.step(closure)
        if (slope := self.slope(best).norm().item()) > PRECISE:
            raise ReproError(f"{self.name}: no minimum was reached, its slope is {slope:.1e}: take another seed")
        return best.detach()

    def hessian(self, weights: Tensor) -> Tensor:
        """Return the second derivatives of the training loss over w, (weights, weights)."""
        return torch.autograd.functional.hessian(lambda w: self.train([w], [self.alpha.detach()]), weights)

    def exact(self, best: Tensor, hessian: Tensor) -> Tensor:
        """Return dL_val(w*(alpha), alpha) / dalpha by the implicit function theorem, with the whole Hessian."""
        best = best.clone().requires_grad_()
        direct, vector = torch.autograd.grad(
            self.valid([best], [self.alpha]), (self.alpha, best), materialize_grads=True
        )
        (slope,) = torch.autograd.grad(self.train([best], [self.alpha]), best, create_graph=True)
        solved = torch.linalg.solve(hessian, vector)
        return direct - torch.autograd.grad(slope, self.alpha, solved, materialize_grads=True)[0]


def compare(params: HypergradientTruth, run: Run) -> dict[str, Any]:
    """Compare all gradients with the exact one, while w descends and at its minimum; one row each in metrics.jsonl.

    `relative_error` is the norm of the difference over that of the exact gradient; xi is one over the largest
    eigenvalue of the Hessian at the minimum, the fastest rate at which descent is sure.
    """
    devices.pick("cpu", params.threads)
    devices.seed_everything(params.seed)
    small = network(params.hidden)
    run.restart([])
    for problem in (figure_2(), ridge(), small):
        for row in _rows(problem, params):
            run.log(row)
    found = [row for row in run.metrics() if row["problem"] == small.name and row["after"] is None]
    errors = {row["method"]: row["relative_error"] for row in found}
    return {"errors": errors, "seconds": _seconds(small, params), "threads": torch.get_num_threads()}


def figure_2() -> Problem:
    """Return the problem of DARTS's Figure 2, where the paper starts: alpha = 2, w = -2."""
    weights, alpha = (torch.tensor([value], dtype=torch.float64) for value in (-2.0, 2.0))
    train = lambda w, a: toy.train_loss(w, a).sum()
    return Problem("Figure 2", train, lambda w, a: toy.valid_loss(w, a).sum(), weights, alpha.requires_grad_())


def ridge() -> Problem:
    """Return a regression on scikit-learn's diabetes data, alpha being the logarithm of each feature's penalty."""
    x, y = (torch.as_tensor(value, dtype=torch.float64) for value in load_diabetes(return_X_y=True))
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    halves = [(x[part::2], y[part::2]) for part in (0, 1)]

    def error(half: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
        return (half[0] @ weights - half[1]).square().mean()

    def train(weights: list[Tensor], alphas: list[Tensor]) -> Tensor:
        return error(halves[0], weights[0]) + (alphas[0].exp() * weights[0].square()).sum()

    alpha = torch.full((x.shape[1],), -2.0, dtype=torch.float64, requires_grad=True)
    valid = lambda w, a: error(halves[1], w[0]) + 0 * a[0].sum()  # so that its gradient over alpha is zero, not missing
    return Problem("ridge", train, valid, torch.zeros_like(x[0]), alpha)


def network(hidden: int) -> Problem:
    """Return a classifier of scikit-learn's digits, (N, 64) -> (N, 10), with a mixture of activations between."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.as_tensor(x, dtype=torch.float64)[:400] / 16, torch.as_tensor(y)[:400]
    shapes = ((64, hidden), (hidden,), (hidden, 10), (10,))
    sizes = [torch.Size(shape).numel() for shape in shapes]

    def loss(part: int, weights: list[Tensor], alphas: list[Tensor]) -> Tensor:
        into, shift, out, bias = (each.view(shape) for each, shape in zip(weights[0].split(sizes), shapes, strict=True))
        before = x[part::2] @ into + shift  # (N, hidden)
        mixed = sum(p * act(before) for p, act in zip(alphas[0].softmax(0), ACTIVATIONS, strict=True))
        return cross_entropy(mixed @ out + bias, y[part::2])

    def train(weights: list[Tensor], alphas: list[Tensor]) -> Tensor:
        return loss(0, weights, alphas) + DECAY / 2 * weights[0].square().sum()

    start = torch.cat([torch.randn(shape, dtype=torch.float64).flatten() * 0.3 for shape in shapes])
    alpha = torch.zeros(len(ACTIVATIONS), dtype=torch.float64, requires_grad=True)
    return Problem("network", train, lambda w, a: loss(1, w, a), start, alpha)


def methods(terms: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Return what is compared: the orders of the paper, then those beyond it with every number of terms."""
    papers = {"first order": {"order": 1}, "second order": {"order": 2}, "one step": {"order": "exact"}}
    return papers | {f"{order} {k}": {"order": order, "terms": k} for order in ("implicit", "unrolled") for k in terms}


def _rows(problem: Problem, params: HypergradientTruth) -> Iterator[dict[str, Any]]:
    """Go through the points on the way to the minimum, the minimum itself last (its `after` is None)."""
    best = problem.minimum(problem.weights)
    hessian = problem.hessian(best)
    exact, xi = problem.exact(best, hessian), 1 / torch.linalg.eigvalsh(hessian)[-1].item()
    weights, points = problem.weights, {}
    for step in range(max(params.after) + 1):
        points |= {step: weights} if step in params.after else {}
        weights = weights - xi * problem.slope(weights)
    for after, point in [*points.items(), (None, best)]:
        for name, how in methods(params.terms_seen).items():
            gradient = _gradient(problem, point, xi, how)
            error, cosine = (gradient - exact).norm() / exact.norm(), torch.cosine_similarity(gradient, exact, dim=0)
            row = {"problem": problem.name, "after": after, "method": name}
            yield {**row, "relative_error": error.item(), "cosine": cosine.item(), "xi": xi}


def _gradient(problem: Problem, weights: Tensor, xi: float, how: dict[str, Any]) -> Tensor:
    return architecture_gradient(
        train_loss=problem.train, valid_loss=problem.valid, weights=[weights], alphas=[problem.alpha], xi=xi, **how
    )[0]


def _seconds(problem: Problem, params: HypergradientTruth) -> dict[str, float]:
    """Return the seconds of each gradient, the fastest of several taken in turn."""
    kinds: dict[str, Callable[[], Tensor]] = {
        name: lambda how=how: _gradient(problem, problem.weights, 0.1, how)
        for name, how in methods(params.terms_seen).items()
    }
    turns = [
        {name: devices.timed(kind, torch.device("cpu"))[1] for name, kind in kinds.items()}
        for _ in range(params.repeats + 1)
    ]
    return {name: min(turn[name] for turn in turns[1:]) for name in kinds}
