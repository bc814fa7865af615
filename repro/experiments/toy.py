"""Figure 2 of DARTS: L_val = alpha w - 2 alpha + 1 and L_train = (w - alpha)^2, through `repro.darts.bilevel`."""

from typing import Any

import torch
from torch import Tensor

from repro.configs.toy import BilevelToy
from repro.darts.bilevel import architecture_gradient
from repro.runs.run import Run


def descend(params: BilevelToy, run: Run) -> dict[str, Any]:
    """Follow (alpha, w) for every xi; the path of each goes to trajectories.json, its end into the result."""
    paths = {xi: trajectory(params, xi) for xi in params.xi}
    rests = {xi: fixed_point(0.0 if params.order == 1 else xi) for xi in paths}  # first order is xi = 0
    rows = [
        {"xi": xi, "alpha": alphas, "weight": weights, "fixed_point": rests[xi]}
        for xi, (alphas, weights) in paths.items()
    ]
    run.save("trajectories.json", rows)
    return {"ends": [_end(xi, alphas[-1], weights[-1], rests[xi]) for xi, (alphas, weights) in paths.items()]}


def fixed_point(xi: float) -> float:
    """Return where descent comes to rest: alpha = w = 2 / (1 + 2 xi), since w = alpha makes the virtual step zero."""
    return 2 / (1 + 2 * xi)


def trajectory(params: BilevelToy, xi: float) -> tuple[list[float], list[float]]:
    """Return all alphas and all weights of one descent, the start included, in float64."""
    alpha = torch.tensor(params.alpha, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(params.weight, dtype=torch.float64, requires_grad=True)
    alphas, weights = [params.alpha], [params.weight]
    for _ in range(params.steps):
        (slope,) = architecture_gradient(params.order, train_loss, valid_loss, [weight], [alpha], xi=xi)
        with torch.no_grad():
            alpha -= params.alpha_lr * slope
        (slope,) = torch.autograd.grad(train_loss([weight], [alpha]), [weight])
        with torch.no_grad():
            weight -= params.weight_lr * slope
        alphas.append(alpha.item())
        weights.append(weight.item())
    return alphas, weights


def train_loss(weights: list[Tensor], alphas: list[Tensor]) -> Tensor:
    """Return L_train = (w - alpha)^2, least at w = alpha."""
    return (weights[0] - alphas[0]) ** 2


def valid_loss(weights: list[Tensor], alphas: list[Tensor]) -> Tensor:
    """Return L_val = alpha w - 2 alpha + 1: on w = alpha it is (alpha - 1)^2, least at alpha = 1."""
    return alphas[0] * weights[0] - 2 * alphas[0] + 1


def _end(xi: float, alpha: float, weight: float, rest: float) -> dict[str, float]:
    loss = alpha * weight - 2 * alpha + 1
    return {"xi": xi, "alpha": alpha, "weight": weight, "valid_loss": loss, "fixed_point": rest}
