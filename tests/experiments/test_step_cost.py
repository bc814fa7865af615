"""What a step costs: the mixture against sums written out, bytes against counts by hand, and turns that are fair."""

import math
import operator
from collections import Counter
from statistics import mean, median
from unittest import mock

import numpy as np
import pytest
import torch
from finished import run
from interruptions import interrupted

from repro.configs.cifar10_search import CifarCost, CifarSearch
from repro.configs.spos_networks import SposSupernet
from repro.darts.cnn.search import ImageSearch
from repro.darts.complexity import peak_bytes
from repro.errors import UsageError
from repro.experiments import step_cost
from repro.experiments.spos_networks import build
from repro.spaces.space import Space
from repro.spos.network import Mixture
from repro.spos.path_training import path_training
from repro.training import devices

pytestmark = pytest.mark.usefixtures("folder")

CPU = torch.device("cpu")
ORDERS = {"images": 64, "batch": 8, "channels": 1, "nodes": 1, "cells": 1}
PATHS = {"images": 100, "batch": 8, "paths": 2}


@pytest.fixture(params=["blocks", "macro"])
def mixture(request):
    """The mixture of a small supernet, in float64, with alphas that differ."""
    torch.manual_seed(0)
    mixture = Mixture(build(SposSupernet(dataset="digits", space=request.param, dropout=0.0))).double()
    torch.nn.init.normal_(mixture.alphas)
    return mixture


def images():
    return torch.randn(6, 1, 8, 8, dtype=torch.float64)


# The mixture


def test_a_layer_of_the_mixture_is_the_weighted_sum_of_its_alternatives(mixture):
    network, x = mixture.network, images()
    expected = network.stem(x)
    for layer, alpha in zip(network.features, mixture.alphas, strict=True):
        shares = [math.exp(each) for each in alpha.tolist()]
        results = [alternative(expected) for alternative in layer]
        expected = sum(share / sum(shares) * result for share, result in zip(shares, results, strict=True))
    torch.testing.assert_close(mixture(x), network.head(expected), rtol=1e-9, atol=1e-12)


def test_with_all_weight_on_one_path_the_mixture_is_that_path(mixture):
    x, gene = images(), tuple(layer % mixture.alphas.shape[1] for layer in range(len(mixture.alphas)))
    with torch.no_grad():
        mixture.alphas.fill_(-1000.0)
        mixture.alphas[range(len(gene)), gene] = 1000.0
    torch.testing.assert_close(mixture(x), mixture.network(x, gene), rtol=1e-9, atol=1e-12)


def test_two_paths_are_the_mixture_of_the_alternatives_on_them(mixture):
    rng, x = np.random.default_rng(0), images()
    one = mixture.network.space.random(rng)
    other = step_cost.other_path(one, mixture.network.space, rng)
    assert all(map(operator.ne, one, other))
    with torch.no_grad():
        rest = torch.ones_like(mixture.alphas, dtype=torch.bool)
        rest[range(len(one)), one] = rest[range(len(one)), other] = False
        mixture.alphas[rest] = -1000.0
    torch.testing.assert_close(mixture(x, (*one, *other)), mixture(x), rtol=1e-9, atol=1e-12)
    mixture.alphas.data[range(len(one)), other] = -1000.0
    torch.testing.assert_close(mixture(x, (*one, *other)), mixture.network(x, one), rtol=1e-9, atol=1e-12)


def test_a_second_path_is_drawn_uniformly_from_those_that_share_no_choice():
    space, rng = Space(2, {"block": ("a", "b", "c")}, frozenset([1])), np.random.default_rng(0)
    drawn = Counter(step_cost.other_path((0, 1), space, rng) for _ in range(400))
    assert drawn.keys() == {(1, 0), (2, 0)}  # the second layer lacks c
    assert min(drawn.values()) > 150


