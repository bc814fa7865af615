"""Several processes: the numbers of one process, every image counted once, and one line when something is wrong."""

import functools

import pytest
import torch
from processes import environment, together
from torch import nn

from repro.configs.cifar10_search import CifarSearch
from repro.configs.registry import find
from repro.configs.toy import BilevelToy
from repro.darts.cnn import search_network
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.search import ImageSearch, SimultaneousSearch, validate
from repro.darts.cnn.search_network import SearchNetwork
from repro.errors import UsageError
from repro.execution import launcher
from repro.recipe import run_recipe
from repro.runs.run import open_run, read_run
from repro.spaces.genotypes import PUBLISHED
from repro.training import parallel, shared_norm
from repro.training.classifier import ImageTraining, LossAndErrors
from repro.training.fit import Epoch

# ---- BatchNorm


def normalise(x, gradient, differentiable_twice=True):
    """Outputs, gradients, second derivatives and running statistics of BatchNorm on this process's part of x."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3, dtype=torch.float64))
    nn.init.normal_(network[0].weight)
    shared_norm.synchronise(network, differentiable_twice=differentiable_twice)
    part = parallel.own_part(x).clone().requires_grad_()
    y = network(part)
    (slope,) = torch.autograd.grad((y * parallel.own_part(gradient)).sum(), part, create_graph=True)
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
    x = parallel.own_part(x)
    mean = x.mean(dim=0)
    return shared_norm.moments(mean, (x - mean).mT @ (x - mean) / len(x), len(x))


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


def in_float64(compute):
    """Let a function compute in float64, and nothing after it."""

    @functools.wraps(compute)
    def computed(*arguments):
        torch.set_default_dtype(torch.float64)
        try:
            return compute(*arguments)
        finally:
            torch.set_default_dtype(torch.float32)

    return computed


@in_float64
def train(steps):
    """Losses of some training steps, the last one on fewer images, and the state after them."""
    torch.manual_seed(2)
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=2, classes=5, cells=3)
    shared_norm.synchronise(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=3e-4)
    training = ImageTraining(network, optimizer, grad_clip=5.0, auxiliary_weight=0.4, label_smoothing=0.1)
    losses = []
    for images, labels in [*batches(steps), *batches(1, size=3)]:
        average, labels = LossAndErrors((1, 5)), parallel.own_part(labels)
        average.add(*training.step(parallel.own_part(images), labels), labels)
        losses.append(average.row("train")["train_loss"])
    return losses, network.state_dict()


@in_float64
def search(order, steps, folds):
    """Losses, alphas and weights of some search steps, with BatchNorm folded as on a CPU or not, as on a GPU."""
    search_network.folds_on = lambda device: folds
    torch.manual_seed(2)
    network = SearchNetwork(channels=2, classes=5, cells=3, nodes=1)
    shared_norm.synchronise(network, differentiable_twice=True)
    joins = order == "simultaneous"
    weights = torch.optim.SGD([*network.weights(), *network.alphas * joins], 0.1, 0.9, weight_decay=3e-4)
    alphas = weights if joins else torch.optim.Adam(network.alphas, 0.01)
    searcher = (SimultaneousSearch if joins else ImageSearch)(network, weights, alphas, order)
    losses, data = [], [*batches(2 * steps), *batches(2, size=3)]
    for train, valid in zip(data[::2], data[1::2], strict=True):
        train, valid = (tuple(map(parallel.own_part, batch)) for batch in (train, valid))
        average = LossAndErrors()
        average.add(*searcher.step(train, valid), train[1])
        losses.append(average.row("train")["train_loss"])
    images, labels = map(torch.cat, zip(*data, strict=True))
    losses.append(validate(searcher.judge, images, labels, lambda x: x, 6, Epoch(0))["valid_loss"])
    return losses, network.state_dict()


def assert_same(ours, whole, tolerance):
    assert ours[0] == pytest.approx(whole[0], rel=tolerance, abs=tolerance)
    for name, value in whole[1].items():
        torch.testing.assert_close(ours[1][name], value, rtol=tolerance, atol=tolerance, msg=name)


def test_training_gives_the_losses_of_one_process(tmp_path):
    whole = train(2)
    for part in together(tmp_path, 2, train, 2):
        assert_same(part, whole, 1e-9)


@pytest.mark.parametrize(
    ("order", "folds"), [(1, True), (2, True), (2, False), ("exact", True), ("simultaneous", True)]
)
def test_search_gives_the_losses_and_alphas_of_one_process(tmp_path, monkeypatch, order, folds):
    monkeypatch.setattr(search_network, "folds_on", None)  # to be put back
    whole = search(order, 1, folds)
    for part in together(tmp_path, 2, search, order, 1, folds):
        assert_same(part, whole, 1e-6 if order == 2 else 1e-9)  # the finite difference amplifies rounding


# ---- whole runs

SEARCH = {"device": "cpu", "epochs": "1", "images": "32", "batch": "14", "channels": "2", "nodes": "1"}
EVAL = {"device": "cpu", "epochs": "1", "images": "40", "channels": "2", "batch": "16", "drop_path_rate": "0"}


def make(name, texts):
    """The result of a run of the smoke profile and its metrics without times."""
    torch.set_num_threads(1)
    run = run_recipe(name, "smoke", texts)
    return run.result, [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics()]


@pytest.mark.parametrize(
    ("name", "texts"), [("cifar10-search", SEARCH), ("cifar10-eval", {**EVAL, "genotype": "DARTS_V2"})]
)
def test_runs_in_two_processes_end_as_in_one(tmp_path, monkeypatch, name, texts):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "one"))
    result, rows = make(name, texts)
    both = together(tmp_path / "work", 2, make, name, texts, joined=False, REPRO_RUNS=tmp_path / "two")
    for _, metrics in both:
        for row, expected in zip(metrics, rows, strict=True):
            for key, value in expected.items():
                close = key.endswith(("loss", "error", "lr"))
                assert row[key] == (pytest.approx(value, rel=1e-3) if close else row[key]), key
    assert both[0][0].keys() == result.keys()
    (path,) = (tmp_path / "two").glob("*/*")
    (other,) = (tmp_path / "one").glob("*/*")
    assert path.name == other.name
    assert (path / "metrics.jsonl").read_text().count("\n") == len(rows)


# ---- values


def talk():
    """What the processes tell each other."""
    torch.manual_seed(5)
    parallel.draw_apart(5, 3)
    return {
        "sums": parallel.sums(parallel.rank() + 1, torch.tensor(0.5)),
        "leader": parallel.from_leader(lambda: parallel.rank()),
        "gathered": parallel.gathered([str(parallel.rank())] * parallel.rank()),
        "draw": torch.rand(1).item(),
        "part": parallel.own_part(torch.arange(5)).tolist(),
        "loss": parallel.mean(torch.tensor(float(parallel.rank())), 1 + parallel.rank()).item(),
    }


def test_processes_agree_on_values_and_draw_apart(tmp_path):
    first, second = together(tmp_path, 2, talk)
    for said in (first, second):
        assert said["sums"] == [3.0, 1.0]
        assert said["leader"] == 0
        assert said["gathered"] == ["1"]
        assert said["loss"] == pytest.approx(2 / 3)
    assert first["part"] == [0, 2, 4]
    assert second["part"] == [1, 3]
    assert first["draw"] == torch.rand(1, generator=torch.Generator().manual_seed(5)).item()
    assert second["draw"] != first["draw"]
    assert second["draw"] == together(tmp_path / "again", 2, talk)[1]["draw"]


def test_alone_everything_is_as_it_was():
    x = torch.randn(3, 2)
    assert torch.equal(parallel.own_part(x), x)
    assert parallel.mean(x, 3) is x
    assert parallel.replicate([x])[0] is x
    assert shared_norm.moments(x, x, 3)[0] is x
    network = nn.Sequential(nn.BatchNorm2d(2))
    assert type(shared_norm.synchronise(network)[0]) is nn.BatchNorm2d


def test_batch_smaller_than_the_processes_is_refused(monkeypatch):
    monkeypatch.setattr(parallel, "size", lambda: 3)
    with pytest.raises(UsageError, match="^2 images cannot be divided among 3 processes: take another batch$"):
        parallel.own_part(torch.zeros(2))


def test_number_of_processes_is_torchruns(monkeypatch):
    assert launcher.with_processes({"processes": "4"}, CifarSearch) == {"processes": "4"}
    for name, value in environment(0, 2).items():
        monkeypatch.setenv(name, value)
    assert launcher.with_processes({}, CifarSearch) == {"processes": "2"}
    with pytest.raises(UsageError, match="processes=4, but torchrun started 2: leave the parameter out"):
        launcher.with_processes({"processes": "4"}, CifarSearch)
    with pytest.raises(UsageError, match="this experiment runs in one process: start it without torchrun"):
        launcher.with_processes({}, BilevelToy)


def test_number_of_processes_makes_no_other_run(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    experiment = find("cifar10-search")
    first, second = (open_run(experiment, "smoke", {"processes": count}) for count in (1, 2))
    assert first.path == second.path
    assert read_run(first.path).params.processes == 2
    for name, value in environment(1, 2).items():
        monkeypatch.setenv(name, value)
    follower = open_run(experiment, "smoke", {"processes": 2, "seed": 9})
    follower.log({"epoch": 0})
    follower.save("genotype.json", {})
    follower.finish({"x": 1})
    assert follower.metrics() == [{"epoch": 0}]
    assert not follower.path.exists()
