"""The study of architecture gradients: its exact gradient against closed forms and differences, its rows."""

import pytest
import torch

from repro.experiments import hypergradient_truth as study


def test_the_exact_gradient_of_figure_2_is_its_closed_form():
    problem = study.figure_2()
    best = problem.minimum(problem.weights)
    assert best.item() == pytest.approx(2.0, abs=1e-8)  # w = alpha
    exact = problem.exact(best, problem.hessian(best))
    assert exact.item() == pytest.approx(2 * (2.0 - 1), abs=1e-7)  # of (alpha - 1)^2


@pytest.mark.parametrize("make", [study.ridge, lambda: study.network(2)])
def test_the_exact_gradient_is_the_slope_of_the_converged_loss(make):
    torch.manual_seed(1)
    problem = make()
    best = problem.minimum(problem.weights)
    exact = problem.exact(best, problem.hessian(best))
    for index in range(2):
        ends = []
        for sign in (1, -1):
            moved = problem.alpha.detach().clone()
            moved[index] += sign * 1e-2
            there = study.Problem("moved", problem.train, problem.valid, best, moved)
            ends.append(problem.valid([there.minimum(best)], [moved]).item())
        assert exact[index].item() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=2e-3, abs=1e-6)
