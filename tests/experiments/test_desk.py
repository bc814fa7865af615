"""What the profile `desk` is made of: halved and held-out images, snapshots, comparisons with Eq. 8, equal costs."""

import json
import math

import numpy as np
import pytest
import torch
from finished import run
from scipy.stats import kendalltau
from tiny import make_data, small_data

from repro.configs import profiles
from repro.configs.registry import find
from repro.data.images import Images
from repro.errors import Diverged, UsageError
from repro.experiments import spos_search
from repro.report import run_report
from repro.results import arms, claims
from repro.runs import failure
from repro.runs.identity import as_text, describe, identity, resolve
from repro.runs.run import open_run
from repro.spaces.nas_bench import MACRO_SPACE, NEAR, Row, Table, equal_cost, kendall_tau_equal_cost
from repro.spaces.space import Cost

SEARCH = {"images": 16, "batch": 4, "channels": 1, "nodes": 1, "cells": 1, "epochs": 3, "alpha_lr": 0.5}
TRAINING = {"images": 16, "batch": 4, "channels": 1, "cells": 1, "epochs": 1}
FIRST_WAVE = (
    "D1",
    "D8",
    "S9a",
    "S9b",
    "S1a",
    "S1b",
    "S2a",
    "S2b",
    "S4a",
    "S7a",
    "S7b",
    "D3a",
    "D3b",
    "D3c",
    "D4a",
    "D4b",
    "D5a",
    "D9",
    *(f"F{n}{line}" for n in (1, 2, 3) for line in "abc"),
    *(
        "F4a",
        "F4b",
        "F5",
        "F6a",
        "F6b",
        "F7a",
        "F7b",
        "F8a",
        "F8b",
        "F9",
        "F10",
        "F11",
        "F12a",
        "F12b",
        "F13a",
        "F14",
        "F15",
    ),
)


def images(x):
    """A data set with these training images (N, C, H, W)."""
    y = torch.arange(len(x))
    return Images("cifar10", x, y, x[:2], y[:2], 10, (0.5,) * 3, (0.2,) * 3, "sum")


def test_halved_images_are_means_of_four_pixels_rounded_half_up():
    x = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    x[0] = 0
    x[0, :, 0, :2] = 1  # a mean of exactly one half
    halved = images(x).halved()
    means = x.double().reshape(5, 3, 4, 2, 4, 2).mean(dim=(3, 5))
    assert torch.equal(halved.x_train, (means + 0.5).floor().to(torch.uint8))
    assert halved.x_train[0, 0, 0, 0] == 1
    pixels = halved.x_train.double() / 255
    assert halved.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist())
    assert halved.std == pytest.approx(pixels.std(dim=(0, 2, 3)).tolist())


@pytest.mark.parametrize("name", ["cifar10-search", "cifar10-progress", "spos-supernet"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pixels": 17}, "pixels=17 is wrong: pixels takes one of 0, 16"),
        ({"pixels": 16, "dataset": "digits"}, "pixels=16 with dataset=digits: only cifar10 is halved; take pixels=0"),
    ],
)
def test_only_cifar10_is_halved_and_only_to_16(name, changes, said):
    with pytest.raises(UsageError) as error:
        resolve(find(name), "paper", changes)
    assert str(error.value) == said


def test_images_held_out_are_the_last_and_train_nothing():
    data = images(torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 3, 2, 2))
    assert data.head(5, last=3).y_train.tolist() == [0, 1, 2, 3, 4, 9, 10, 11]
    assert data.head(0, last=3).y_train.tolist() == list(range(12))
    for count, last in ((10, 3), (0, 12), (13, 0)):
        with pytest.raises(UsageError, match="has 12 for training: take fewer, or 0"):
            data.head(count, last)


def test_a_training_with_held_out_images_has_an_error_on_them_and_the_same_test_error(folder):
    plain = run("cifar10-eval", genotype="DARTS_V2", **TRAINING)
    held = run("cifar10-eval", genotype="DARTS_V2", valid_images=20, **TRAINING)
    assert held.result["test_error"] == plain.result["test_error"]  # the same 16 images trained
    assert 0 <= held.result["valid_error"] <= 100
    assert "valid_error" not in plain.result


