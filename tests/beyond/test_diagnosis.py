"""What is seen of a search: curvature against the whole Hessian, the gap, where to stop; it stays the search it was."""

import numpy as np
import pytest
import torch
from finished import run
from interruptions import interrupted
from torch.nn.functional import cross_entropy

from repro.beyond import diagnosis
from repro.beyond.cell_network import CellNetwork
from repro.beyond.diagnosis import largest_eigenvalue, stop
from repro.darts.bilevel import Functional
from repro.darts.cnn.search import ImageSearch
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.discretise import conv_genotype, discrete_alphas
from repro.darts.plain_networks import SearchNetwork as PlainSearchNetwork
from repro.errors import UsageError
from repro.experiments import cifar10_search
from repro.originals.cnn import load_released
from repro.spaces.genotypes import CONVOLUTIONAL

pytestmark = pytest.mark.usefixtures("folder")

NETWORKS = {
    "nas-bench-201": lambda: CellNetwork(2, 3, 1, in_channels=1),
    "darts": lambda: SearchNetwork(2, 3, 1, 1, in_channels=1),
}
SEARCH = {"images": 48, "batch": 12, "channels": 2, "epochs": 3}


def problem(name):
    """A network and its loss on a batch, as a function of w and alpha."""
    torch.manual_seed(0)
    network = NETWORKS[name]().double()
    for alpha in network.alphas:
        alpha.data.normal_()
    x, y = torch.randn(6, 1, 8, 8).double(), torch.arange(6) % 3
    functional = Functional(network, network.weights(), network.alphas)
    return network, lambda weights, alphas: cross_entropy(functional(weights, alphas, x), y)


def numeric_hessian(network, loss):
    """Central differences of the gradient, one alpha after another."""
    weights, rows, step = [w.detach() for w in network.weights()], [], 1e-6

    def slope():
        parts = torch.autograd.grad(loss(weights, network.alphas), network.alphas, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    for alpha in network.alphas:
        for entry in alpha.detach().view(-1):
            entry += step
            plus = slope()
            entry -= 2 * step
            rows.append((plus - slope()) / (2 * step))
            entry += step
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_eigenvalue_is_that_of_the_whole_hessian(name):
    network, loss = problem(name)
    hessian = numeric_hessian(network, loss)
    expected = np.linalg.eigvalsh((hessian + hessian.T) / 2).max()
    for how, tolerance in (("exact", 1e-4), ("power", 1e-2)):
        found = largest_eigenvalue(how, loss, network.weights(), network.alphas)
        assert found == pytest.approx(expected, rel=tolerance), how


@pytest.mark.parametrize("values", [[5.0, 1.0, -2.0], [1.0, -7.0, 0.5], [-3.0, -1.0, -2.0], [0.0, 0.0, 0.0]])
def test_power_iteration_finds_the_largest_and_not_the_farthest_from_0(values):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()).Q
    matrix = turn @ torch.diag(torch.tensor(values).double()) @ turn.T
    alpha = torch.randn(3).double().requires_grad_()
    for how in ("exact", "power"):
        found = largest_eigenvalue(how, lambda w, a: 0.5 * a[0] @ matrix @ a[0], [], [alpha])
        assert found == pytest.approx(max(values), abs=2e-2)


def test_a_search_stops_five_epochs_before_the_eigenvalue_has_risen():
    assert stop([1.0] * 30) is None
    assert stop([0.5, 1.0, 2.0]) is None
    rising = [1.0] * 10 + [2.0] * 10
    assert stop(rising) == 7  # after epoch 12 the mean of five is 1.4, and 1 / 1.4 is less than 0.75
    assert stop(rising[::-1]) is None


@pytest.mark.parametrize("name", ["nas-bench-201", "darts"])
def test_the_gap_is_0_where_alpha_is_one_hot_already(name):
    network, _ = problem(name)
    with torch.no_grad():
        for alpha, discrete in zip(network.alphas, network.discrete_alphas(), strict=True):
            alpha.copy_(discrete.clamp(min=-60))
    search = ImageSearch(network, torch.optim.SGD(network.weights(), 0.1), torch.optim.Adam(network.alphas))
    batches = [(torch.randn(12, 1, 8, 8).double(), torch.arange(12) % 3)]
    errors = {diagnosis.errors(search, alphas, batches)[0] for alphas in (network.alphas, network.discrete_alphas())}
    assert len(errors) == 1


def test_discrete_alphas_are_the_derived_cell():
    torch.manual_seed(0)
    alphas = [torch.randn(CONVOLUTIONAL.rows(4).start, 8) for _ in range(2)]
    discrete = [discrete_alphas(alpha) for alpha in alphas]
    shares = [each.softmax(1) for each in discrete]
    assert all(share.unique().tolist() == [0.0, 1.0] for share in shares)
    assert [int(share[:, 0].sum()) for share in shares] == [6, 6]  # of 14 edges 8 are retained
    derived = conv_genotype(*(each.clamp(min=-60) for each in discrete))
    assert {*derived.normal} == {*conv_genotype(*alphas).normal}


def test_darts_network_computes_the_derived_operations_alone():
    torch.manual_seed(0)
    plain = PlainSearchNetwork(2, 3, 3, 2, in_channels=1).double()
    network = SearchNetwork(2, 3, 3, 2, in_channels=1).double()
    load_released(network, plain.state_dict())
    for alpha in network.alphas:
        alpha.data.normal_()
    x = torch.randn(4, 1, 8, 8).double()
    plain.alphas = network.discrete_alphas()
    found = Functional(network, network.weights(), network.alphas)(network.weights(), network.discrete_alphas(), x)
    assert torch.allclose(found, plain(x), rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("nb201-search", {"eigenvalue": "exact"}), ("cifar10-search", {"nodes": 1, "eigenvalue": "power"})],
)
def test_a_search_that_is_looked_at_is_the_same_search(name, changes):
    alone = run(name, **SEARCH, **{key: value for key, value in changes.items() if key != "eigenvalue"})
    seen = run(name, **SEARCH, **changes, gap=True)
    for one, other in zip(alone.metrics(), seen.metrics(), strict=True):
        assert {"alpha_eigenvalue", "discrete_error"} == other.keys() - one.keys()
        assert all(one[key] == other[key] for key in one if key != "seconds")
    assert seen.result["stopped_epoch"] == 3  # the last: there are too few to see it rise
    assert seen.result["gap"] == seen.metrics()[-1]["discrete_error"] - seen.metrics()[-1]["valid_error"]


def test_a_look_ends_the_same_where_the_search_was_interrupted():
    changes = {**SEARCH, "eigenvalue": "exact", "gap": True, "temperature": 0.1}
    whole = run("nb201-search", **changes, seed=0)
    rows, result = whole.metrics(), whole.result
    for path in whole.path.glob("*"):
        path.unlink() if path.is_file() else None
    with interrupted(cifar10_search, "validate", 2):
        run("nb201-search", **changes, seed=0)
    again = run("nb201-search", **changes, seed=0)
    assert again.result == result
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in again.metrics()] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in rows
    ]


def test_a_hessian_of_too_many_alphas_is_refused_in_one_line():
    with pytest.raises(UsageError, match="the Hessian over 320 alphas takes as many.*give eigenvalue=power") as caught:
        run("cifar10-search", nodes=5, eigenvalue="exact")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="at most 256 are taken"):
        largest_eigenvalue("exact", None, [], [torch.zeros(20, 16)])
