"""The training loop: resumed equals uninterrupted, damaged checkpoints are passed over, a full disk loses nothing."""

import os
import random

import numpy as np
import pytest
import torch

from repro import checkpoints
from repro.errors import ReproError
from repro.fit import fit
from repro.hyperparameters import BilevelToy
from repro.images import Batches
from repro.runs import Run


class Task:
    """A small noisy regression: all kinds of state and all random generators take part."""

    def __init__(self):
        torch.manual_seed(5), random.seed(5), np.random.seed(5)  # noqa: NPY002
        self.network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.3))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 6)
        self.batches = Batches(torch.randn(20, 3), torch.zeros(20, dtype=torch.int64), 8, seed=1)
        self.state = vars(self).copy()

    def epoch(self, index):
        total = 0.0
        for x, _ in self.batches:
            loss = self.network(x).square().mean() * random.random() * np.random.rand()  # noqa: NPY002
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        self.schedule.step()
        return {"loss": total, "lr": self.schedule.get_last_lr()[0]}


class Stop(Exception):
    pass


def run_in(path):
    path.mkdir(exist_ok=True)
    return Run(path, "test", "smoke", BilevelToy())


def train(run, epochs=6, stop=None):
    task = Task()

    def epoch(index):
        row = task.epoch(index)
        if index == stop:
            raise Stop
        return row

    fit(run, task.state, epochs, epoch)
    return task


def rows(run):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


@pytest.mark.parametrize("stop", range(6))
def test_resumed_equals_uninterrupted(tmp_path, stop):
    whole, parts = run_in(tmp_path / "whole"), run_in(tmp_path / "parts")
    straight = train(whole)
    with pytest.raises(Stop):
        train(parts, stop=stop)
    torch.manual_seed(99)
    resumed = train(parts)
    assert rows(parts) == rows(whole)
    for name, value in straight.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_checkpoint_is_noticed_and_the_one_before_used(tmp_path, damage, capfd):
    whole, hurt = run_in(tmp_path / "whole"), run_in(tmp_path / "hurt")
    train(whole)
    with pytest.raises(Stop):
        train(hurt, stop=4)
    newest = hurt.path / checkpoints.NEWEST
    content = newest.read_bytes()
    newest.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"x"}[damage])
    assert checkpoints.load(hurt.path)["epochs"] == 3
    assert "it is passed over" in capfd.readouterr().err
    train(hurt)
    assert rows(hurt) == rows(whole)


def test_flipped_bit_is_noticed_or_harmless(tmp_path):
    run = run_in(tmp_path)
    weight = torch.arange(2000.0)
    for epochs in (1, 2):
        checkpoints.save(run.path, {"epochs": epochs, "weight": weight * epochs})
    newest = run.path / checkpoints.NEWEST
    content, noticed = newest.read_bytes(), 0
    for position in range(0, len(content), 97):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        newest.write_bytes(flipped)
        held = checkpoints.load(run.path)
        assert torch.equal(held["weight"], weight * held["epochs"]), position
        noticed += held["epochs"] == 1
    assert noticed > len(content) // 97 * 0.8


def test_crash_between_the_two_renames_keeps_the_checkpoint_before(tmp_path):
    run = run_in(tmp_path / "run")
    with pytest.raises(Stop):
        train(run, stop=3)
    os.replace(run.path / checkpoints.NEWEST, run.path / checkpoints.PREVIOUS)
    assert checkpoints.load(run.path)["epochs"] == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_says_so_and_loses_nothing(tmp_path):
    whole, run = run_in(tmp_path / "whole"), run_in(tmp_path / "run")
    train(whole)
    with pytest.raises(Stop):
        train(run, stop=3)
    full = run.path / "checkpoint.next.pt.partial"
    full.symlink_to("/dev/full")  # every write there fails as on a full disk
    with pytest.raises(ReproError, match="No space left on device; make room"):
        train(run)
    assert not full.exists()
    assert checkpoints.load(run.path)["epochs"] == 3
    train(run)
    assert rows(run) == rows(whole)


def test_non_finite_numbers_stop_the_run(tmp_path):
    run = run_in(tmp_path / "run")
    with pytest.raises(ReproError, match="loss is nan in epoch 0"):
        fit(run, {}, 1, lambda index: {"loss": float("nan")})
