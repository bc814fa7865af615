"""The experiments on CIFAR-10: laws of the search step, of selection and of random cells, at the smallest sizes."""

import random

import pytest
import torch
from finished import run
from hypothesis import given
from hypothesis import strategies as st
from interruptions import interrupted

from repro.configs.registry import EXPERIMENTS, find
from repro.darts.cnn.search import ImageSearch, SimultaneousSearch
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.discretise import random_conv_genotype
from repro.errors import ReproError, UsageError
from repro.experiments import cifar10_cells, cifar10_search
from repro.experiments.found import find_genotype
from repro.runs.removal import remove
from repro.spaces.genotypes import PUBLISHED, from_json, to_json
from repro.training import checkpoints

pytestmark = pytest.mark.usefixtures("folder")

TINY = {"images": 48, "batch": 12, "channels": 2, "cells": 2}


def searcher(kind=ImageSearch, alpha_optimizer=torch.optim.Adam, **options):
    torch.manual_seed(0)
    network = SearchNetwork(channels=2, cells=3, nodes=1, in_channels=1).double()
    weights = torch.optim.SGD(network.weights(), 0.1, momentum=0.9, weight_decay=3e-4)
    return kind(network, weights, alpha_optimizer(network.alphas, 0.1), **options)


def batch(seed, count=6):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.arange(count) % 10


def test_optimizer_of_alpha_takes_over_the_state_of_one_on_a_gpu():
    network = SearchNetwork(channels=2, cells=2, nodes=1)
    params = find("cifar10-search").parameters()
    here, there = (cifar10_search.adam(params, network) for _ in range(2))
    for alpha in network.alphas:
        alpha.grad = torch.ones_like(alpha)
    there.step()
    state = there.state_dict()
    state["param_groups"][0]["capturable"] = True
    here.load_state_dict(state)
    here.step()  # raises where a GPU's state is taken over as it is
    assert not here.param_groups[0]["capturable"]
    assert state["param_groups"][0]["capturable"]
    assert here.state[network.alphas_normal]["step"] == 2


@pytest.mark.parametrize("order", [1, 2, "exact"])
def test_alpha_step_leaves_weights_buffers_and_momentum_alone(order):
    search = searcher(order=order)
    search.step(batch(1), batch(2))
    before = {name: value.clone() for name, value in search.network.state_dict().items()}
    momentum = [search.weight_optimizer.state[w]["momentum_buffer"].clone() for w in search.weights]
    search.alpha_step(batch(1), batch(2))
    moved = {name for name, value in search.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"alphas_normal", "alphas_reduce"}
    for weight, buffer in zip(search.weights, momentum, strict=True):
        assert torch.equal(search.weight_optimizer.state[weight]["momentum_buffer"], buffer)


def test_weight_step_leaves_alpha_alone():
    search = searcher()
    before = [alpha.clone() for alpha in search.alphas]
    search.weight_step(batch(1))
    assert all(torch.equal(alpha, old) for alpha, old in zip(search.alphas, before, strict=True))


def test_validation_moves_nothing():
    search = searcher()
    before = {name: value.clone() for name, value in search.network.state_dict().items()}
    search.judge(*batch(1))
    assert all(torch.equal(value, before[name]) for name, value in search.network.state_dict().items())


def test_finite_difference_of_a_search_network_approaches_the_exact_gradient():
    exact = searcher(order="exact").gradient(batch(1), batch(2))
    near = searcher(order=2, eps=1e-6).gradient(batch(1), batch(2))
    for ours, truth in zip(near, exact, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-5, atol=1e-9)


def test_simultaneous_step_moves_both_along_one_gradient():
    search = searcher(SimultaneousSearch, torch.optim.SGD)
    images, labels = batch(1)
    loss = torch.nn.functional.cross_entropy(search.network(images), labels)
    expected = torch.autograd.grad(loss, search.alphas)
    before = [alpha.clone() for alpha in search.alphas]
    weight = search.weights[0].clone()
    search.step((images, labels), None)
    for alpha, old, gradient in zip(search.alphas, before, expected, strict=True):
        torch.testing.assert_close(alpha, old - 0.1 * gradient, rtol=1e-9, atol=1e-12)
    assert not torch.equal(search.weights[0], weight)