def test_a_step_moves_all_that_runs_and_nothing_else(mixture):
    training = path_training(mixture, tuple, 100, lr=0.1)
    batch, layers = (images(), torch.arange(6)), len(mixture.alphas)
    two = lambda: (*[0] * layers, *[1] * layers)
    for sampler, network in ((tuple, mixture), (two, mixture), (lambda: (0,) * layers, mixture.network)):
        before = {name: value.clone() for name, value in mixture.named_parameters()}
        training.network, training.sampler = network, sampler
        training.step(*batch)
        on_it = {id(parameter) for parameter, _ in network.path(sampler())}
        for name, value in mixture.named_parameters():
            assert torch.equal(value, before[name]) is not (id(value) in on_it), name


# Bytes


def test_bytes_are_those_alive_at_once():
    def step():
        a = torch.ones(1000)
        b = a * 2
        del a
        c = b + 1  # beside b alone
        view = c.view(10, 100)[1:]  # no memory of its own, but it keeps c's
        del b, c
        view.add_(1)
        return torch.ones(500), view

    assert peak_bytes(step, [], CPU) == 2 * 4000
    held = torch.ones(100)
    assert peak_bytes(step, [held, held, held[:50]], CPU) == 2 * 4000 + 400
    assert peak_bytes(lambda: held.mul_(2), [held], CPU) == 400


def test_what_the_backward_pass_needs_is_alive_until_then():
    x, w = torch.randn(50, 10), torch.randn(10, 10, requires_grad=True)

    def step():
        a = torch.relu(x @ w)  # its result is kept for the backward pass, that of the product is not
        a = torch.relu(a @ w)
        a.sum().backward()

    maps, weights = 4 * 50 * 10, 4 * 10 * 10
    # at the second product's turn: both kept results, the slopes before and after it, and w's gradient; loss and slope
    assert peak_bytes(step, [x, w], CPU) == (maps + weights) + 4 * maps + weights + 2 * 4


def test_every_step_counts_the_same(mixture):
    training = path_training(mixture, tuple, 100)
    batch = images(), torch.arange(6)
    training.step(*batch)
    assert len({step_cost._peak(training, training.step, batch) for _ in range(3)}) == 1


def test_on_a_gpu_its_allocator_counts_what_a_step_adds():
    with mock.patch.multiple(
        torch.cuda,
        synchronize=mock.DEFAULT,
        reset_peak_memory_stats=mock.DEFAULT,
        memory_allocated=lambda _: 1000,
        max_memory_allocated=lambda _: 1700,
    ):
        assert peak_bytes(lambda: None, [torch.ones(5)], torch.device("cuda")) == 20 + 700


# Turns


def clock(monkeypatch, *seconds):
    """Let steps take these seconds, in turn."""
    times = iter(seconds)
    monkeypatch.setattr(devices, "timed", lambda step, device: (step(), next(times)))


def test_orders_take_turns_and_their_medians_are_compared(monkeypatch):
    clock(monkeypatch, 500, 500, 1, 3, 2, 5, 90, 4)
    done = run("cifar10-cost", **ORDERS, steps=3, warm_up_steps=1)
    rows = done.metrics()
    assert [(row["step"], row["seconds_first"], row["seconds_second"]) for row in rows] == [
        (0, 1, 3), (1, 2, 5), (2, 90, 4),
    ]  # fmt: skip
    expected = {"seconds_first": 2, "seconds_second": 4, "ratio": 2.0, "device": "CPU, 1 thread", "threads": 1}
    assert done.result == expected
    assert all(row["loss_first"] != row["loss_second"] for row in rows)


def test_both_orders_begin_alike_and_see_the_same_batches(monkeypatch):
    seen, step = [], ImageSearch.step

    def note(self, *batches):
        seen.append((self.order, [*map(torch.clone, self.network.state_dict().values())], batches))
        return step(self, *batches)

    monkeypatch.setattr(ImageSearch, "step", note)
    run("cifar10-cost", **ORDERS, steps=2, warm_up_steps=1)
    assert [order for order, *_ in seen] == [1, 2] * 3
    assert all(map(torch.equal, seen[0][1], seen[1][1]))
    for one, other in zip(seen[::2], seen[1::2], strict=True):
        assert all(x is y for x, y in zip(sum(one[2], ()), sum(other[2], ()), strict=True))
    assert not torch.equal(seen[0][2][0][0], seen[2][2][0][0])


