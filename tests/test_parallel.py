"""Several processes: the numbers of one process, every image counted once, and one line when something is wrong."""

import pytest
import torch
from processes import together
from torch import nn

from repro import parallel
from repro.genotypes import PUBLISHED
from repro.image_search import ImageSearch, SimultaneousSearch, validate
from repro.image_training import Average, ImageTraining
from repro.network import EvaluationNetwork
from repro.supernet import SearchNetwork

# ---- BatchNorm


def normalise(x, gradient, differentiable_twice=True):
    """Outputs, gradients, second derivatives and running statistics of BatchNorm on this process's part of x."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3, dtype=torch.float64))
    nn.init.normal_(network[0].weight)
    parallel.synchronise(network, differentiable_twice=differentiable_twice)
    part = parallel.mine(x).clone().requires_grad_()
    y = network(part)
    (slope,) = torch.autograd.grad((y * parallel.mine(gradient)).sum(), part, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.pow(3).sum(), part)
    return y.detach(), slope.detach(), curvature, network.state_dict()


@pytest.mark.parametrize(("images", "count"), [(4, 2), (5, 2), (3, 3)])
def test_batch_norm_takes_the_images_of_all_processes(tmp_path, images, count):
    torch.manual_seed(1)
    x, gradient = 5 + torch.randn(2, images, 3, 4, 4, dtype=torch.float64)
    y, slope, curvature, state = normalise(x, gradient)
    for rank, part in enumerate(together(tmp_path, count, normalise, x, gradient)):
        for ours, whole in zip(part[:3], (y, slope, curvature), strict=True):
            torch.testing.assert_close(ours, whole[rank::count], rtol=1e-9, atol=1e-9)
        for name, value in state.items():
            torch.testing.assert_close(part[3][name], value, rtol=1e-12, atol=1e-12)


def mix(x):
    """Moments of this process's rows of x, put together."""
    x = parallel.mine(x)
    mean = x.mean(dim=0)
    return parallel.moments(mean, (x - mean).mT @ (x - mean) / len(x), len(x))


def test_moments_of_parts_are_those_of_the_whole(tmp_path):
    x = 100 + torch.randn(7, 3, dtype=torch.float64)
    mean, covariance, count = mix(x)
    for part in together(tmp_path, 2, mix, x):
        torch.testing.assert_close(part[0], mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(part[1], covariance, rtol=1e-12, atol=1e-12)
        assert part[2] == count == 7


# ---- training


def batches(count, size=4, pixels=8):
    torch.manual_seed(3)
    return [(torch.randn(size, 3, pixels, pixels), torch.randint(0, 5, (size,))) for _ in range(count)]


def train(steps):
    """Losses of some training steps, the last one on fewer images, and the state after them."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(2)
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=2, classes=5, cells=3)
    parallel.synchronise(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=3e-4)
    training = ImageTraining(network, optimizer, clip=5.0, auxiliary=0.4, label_smoothing=0.1)
    losses = []
    for images, labels in [*batches(steps), *batches(1, size=3)]:
        average, labels = Average((1, 5)), parallel.mine(labels)
        average.add(*training.step(parallel.mine(images), labels), labels)
        losses.append(average.row("train")["train_loss"])
    torch.set_default_dtype(torch.float32)
    return losses, network.state_dict()


def search(order, steps):
    """Losses, alphas and weights of some search steps."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(2)
    network = SearchNetwork(channels=2, classes=5, cells=3, nodes=1)
    parallel.synchronise(network, differentiable_twice=True)
    weights = torch.optim.SGD(network.weights(), 0.1, 0.9, weight_decay=3e-4)
    alphas = torch.optim.Adam(network.alphas, 0.01)
    kind = SimultaneousSearch if order == "simultaneous" else ImageSearch
    searcher = kind(network, weights, alphas, order)
    losses, data = [], [*batches(2 * steps), *batches(2, size=3)]
    for train, valid in zip(data[::2], data[1::2], strict=True):
        train, valid = (tuple(map(parallel.mine, batch)) for batch in (train, valid))
        average = Average()
        average.add(*searcher.step(train, valid), train[1])
        losses.append(average.row("train")["train_loss"])
    images, labels = map(torch.cat, zip(*data, strict=True))
    losses.append(validate(searcher, images, labels, lambda x: x, batch=6)["valid_loss"])
    torch.set_default_dtype(torch.float32)
    return losses, network.state_dict()


def assert_same(ours, whole, tolerance):
    assert ours[0] == pytest.approx(whole[0], rel=tolerance, abs=tolerance)
    for name, value in whole[1].items():
        torch.testing.assert_close(ours[1][name], value, rtol=tolerance, atol=tolerance, msg=name)


def test_training_gives_the_losses_of_one_process(tmp_path):
    whole = train(2)
    for part in together(tmp_path, 2, train, 2):
        assert_same(part, whole, 1e-9)


@pytest.mark.parametrize("order", [1, 2, "exact", "simultaneous"])
def test_search_gives_the_losses_and_alphas_of_one_process(tmp_path, order):
    whole = search(order, 1)
    for part in together(tmp_path, 2, search, order, 1):
        assert_same(part, whole, 1e-6 if order == 2 else 1e-9)  # the finite difference amplifies rounding