def test_a_snapshot_is_the_cell_that_the_search_held_then(folder):
    search = run("cifar10-search", **SEARCH)
    rows = search.metrics()
    name = "run:cifar10-search/" + ",".join(f"{key}={value}" for key, value in SEARCH.items())
    for snapshot in (1, 2, 0):
        trained = run("cifar10-eval", genotype=name, snapshot=snapshot, **TRAINING)
        assert trained.result["genotype"] == rows[snapshot - 1]["genotype"]
    assert rows[0]["genotype"] != rows[2]["genotype"]  # else nothing was told apart
    with pytest.raises(UsageError, match="snapshot=4: .* holds no cell of that epoch; it has 3 epochs"):
        run("cifar10-eval", genotype=name, snapshot=4, **TRAINING)
    with pytest.raises(UsageError, match="snapshot=1 of genotype=DARTS_V2: only a search has epochs"):
        resolve(find("cifar10-eval"), "paper", {"genotype": "DARTS_V2", "snapshot": 1})


def test_a_comparison_watches_and_changes_nothing(folder):
    plain, watched = run("cifar10-search", **SEARCH), run("cifar10-search", compare_every=3, **SEARCH)
    rows = watched.metrics()
    # two steps an epoch (8 images, batches of 4): steps 3 of epoch 1, none of 0; epoch 2 has steps 4 and 5
    assert [len(row.get("cosines", ())) for row in rows] == [0, 1, 0]
    for row, other in zip(rows, plain.metrics(), strict=True):
        assert {k: v for k, v in row.items() if k not in ("cosines", "seconds")} == {
            k: v for k, v in other.items() if k != "seconds"
        }
    assert watched.result["cosine"] == rows[1]["cosines"][0]
    assert -1 <= watched.result["cosine"] <= 1
    assert "cosine" not in plain.result


def test_tau_at_equal_cost_is_tau_where_all_costs_are_equal_and_counts_only_near_pairs():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 9, (2, 40)).tolist()  # with ties
    assert kendall_tau_equal_cost(one, other, [5.0] * 40) == pytest.approx(kendalltau(one, other).statistic)
    # two groups that are far apart: only pairs within a group count
    costs = [1.0, 1.0 + NEAR, 1.0 + 3 * NEAR, 2.0, 2.0]
    assert kendall_tau_equal_cost([1, 2, 0, 5, 4], [1, 2, 9, 4, 5], costs) == pytest.approx(0.0)  # one right, one wrong
    assert kendall_tau_equal_cost([1, 2], [1, 2], [1.0, 2.0]) is None


def test_networks_of_equal_cost_are_others_and_within_two_percent():
    table = np.random.default_rng(1).random((MACRO_SPACE.layers, 3))
    cost, gene = Cost("cost", 10.0, table), (1,) * MACRO_SPACE.layers
    found = equal_cost(MACRO_SPACE, cost, gene, 20, seed=3)
    assert len(set(found)) == 20
    assert gene not in found
    assert all(abs(cost(other) / cost(gene) - 1) <= NEAR for other in found)
    assert found == equal_cost(MACRO_SPACE, cost, gene, 20, seed=3) != equal_cost(MACRO_SPACE, cost, gene, 20, seed=4)


def test_beside_the_largest_network_there_is_none_of_its_cost():
    largest = (2,) * MACRO_SPACE.layers
    cost = Cost("cost", 0.0, np.tile([0.0, 1.0, 2.0], (MACRO_SPACE.layers, 1)))
    table = Table("table", MACRO_SPACE, {largest: Row((90.0,))})
    assert not equal_cost(MACRO_SPACE, cost, largest, 20, seed=0)
    found = spos_search.look_up(table, cost, {"evolution": largest, "random": largest}, 0)
    assert found == {"true_accuracy": 90.0, "random_true_accuracy": 90.0, "equal_cost_true_accuracy": None}