def test_alpha_joins_the_optimizer_of_w_as_one_more_parameter():
    params = find("cifar10-joint").parameters.build({"lr": 0.1, "grad_clip": 0.5})
    search, other = (searcher(SimultaneousSearch, grad_clip=0.5) for _ in range(2))
    moved = [*search.network.weights(), *search.network.alphas]
    optimizer = cifar10_search.sgd(params, moved)
    joined = SimultaneousSearch(search.network, optimizer, optimizer, grad_clip=0.5)
    assert joined.optimizers == [optimizer]
    plain = torch.optim.SGD([*other.weights, *other.alphas], 0.1, 0.9, weight_decay=3e-4)
    for seed in range(3):
        joined.step(batch(seed), None)
        plain.zero_grad()
        torch.nn.functional.cross_entropy(other.network(batch(seed)[0]), batch(seed)[1]).backward()
        assert torch.nn.utils.clip_grad_norm_([*other.weights, *other.alphas], 0.5) > 0.5
        plain.step()
    for ours, expected in zip(moved, [*other.weights, *other.alphas], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("strategy", "options", "rate"),
    [("simultaneous", {}, 0.025), ("simultaneous-apart", {"alpha_lr": 2e-3}, 2e-3)],
)
def test_interrupted_joint_search_ends_with_the_same_numbers(strategy, options, rate, monkeypatch, tmp_path):
    overrides = {"strategy": strategy, "epochs": 3, "nodes": 1, **options, **TINY}
    whole = run("cifar10-joint", **overrides)
    (group,) = checkpoints.load(whole.path)["state"]["alpha_optimizer"]["param_groups"]
    assert group.get("initial_lr", group["lr"]) == rate
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "elsewhere"))
    with interrupted(SimultaneousSearch, "step", at=10):  # of 12
        run("cifar10-joint", **overrides)
    resumed = run("cifar10-joint", **overrides)
    assert resumed.result == whole.result
    held = [checkpoints.load(each.path)["state"]["network"] for each in (whole, resumed)]
    assert all(torch.equal(held[0][name], held[1][name]) for name in held[0])


@pytest.mark.parametrize("held_out", [0, 12])
def test_tests_after_every_epoch_change_nothing_of_the_training(held_out):
    changes = {**TINY, "genotype": "DARTS_V2", "epochs": 2, "valid_images": held_out}
    tested = run("cifar10-eval", **changes, test_each_epoch=True)
    rows, result = tested.metrics(), tested.result
    parts = ["test_error", *(["valid_error"] if held_out else [])]
    assert all(part in row for row in rows for part in parts)
    assert [rows[-1][part] for part in parts] == [result[part] for part in parts]
    weights = checkpoints.load(tested.path)["state"]["network"]
    remove(tested.path)
    alone = run("cifar10-eval", **changes)
    training = ("epoch", "lr", "train_loss", "train_error")
    assert {*alone.metrics()[0]} == {*training, "seconds"}
    assert [[row[name] for name in training] for row in alone.metrics()] == [
        [row[name] for name in training] for row in rows
    ]
    assert alone.result == result
    again = checkpoints.load(alone.path)["state"]["network"]
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_random_cells_are_valid_and_reproducible(seed, nodes):
    genotype = random_conv_genotype(random.Random(seed), nodes)
    assert genotype == random_conv_genotype(random.Random(seed), nodes)
    assert from_json(to_json(genotype)) == genotype
    for edges in (genotype.normal, genotype.reduce):
        assert all(edges[i].source != edges[i + 1].source for i in range(0, len(edges), 2))
        assert all(edge.op != "none" for edge in edges)


