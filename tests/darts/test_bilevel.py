"""The architecture gradient against laws: closed forms, convergence order, SGD's own step, nothing touched."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from repro.configs.toy import BilevelToy
from repro.darts import plain
from repro.darts.bilevel import Functional, architecture_gradient, finite_difference, virtual_step
from repro.darts.plain_networks import SearchNetwork
from repro.experiments.toy import fixed_point, train_loss, trajectory, valid_loss
from repro.settings import PACKAGE
from repro.training.clipping import clip_gradients


@pytest.fixture
def smooth():
    """A smooth nonlinear problem in float64: weights, alphas, training and validation loss."""
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    weights, alphas = [draw(5, 4), draw(4)], [draw(3, 5).requires_grad_(), draw(3).requires_grad_()]
    inputs = {"train": draw(7, 3), "valid": draw(6, 3)}

    def loss(part):
        def value(w, a):
            hidden = torch.tanh(inputs[part] @ (a[0] * a[1].exp()[:, None]))
            return (torch.sin(hidden @ w[0] + w[1]) ** 2).mean()

        return value

    return weights, alphas, loss("train"), loss("valid")


def test_toy_gradient_is_the_closed_form():
    alpha = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(-2.0, dtype=torch.float64)
    for order in (2, "exact"):
        (gradient,) = architecture_gradient(order, train_loss, valid_loss, [weight], [alpha], xi=0.1)
        assert gradient.item() == pytest.approx(-2.8, abs=1e-9)  # w' + 2 xi alpha - 2 with w' = w - 2 xi (w - alpha)


@pytest.mark.parametrize("order", [2, "exact"])
@pytest.mark.parametrize("xi", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_toy_descent_rests_at_its_analytic_fixed_point(xi, order):
    alphas, weights = trajectory(BilevelToy(order=order), xi)
    assert alphas[-1] == pytest.approx(fixed_point(xi), abs=1e-8)
    assert weights[-1] == pytest.approx(fixed_point(xi), abs=1e-8)


def test_first_order_is_second_order_at_xi_zero(smooth):
    weights, alphas, train, valid = smooth
    for order in (2, "exact"):
        pairs = zip(
            architecture_gradient(1, train, valid, weights, alphas, xi=0.3),
            architecture_gradient(order, train, valid, weights, alphas, xi=0.0),
            strict=True,
        )
        for first, other in pairs:
            torch.testing.assert_close(first, other, rtol=0, atol=0)


def test_exact_gradient_is_the_derivative_of_the_unrolled_loss(smooth):
    weights, alphas, train, valid = smooth
    xi = 0.2
    ours = architecture_gradient("exact", train, valid, weights, alphas, xi=xi)
    tracked = [w.clone().requires_grad_() for w in weights]
    slope = torch.autograd.grad(train(tracked, alphas), tracked, create_graph=True)
    unrolled = valid([w - xi * g for w, g in zip(tracked, slope, strict=True)], alphas)
    for mine, autograd in zip(ours, torch.autograd.grad(unrolled, alphas), strict=True):
        torch.testing.assert_close(mine, autograd, rtol=1e-12, atol=1e-14)


def test_finite_difference_converges_with_order_two(smooth):
    weights, alphas, train, valid = smooth
    exact = architecture_gradient("exact", train, valid, weights, alphas, xi=0.2)
    errors = []
    for eps in (0.1, 0.05, 0.025):
        approximate = architecture_gradient(2, train, valid, weights, alphas, xi=0.2, eps=eps)
        errors.append(max((a - b).abs().max().item() for a, b in zip(approximate, exact, strict=True)))
    assert errors[0] > 1e-7
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.05)


def test_finite_difference_divides_by_twice_the_step(smooth):
    weights, alphas, train, _ = smooth
    vector = [torch.ones_like(weight) for weight in weights]
    tracked = [w.clone().requires_grad_() for w in weights]
    slope = torch.autograd.grad(train(tracked, alphas), tracked, create_graph=True)
    exact = torch.autograd.grad(slope, alphas, vector)
    for ours, truth in zip(finite_difference(train, weights, alphas, vector, 1e-4), exact, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_unrolled_gradient_is_the_plain_one(momentum):
    """Eq. 7 with Eq. 8, at the start, and after a step, which leaves momentum."""
    torch.manual_seed(0)
    network = SearchNetwork(2, 3, 3, 1, in_channels=1).double()
    network.alphas = [torch.randn(2, 8).double().requires_grad_() for _ in range(2)]
    weights = dict(network.named_parameters())
    optimizer = torch.optim.SGD(weights.values(), 0.1, momentum, weight_decay=0.02)
    batches = [(torch.randn(4, 1, 8, 8).double(), torch.randint(3, (4,))) for _ in range(2)]

    def loss(batch):
        def value(w, alphas):
            network.alphas = list(alphas)
            return cross_entropy(
                torch.func.functional_call(network, dict(zip(weights, w, strict=True)), batch[0]), batch[1]
            )

        return value

    alphas = network.alphas
    for _ in range(2):
        network.alphas = alphas
        expected = plain.unrolled_gradient(network, optimizer, *batches)
        buffers = [optimizer.state[weight].get("momentum_buffer") for weight in weights.values()]
        how = {"momentum": momentum, "buffers": None if None in buffers else buffers, "weight_decay": 0.02}
        found = architecture_gradient(2, *map(loss, batches), list(weights.values()), alphas, xi=0.1, **how)
        for part, other in zip(found, expected, strict=True):
            torch.testing.assert_close(part, other, rtol=1e-8, atol=1e-10)
        plain.loss(network, batches[0]).backward()
        optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_virtual_step_is_what_sgd_does(smooth, momentum):
    weights, alphas, train, _ = smooth
    actual = [nn.Parameter(weight.clone()) for weight in weights]
    optimizer = torch.optim.SGD(actual, lr=0.1, momentum=momentum, weight_decay=0.03)
    for _ in range(3):
        gradient = torch.autograd.grad(train(actual, alphas), actual)
        buffers = [optimizer.state[weight].get("momentum_buffer") for weight in actual]
        ahead = virtual_step(
            actual, gradient, xi=0.1, momentum=momentum, buffers=None if None in buffers else buffers, weight_decay=0.03
        )
        for weight, part in zip(actual, gradient, strict=True):
            weight.grad = part
        optimizer.step()
        for weight, guess in zip(actual, ahead, strict=True):
            torch.testing.assert_close(weight.detach(), guess.detach(), rtol=1e-14, atol=1e-15)


def test_clipping_scales_the_implicit_term(smooth):
    """As in the released recurrent code: the virtual step and v clipped, the implicit term times the coefficient."""
    weights, alphas, train, valid = smooth
    clip, xi = 0.01, 0.2
    tracked = [w.clone().requires_grad_() for w in weights]
    slope = torch.autograd.grad(train(tracked, alphas), tracked, create_graph=True)
    norm = torch.cat([g.flatten() for g in slope]).norm().item()
    coefficient = clip / (norm + 1e-6)
    assert coefficient < 1
    ahead = [(w - xi * coefficient * g).detach().requires_grad_() for w, g in zip(weights, slope, strict=True)]
    loss = valid(ahead, alphas)
    direct = torch.autograd.grad(loss, alphas, retain_graph=True)
    vector = torch.autograd.grad(loss, ahead)
    scale = min(1.0, clip / (torch.cat([v.flatten() for v in vector]).norm().item() + 1e-6))
    implicit = torch.autograd.grad(slope, alphas, [v * scale for v in vector])
    ours = architecture_gradient("exact", train, valid, weights, alphas, xi=xi, grad_clip=clip)
    for mine, d, i in zip(ours, direct, implicit, strict=True):
        torch.testing.assert_close(mine, d - xi * coefficient * i, rtol=1e-10, atol=1e-13)


def test_a_largest_norm_of_0_clips_nothing(smooth):
    """In every training, since there is no other clipping than these two."""
    weights, alphas, train, valid = smooth
    found = [architecture_gradient("exact", train, valid, weights, alphas, xi=0.2, grad_clip=clip) for clip in (0, 1e9)]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 1e6)
    clip_gradients([parameter], 0)
    assert parameter.grad.eq(1e6).all()
    clipping = {path.stem for path in PACKAGE.rglob("*.py") if "clip_grad_norm_" in path.read_text()}
    assert clipping == {"clipping", "plain", "verify_cnn"}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(4))
        self.body = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))

    def forward(self, x):
        return self.body(x) * self.alpha.softmax(0)


@pytest.mark.parametrize("order", [1, 2, "exact"])
def test_nothing_is_touched(order):
    torch.manual_seed(0)
    network, x = Net(), torch.randn(8, 6)
    weights, alphas = list(network.body.parameters()), [network.alpha]
    before = copy.deepcopy(network.state_dict())
    call = Functional(network, weights, alphas)
    loss = lambda w, a: call(w, a, x).square().mean()
    architecture_gradient(order, loss, loss, weights, alphas, xi=0.1)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in network.parameters())


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order=3 is none of 1, 2, 'exact'"):
        architecture_gradient(3, None, None, [], [], xi=0.1)


@pytest.mark.parametrize("order", [1, 2, "exact"])
def test_alphas_of_a_kind_of_cell_that_is_not_there_stay(order, smooth):
    weights, alphas, train, valid = smooth
    unused = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    gradient = architecture_gradient(order, train, valid, weights, [*alphas, unused], xi=0.1)
    assert torch.equal(gradient[-1], torch.zeros_like(unused))
    assert all(part.abs().sum() > 0 for part in gradient[:-1])