def test_a_search_on_the_benchmark_s_space_looks_its_winner_up(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    supernet = {"dataset": "cifar10", "space": "macro", "images": 0, "valid_images": 10, "iterations": 2, "batch": 10}
    evolution = {"bn_images": 10, "generations": 1, "population": 4, "parents": 2, "mutation": 2, "crossover": 2}
    name = "run:spos-supernet/" + ",".join(f"{key}={value}" for key, value in supernet.items()) + ",bn_images=10"
    with small_data():
        make_data(tmp_path / "data")
        run("spos-supernet", bn_images=10, **supernet)
        found = run("spos-blocks", supernet=name, mult_adds=0, **evolution)
        ranked = run("spos-correlation", supernet=name, bn_images=10, networks=6, benchmark="nas-bench-macro")
    table = json.loads((tmp_path / "data/nas-bench-macro/nas-bench-macro_cifar10.json").read_text())
    true = lambda gene: np.mean(table["".join(map(str, gene))]["test_acc"])
    assert found.result["true_accuracy"] == pytest.approx(true(found.load("found.json")["evolution"]))
    assert found.result["random_true_accuracy"] == pytest.approx(true(found.load("found.json")["random"]))
    rows = ranked.load("networks.json")
    best = max(rows, key=lambda row: row["inherited"])
    assert ranked.result["best_true_accuracy"] == pytest.approx(true(best["gene"]))
    assert ranked.result["accuracy_not_recomputed"] == pytest.approx(np.mean([row["not_recomputed"] for row in rows]))
    costs, truth = ([row[name] for row in rows] for name in ("mult_adds_millions", "stand_alone"))
    if not math.isnan(expected := kendalltau(costs, truth).statistic):
        assert ranked.result["kendall_tau_cost"] == pytest.approx(expected)


def test_a_training_that_diverged_is_counted_as_guessing_from_its_failure(folder):
    opened = open_run(find("cifar10-eval"), "desk", {"genotype": "DARTS_V2", "seed": 1})
    with pytest.raises(Diverged), opened.session():
        raise Diverged("train_loss is nan in epoch 3")
    assert failure.diverged(opened.path)
    assert failure.read(opened.path) == "train_loss is nan in epoch 3"
    arm = arms.Arm("training", "cifar10-eval", {"genotype": "DARTS_V2"}, own=True)
    assert arms.Runs("desk").arm("cifar10-eval", arm.changes) == {1: {1: arms.Training(None, False)}}
    with pytest.raises(ZeroDivisionError), opened.session():
        raise ZeroDivisionError
    assert not failure.diverged(opened.path)
    assert arms.Runs("desk").arm("cifar10-eval", arm.changes) == {}


def test_a_notebook_ends_with_the_verdicts_that_its_run_counts_for(folder):
    trained = open_run(
        find("cifar10-eval"), "desk", {"genotype": "run:cifar10-joint/strategy=coordinate,seed=2", "seed": 1}
    )
    assert claims.asking(trained) == ["D4a", "D9"]
    assert claims.asking(open_run(find("bilevel-toy"), "smoke", {})) == []
    assert claims.asking(open_run(find("ptb-eval"), "desk", {"genotype": "DARTS_V1_RNN"})) == []
    toy = open_run(find("bilevel-toy"), "desk", {})
    toy.finish(find("bilevel-toy").compute(toy.params, toy))
    (row,) = run_report.of_claims(toy, claims.asking(toy)).to_dict("records")
    assert (row["line"].split(":")[0], row["verdict"], row["units"]) == ("D1", "holds", "1")
    assert row["effect [97 % interval]"].startswith("0.01 (repeats 0.01 to 0.01) (left of a tolerance of 0.01")


def test_the_plan_holds_every_run_that_the_first_wave_s_verdicts_need(folder):
    def key(experiment, changes):
        return as_text(identity(describe(experiment, "desk", resolve(experiment, "desk", changes))))

    planned = {key(*row) for row in profiles.plan("desk")}
    wanted = {key(*row) for line in FIRST_WAVE for row in claims.wanted(line, "desk")}
    assert wanted == planned
