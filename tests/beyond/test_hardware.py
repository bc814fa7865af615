"""Hardware in the objective: what a cell costs, the term in alpha's loss, and searches with it beside hard limits."""

import json

import pytest
import torch
from finished import run
from torch import nn

from repro.beyond import hardware
from repro.beyond.cell_network import CellNetwork
from repro.configs.registry import find
from repro.darts.cnn.search import ImageSearch
from repro.darts.complexity import count_mult_adds
from repro.errors import ReproError, UsageError
from repro.runs.identity import resolve
from repro.runs.run import open_run
from repro.spaces.nas_bench import gene_201
from repro.training import devices

PATHS = {"images": 200, "batch": 20, "channels": 1, "epochs": 1, "valid_images": 50, "bn_images": 20, "ranked": 2}
EVOLUTION = {"generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1}
NAMED = "run:nb201-paths/" + ",".join(f"{key}={value}" for key, value in {**PATHS, **EVOLUTION}.items())
SEARCH = {"images": 32, "batch": 8, "channels": 1, "epochs": 2, "alpha_lr": 0.1}
FRONT = {**SEARCH, **EVOLUTION, "supernet": NAMED, "cost_weights": (0.0, 100.0), "cost_limits": (0.6, 1.0)}


@pytest.fixture
def counted(monkeypatch):
    """The n-th call that is timed in a round takes 2**n seconds, exactly."""

    def use(calls):
        count = iter(range(10**6))
        monkeypatch.setattr(devices, "timed", lambda call, device, clock: (call(), 2.0 ** (next(count) % calls)))

    return use


@pytest.mark.parametrize("cells", [1, 2])
def test_the_latency_of_a_network_is_the_sum_of_its_operations_and_of_what_is_fixed(cells, counted):
    network, gene = CellNetwork(2, cells=cells, in_channels=1), (0, 1, 2, 3, 4, 3)
    counted(20)  # stem, 5 cells; twice a reduction and 5 cells; head, and one whole network
    cost, whole = hardware.measure(network, [gene], torch.randn(2, 1, 8, 8), 3, lambda: None)
    assert whole == [1e3 * 2.0**19]
    fixed = 2.0**0 + 2.0**6 + 2.0**12 + 2.0**18
    operations = sum(cells * 2.0 ** (1 + 6 * stage + choice) / 6 for stage in range(3) for choice in gene)
    assert cost(gene) == pytest.approx(1e3 * (fixed + operations), rel=1e-12)


@pytest.mark.parametrize("gene", [(0,) * 6, (3,) * 6, (1, 2, 3, 3, 2, 0)])
def test_multiply_adds_are_those_that_are_counted(gene):
    class Along(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = CellNetwork(4, cells=2)

        def forward(self, x):
            return self.network(x, gene)

    assert hardware.multiply_adds(CellNetwork(4, cells=2), 16)(gene) == count_mult_adds(Along(), 3, 16, 16)


def test_the_known_largest_network_of_the_benchmark_has_220_million():
    assert hardware.multiply_adds(CellNetwork(16), 32)((3,) * 6) / 1e6 == pytest.approx(220.12, abs=0.01)


def test_at_one_hot_alphas_the_expected_cost_is_the_share_of_the_cell():
    network = CellNetwork(2, cells=1, in_channels=1).double()
    shares = hardware.relative(hardware.multiply_adds(network, 8))
    assert shares((3,) * 6) == pytest.approx(1)
    assert shares(shares.cheapest()) == 0
    term = hardware.expected(network, shares, 0.5)
    for gene in ((3,) * 6, (0, 1, 2, 3, 4, 0)):
        alpha = torch.full((6, 5), -100.0).scatter(1, torch.tensor(gene)[:, None], 100.0).double()
        assert term([alpha]).item() == pytest.approx(0.5 * shares(gene))


@pytest.mark.parametrize("order", [1, 2, "exact"])
def test_the_term_adds_its_own_gradient_to_that_of_alpha_and_leaves_w_alone(order):
    torch.manual_seed(0)
    network = CellNetwork(2, 5, 1, in_channels=1).double()
    network.temperature.fill_(0.7)
    optimizer = torch.optim.SGD(network.weights(), 0.1)
    search = ImageSearch(network, optimizer, torch.optim.Adam(network.alphas), order)
    train, valid = ((torch.randn(6, 1, 8, 8).double(), torch.arange(6) % 5) for _ in range(2))
    (plain,) = search.gradient(train, valid)
    w = search.weight_gradient(train, search.weights)[0]
    cost = hardware.multiply_adds(network, 8)
    search.penalty = hardware.expected(network, hardware.relative(cost), 0.3)
    (penalised,) = search.gradient(train, valid)
    p, table = network.probabilities().detach(), torch.tensor(hardware.relative(cost).table)
    own = 0.3 * p * (table - (p * table).sum(1, keepdim=True)) / 0.7
    torch.testing.assert_close(penalised - plain, own, rtol=1e-6, atol=1e-9)
    assert search.weight_gradient(train, search.weights)[0] == w


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    """A folder of runs with a supernet in it."""
    folder = tmp_path_factory.mktemp("hardware")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_RUNS", str(folder))
        run("nb201-paths", **PATHS, **EVOLUTION)
        yield folder


def test_a_front_has_a_cell_for_each_weight_and_limit_and_weight_zero_is_the_plain_search(supernet):
    found, plain = run("hardware-front", **FRONT, cost="multiply-adds"), run("nb201-search", **SEARCH)
    without, heavy = found.result["darts"]
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in found.child("weight-0").metrics()]
    assert rows == [{k: v for k, v in row.items() if k != "seconds"} for row in plain.metrics()]
    assert without["cell"] == plain.result["cell"]
    assert heavy["share"] < without["share"]
    cost = hardware.multiply_adds(CellNetwork(1, cells=1, in_channels=1), 8)
    for cell in (*found.result["darts"], *found.result["spos"]):
        assert cell["cost"] == cost(gene_201(cell["cell"]))
    assert all(cell["share"] <= cell["limit"] for cell in found.result["spos"])
    genes = [tuple(row["gene"]) for row in found.child("paths").metrics()]
    assert len(set(genes)) == len(genes)  # what one limit has judged, the next remembers


def test_a_table_of_latencies_is_checked_and_never_used_elsewhere(supernet):
    found = run("hardware-front", **FRONT, rounds=2, networks=2)
    held = found.load("cost.json")
    assert held["checked"] == {name: found.result[name] for name in held["checked"]}
    assert len(held["rows"]) == 2
    for name, value in (("machine", "Another CPU"), ("threads", 16)):
        (found.path / "cost.json").write_text(json.dumps({**held, name: value}))
        with pytest.raises(ReproError, match=f"cost.json was made with {name}={value}, but here {name} is"):
            find("hardware-front").compute(found.params, found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cost_weights": (0.1, -1.0)}, r"cost_weights=-1.0 is out of range: it must be at least 0"),
        ({"supernet": "run:spos-supernet"}, "has no cells of this space: name run:nb201-paths"),
        ({"processes": 2}, "processes=2: a cost is measured in one process; take processes=1"),
    ],
)
def test_bad_parameters_are_one_line(changes, said):
    with pytest.raises(UsageError, match=said):
        resolve(find("hardware-front"), "smoke", changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"cost_limits": (0.9, -0.1)},
            r"a budget of -0.1 of the way to the dearest network's multiply-adds is below the cheapest network, "
            r"\[0, 0, 0, 0, 0, 0\], which costs 0: raise the budget",
        ),
        ({"channels": 2}, "was made with channels=1, but here channels is 2"),
    ],
)
def test_limits_that_no_network_meets_and_another_supernet_are_told_before_a_search(supernet, changes, said):
    refused = open_run(find("hardware-front"), "smoke", {**FRONT, "cost": "multiply-adds", **changes})
    with pytest.raises(ReproError, match=said):
        find("hardware-front").compute(refused.params, refused)
    assert not [*refused.path.glob("weight-*")]