def test_random_cells_reach_every_operation_and_source():
    dice = random.Random(0)
    edges = [edge for _ in range(200) for edge in random_conv_genotype(dice, 4).normal]
    assert {edge.source for edge in edges} == set(range(5))
    assert len({edge.op for edge in edges}) == 7


def test_selection_takes_the_cell_with_the_lowest_error():
    """What it says of the best one is read off the trainings of the searches' cells."""
    searched = [run("cifar10-search", seed=seed, epochs=1, nodes=1, **TINY) for seed in (0, 1)]
    cells = [each.load("genotype.json") for each in searched]
    assert cells[0] != cells[1]
    search = "run:cifar10-search/epochs=1,nodes=1,images=48,batch=12,channels=2,cells=2"
    chosen = run("cifar10-select", search=search, epochs=1, **TINY)
    parts = [chosen.child(path.name) for path in chosen.path.glob("cell-*")]
    errors = [next(p.result["valid_error"] for p in parts if p.load("genotype.json") == cell) for cell in cells]
    assert errors[0] != errors[1]
    best = errors.index(min(errors))
    assert chosen.result["values"] == errors
    assert chosen.result["valid_error"] == errors[best]
    assert chosen.result["seed"] == best
    assert chosen.result["genotype"] == chosen.load("genotype.json") == cells[best]


def test_interrupted_selection_goes_on_with_the_next_cell():
    whole = run("cifar10-random", epochs=1, samples=3, nodes=1, **TINY)
    overrides = {"epochs": 1, "samples": 3, "nodes": 1, "momentum": 0.8999999999999999, **TINY}
    with interrupted(cifar10_cells, "train_cell", at=2):
        run("cifar10-random", **overrides)
    resumed = run("cifar10-random", **overrides)
    assert resumed.result["values"] == whole.result["values"]


def test_equal_cells_are_trained_once(monkeypatch):
    run("cifar10-search", epochs=2, nodes=1, alpha_lr=0.0, **TINY)
    search = "run:cifar10-search/epochs=2,nodes=1,alpha_lr=0,images=48,batch=12,channels=2,cells=2"
    followed = run("cifar10-progress", search=search, search_seeds=(0,), snapshots=(1, 2), epochs=1, **TINY)
    rows = followed.load("snapshots.json")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[0]["genotype"] == rows[1]["genotype"]
    assert len(list(followed.path.glob("cell-*"))) == 1
    assert followed.result["references"].keys() == {"NASNET", "AMOEBANET"}


def test_genotypes_come_by_name_file_or_run(tmp_path):
    assert find_genotype("DARTS_V2", "smoke") == PUBLISHED["DARTS_V2"]
    (tmp_path / "cell.json").write_text('{"normal": [["none", 0]], "normal_concat": [2]}')
    for name, message in {"DARTS_V9": "DARTS_V9", str(tmp_path / "cell.json"): "reduce"}.items():
        with pytest.raises(ReproError, match=message):
            find_genotype(name, "smoke")


def test_a_square_that_hides_whole_images_is_refused():
    with pytest.raises(UsageError, match="cutout=16 hides images of 8x8 pixels: take less"):
        run("cifar10-eval", genotype="DARTS_V2", cutout=16, epochs=1, batch=64, images=64)


def test_too_many_images_and_impossible_fractions_are_refused_before_training():
    with pytest.raises(UsageError, match="images=2000, but digits has 1497"):
        run("cifar10-search", images=2000)
    with pytest.raises(UsageError, match="train_fraction=1.5 is out of range"):
        run("cifar10-search", train_fraction=1.5)


def test_smoke_profile_never_names_real_data():
    for name, changes in ((each.name, each.sizes.get("smoke", {})) for each in EXPERIMENTS.values()):
        if "dataset" in find(name).parameters().values():
            assert changes["dataset"] not in ("cifar10", "imagenet", "ptb", "wikitext-2"), name
