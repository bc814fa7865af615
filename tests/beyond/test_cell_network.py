"""NAS-Bench-201's networks: laws of the mixture and of its paths, and the bilevel step on them."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from repro.beyond.cell_network import Cell, CellNetwork, average
from repro.darts import plain
from repro.darts.cnn.search import ImageSearch
from repro.spaces.nas_bench import EDGES_201, OPERATIONS_201, SPACE_201
from repro.spaces.space import PathSampler
from repro.spos.path_training import PathJudge, path_training

GENES = [(1,) * 6, (3, 2, 4, 1, 0, 3), (0,) * 6, (2, 3, 3, 4, 1, 2)]


def network(seed=0, channels=3, cells=1):
    torch.manual_seed(seed)
    found = CellNetwork(channels, 5, cells, in_channels=1).double()
    found.alpha.data.normal_()
    return found


def batch(n=6, side=8):
    return torch.randn(n, 1, side, side).double(), torch.arange(n) % 5


def module(cell, edge, name):
    """An operation of an edge as a module of its own, with the weights of `cell`."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    if name == "none":
        return lambda x: torch.zeros_like(x)
    held = cell.convs[edge][0 if name == "nor_conv_1x1" else 1]
    conv = nn.Conv2d(*held.weight.shape[:2], held.kernel, padding=held.kernel // 2, bias=False).double()
    conv.weight = held.weight
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(len(held.weight), affine=False).double())


def one_module_each(cell, x, weigh):
    """The cell by its definition: node j is the sum over i < j of what `weigh` makes of all operations on (i, j)."""
    states = [x]
    for node in (1, 2, 3):
        edges = [(edge, source) for edge, (target, source) in enumerate(EDGES_201) if target == node]
        states.append(
            sum(
                weigh(edge, [module(cell, edge, name)(states[source]) for name in OPERATIONS_201])
                for edge, source in edges
            )
        )
    return states[-1]


def test_a_cell_computes_its_definition():
    torch.manual_seed(0)
    cell, x = Cell(3).double(), torch.randn(4, 3, 5, 7).double()
    p = torch.randn(6, 5).double().softmax(1)
    mixed = one_module_each(cell, x, lambda edge, outputs: sum(w * y for w, y in zip(p[edge], outputs, strict=True)))
    assert torch.allclose(cell(x, p), mixed, rtol=1e-10)
    for gene in GENES:
        assert torch.allclose(
            cell(x, gene), one_module_each(cell, x, lambda edge, y, gene=gene: y[gene[edge]]), rtol=1e-10
        )


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 2, 5), (1, 2, 8, 8)])
def test_pooling_is_that_of_pytorch(shape):
    x = torch.randn(shape).double()
    assert torch.allclose(average(x), nn.AvgPool2d(3, 1, 1, count_include_pad=False)(x), rtol=1e-12)


@pytest.mark.parametrize("gene", GENES)
def test_the_mixture_at_a_one_hot_alpha_is_the_plain_cell(gene):
    net, (x, _) = network(cells=2), batch()
    net.alpha.data.fill_(-torch.inf)
    net.alpha.data[torch.arange(6), torch.tensor(gene)] = 0.0
    for mode in (net.train(), net.eval()):
        assert torch.allclose(mode(x), mode(x, gene), rtol=1e-10)
    assert net.derived() == gene


def test_a_temperature_near_zero_makes_the_mixture_its_derived_cell():
    net, (x, _) = network(), batch()
    net.temperature.fill_(1e-4)
    assert torch.allclose(net(x), net(x, net.derived()), rtol=1e-8)


class AsWritten(CellNetwork):
    """The network as the plain code wants it: its parameters are w alone."""

    def parameters(self, recurse=True):
        return (parameter for name, parameter in self.named_parameters() if name != "alpha")


@pytest.mark.parametrize("order", [1, 2])
def test_steps_of_the_search_are_those_of_algorithm_1(order):
    """The same bilevel step as in DARTS's own space, held to the paper's in plain code."""
    found, expected = network(), network()
    expected.__class__ = AsWritten
    optimizers = [
        (
            torch.optim.SGD(each.weights(), 0.05, 0.9, weight_decay=0.01),
            torch.optim.Adam(each.alphas, 0.01, (0.5, 0.999)),
        )
        for each in (found, expected)
    ]
    search = ImageSearch(found, *optimizers[0], order=order, grad_clip=0.5)
    for _ in range(3):
        batches = [batch(), batch()]
        search.step(*batches)
        plain.search_step(expected, *optimizers[1], *batches, order=order, grad_clip=0.5)
    assert torch.allclose(found.alpha, expected.alpha, rtol=1e-6)
    for one, other in zip(found.weights(), expected.weights(), strict=True):
        assert torch.allclose(one, other, rtol=1e-6)


def test_the_exact_order_is_the_limit_of_the_second():
    net, batches = network(), [batch(), batch()]
    search = ImageSearch(net, torch.optim.SGD(net.weights(), 0.05), torch.optim.Adam(net.alphas), order=2, eps=1e-6)
    assert search.cosine(*batches) > 1 - 1e-9


def test_a_step_along_a_path_moves_that_path_alone():
    net = network()
    trainer = path_training(net, PathSampler(net.space, 1), 20, lr=0.1, weight_decay=0.01)
    for _ in range(6):
        before = {id(p): p.detach().clone() for p in net.parameters()}
        gene = PathSampler(net.space, 0)
        gene.load_state_dict(trainer.sampler.state_dict())
        on = {id(p) for p, _ in net.path(gene())}
        x, y = batch()
        trainer.step(x, y)
        for parameter in net.parameters():
            moved = not torch.equal(parameter, before[id(parameter)])
            assert not moved or id(parameter) in on
        assert not torch.equal(net.stem.weight, before[id(net.stem.weight)])


def test_a_path_is_judged_with_statistics_of_its_own():
    net = network()
    judge = PathJudge(net, *(torch.randn(n, 1, 8, 8).double() for n in (32, 10)), torch.arange(10) % 5, lambda x: x)
    first = judge(GENES[1])
    judge(GENES[3])
    assert judge(GENES[1]) == first


def test_the_space_has_15625_cells_each_once():
    genes = list(SPACE_201.genes())
    assert len(genes) == len({*genes}) == SPACE_201.count == 5**6


def test_the_gradient_of_alpha_is_that_of_finite_differences():
    net, (x, y) = network(), batch()
    (slope,) = torch.autograd.grad(cross_entropy(net(x), y), net.alphas)
    step = torch.randn_like(slope)
    with torch.no_grad():
        net.alpha += 1e-5 * step
        plus = cross_entropy(net(x), y)
        net.alpha -= 2e-5 * step
        minus = cross_entropy(net(x), y)
    assert ((plus - minus) / 2e-5).item() == pytest.approx((slope * step).sum().item(), rel=1e-5)