def test_paths_and_the_mixture_take_turns_and_means_over_paths_are_compared(monkeypatch):
    clock(monkeypatch, 500, 500, 500, *(1, 3, 6, 2, 3, 8, 9, 8, 7), *(3, 5, 5, 4, 6, 9, 4, 5, 6))
    done = run("spos-cost", **PATHS, steps=3, warm_up_steps=1)
    first, second = done.metrics()
    assert first["gene"] != second["gene"]
    assert (first["seconds_path"], first["seconds_mixture"]) == (2, 7)
    assert (second["seconds_path"], second["seconds_mixture"]) == (4, 6)
    assert (done.result["seconds_path"], done.result["seconds_mixture"]) == (3, 6.5)
    assert (first["seconds_two_paths"], second["seconds_two_paths"]) == (3, 5)
    assert done.result["seconds_ratio"] == 6.5 / 3
    assert done.result["seconds_ratio_two_paths"] == 4 / 3
    assert first["bytes_mixture"] == second["bytes_mixture"] > max(first["bytes_path"], second["bytes_path"])
    assert done.result["bytes_path"] == mean([first["bytes_path"], second["bytes_path"]])
    assert done.result["memory_ratio"] == first["bytes_mixture"] / done.result["bytes_path"]
    assert all(row["bytes_path"] < row["bytes_two_paths"] < row["bytes_mixture"] for row in (first, second))


def test_a_path_that_is_dearer_takes_more_memory():
    rows = run("spos-cost", **PATHS | {"paths": 6}, space="macro", steps=1, warm_up_steps=0).metrics()
    cost = build(SposSupernet(dataset="digits", space="macro")).costs()["multiply-adds"]
    by_cost = sorted(rows, key=lambda row: cost(row["gene"]))
    assert by_cost[0]["bytes_path"] < median(row["bytes_path"] for row in rows) < by_cost[-1]["bytes_path"]


@pytest.mark.parametrize(("name", "sizes", "at"), [("cifar10-cost", ORDERS, 3), ("spos-cost", PATHS, 4)])
def test_a_run_that_was_stopped_starts_again(name, sizes, at, tmp_path, monkeypatch):
    def rows():
        found = run(name, **sizes, steps=2, warm_up_steps=1).metrics()
        return [{key: value for key, value in row.items() if "seconds" not in key} for row in found]

    with interrupted(step_cost, "_turn", at):
        rows()
    (stopped,) = tmp_path.glob("runs/*/*/metrics.jsonl")
    assert len(stopped.read_text().splitlines()) == 1
    again = rows()
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "elsewhere"))
    assert again == rows()
    assert len(again) == 2


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("cifar10-cost", {"pixels": 16}, "pixels=16 with dataset=digits: only cifar10 is halved"),
        ("spos-cost", {"pixels": 16}, "pixels=16 with dataset=digits: only cifar10 is halved"),
        ("cifar10-cost", {"batch": 40}, "a batch of 40 cannot be drawn from 32 images"),
        ("spos-cost", {"batch": 101}, "a batch of 101 cannot be drawn from 100 images"),
        ("spos-cost", {"space": "bits"}, "space='bits' is wrong: space takes one of 'blocks', 'macro'"),
        ("cifar10-cost", {"steps": 0}, "steps=0 is out of range: it must be at least 1"),
    ],
)
def test_bad_input_is_one_line(name, wrong, message):
    with pytest.raises(UsageError, match=message) as caught:
        run(name, **{**(ORDERS if name == "cifar10-cost" else PATHS), **wrong})
    assert "\n" not in str(caught.value)


def test_what_is_no_parameter_here_is_the_papers():
    params = CifarCost(seed=3, cells=5, threads=2)
    like = CifarSearch.like(params, order=1)
    assert like == CifarSearch(seed=3, cells=5, threads=2, order=1)
    assert CifarSearch.like(params, cells=6).cells == 6
