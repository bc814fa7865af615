"""What only a GPU can show: `make gpu`. Elsewhere these tests are skipped, and runs in other tests keep off GPUs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from spos.test_single_path import NETWORKS
from spos.test_single_path import batch as paths_batch
from training.test_acceleration import batches, captured, differences, run, search

from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.rnn.language_model import Dropout, LanguageModel
from repro.darts.rnn.training import CellTrainer, Descent
from repro.darts.rnn.windows import window
from repro.originals.verify import table, verify
from repro.recipe import run_recipe
from repro.spaces.genotypes import PUBLISHED
from repro.spaces.space import PathSampler
from repro.spos.path_training import PathJudge, path_training
from repro.training import acceleration, cuda_graph, devices
from repro.training.classifier import ImageTraining

GPU = torch.device("cuda")
REFERENCE = Path(__file__).parent / "reference"

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: make gpu")]


@pytest.fixture(autouse=True)
def _float32():
    acceleration.precision("float32", GPU)


@pytest.fixture
def deterministic(monkeypatch):
    """For tests of equality alone: deterministic dilated convolutions may take many times as long."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.mark.parametrize("name", [path.stem for path in sorted(REFERENCE.glob("*.npz"))])
def test_the_original_numbers_hold(name):
    found = verify(REFERENCE / f"{name}.npz", GPU)
    assert all(row.ok for row in found), table(name, found)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_float32_agrees_with_the_cpu(order, dense):
    """The losses of the first 20 steps, each from the state that the CPU has come to."""
    assert max(differences(search(order), search(order, GPU, dense=dense), batches(20, 32))) < 1e-4


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_replayed_search_steps_equal_plain_ones(order, bf16, capfd, deterministic):
    pairs, plain, fast = batches(12, 32, GPU), search(order, GPU), search(order, GPU)
    plain.bf16 = fast.bf16 = bf16
    losses = run(plain, plain.step, pairs)
    step = captured(fast, None)
    assert run(fast, step, pairs) == pytest.approx(losses, rel=0.05 if bf16 else 1e-3)
    assert step.graphs, capfd.readouterr().err


def test_replayed_validation_follows_the_weights(capfd, deterministic):
    searcher, pairs = search(1, GPU), batches(7, 32, GPU)
    judge = cuda_graph.captured("auto", searcher.judge, searcher.network, [])
    for pair in pairs:
        searcher.step(*pair)
        assert judge(*pair[0])[0].item() == pytest.approx(searcher.judge(*pair[0])[0].item(), rel=1e-5)
    assert judge.graphs, capfd.readouterr().err


def test_replayed_evaluation_steps_draw_other_paths_each_time(capfd, deterministic):
    losses = []
    for asked in ("off", "auto"):
        devices.seed_everything(0)
        network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=4, cells=3, in_channels=1).to(GPU)
        network.set_drop_path_rate(0.5)
        optimizer = torch.optim.SGD(network.parameters(), 0.0, 0.9)
        training = ImageTraining(network, optimizer, grad_clip=5.0, auxiliary_weight=0.4)
        step = cuda_graph.captured(asked, training.step, network, [optimizer])
        losses.append([step(*pair[0])[0].item() for pair in batches(1, 32, GPU) * 10])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4), capfd.readouterr().err
    assert len(set(losses[1])) == 10


def test_replayed_windows_of_text_equal_plain_ones(capfd, deterministic):
    """Of two lengths, by averaged SGD, with dropout."""
    text, losses = torch.randint(50, (30, 8), generator=torch.Generator().manual_seed(0)).to(GPU), []
    for capture in ("off", "auto"):
        devices.seed_everything(0)
        network = LanguageModel(50, 16, PUBLISHED["DARTS_V2_RNN"], dropout=Dropout(word=0.1)).to(GPU)
        side = CellTrainer(network, Descent(), lr=1.0, capture=capture)
        side._average()
        windows = [window(text, start, 5 + start % 2) for start in range(20)]
        losses.append([side.step(each, network.initial(8))[0].item() for each in windows])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert len(side.step.graphs) == 2, capfd.readouterr().err


@pytest.mark.parametrize(("bf16", "rel"), [(False, 1e-4), (True, 0.05)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_path_is_that_of_the_cpu(name, bf16, rel):
    """The first step and the first candidate's accuracy, from the same weights; in bfloat16 with channels last."""
    found = []
    for device in ("cpu", GPU):
        torch.manual_seed(0)
        network = NETWORKS[name]().to(device)
        prepare = acceleration.lay_out("auto" if bf16 else "off", network, lambda x: x, torch.device(device))
        images, labels = (part.to(device) for part in paths_batch(64))
        judge = PathJudge(network, images, images, labels, prepare, bf16)
        accuracy = judge(network.space.random(np.random.default_rng(0)))
        trainer = path_training(network.eval(), PathSampler(network.space, 0), 40, bf16=bf16)
        found.append((trainer.step(prepare(images), labels)[0].item(), accuracy))
    assert found[1][0] == pytest.approx(found[0][0], rel=rel)
    assert found[1][1] == pytest.approx(found[0][1], abs=20 if bf16 else 5)


@pytest.mark.parametrize("name", ["cifar10-search", "cifar10-cost", "ptb-search", "spos-supernet", "spos-cost"])
def test_a_run_on_a_gpu_needs_no_fallback(name, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    assert run_recipe(name, "smoke", {"device": "cuda"}).result
    assert "because" not in capfd.readouterr().err


def test_a_compiled_network_trains(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    texts = {"genotype": "DARTS_V2", "device": "cuda", "compile": "auto", "cells": "3", "epochs": "2"}
    assert run_recipe("cifar10-eval", "smoke", texts).result
    assert "because" not in capfd.readouterr().err
