"""The training loop: resumed equals uninterrupted, damaged checkpoints are passed over, a full disk loses nothing."""

import errno
import os
import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from repro.configs.common import Trained
from repro.data.batches import Batches
from repro.errors import Diverged, ReproError
from repro.runs.run import Run
from repro.training import checkpoints
from repro.training import fit as fitting
from repro.training.classifier import LossAndErrors
from repro.training.fit import Clock, Epoch, Values, fit

STEPS = 3  # of an epoch


class Stop(Exception):
    pass


class Task:
    """A small noisy regression: all kinds of state and all random generators take part.

    It is stopped in an epoch after so many whole steps.
    """

    def __init__(self, stop=None):
        torch.manual_seed(5), random.seed(5), np.random.seed(5)  # noqa: NPY002
        self.network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.3))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 6)
        self.batches = Batches(torch.randn(20, 3), torch.zeros(20, dtype=torch.int64), 8, seed=1)
        self.state = vars(self).copy()
        self.stop = stop

    def epoch(self, this):
        sums = Values(total=torch.tensor(0.0))
        for x, _ in this.steps("train", self.batches, sums=sums):
            loss = self.network(x).square().mean() * random.random() * np.random.rand()  # noqa: NPY002
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            sums.total = sums.total + loss.detach()
            self.look(this)
        self.schedule.step()
        self.look(this)
        return {"loss": sums.total.item(), "lr": self.schedule.get_last_lr()[0]}

    def look(self, this):
        if self.stop == (this.index, this.done("train")):
            raise Stop


def run_in(path, minutes=10.0):
    path.mkdir(exist_ok=True)
    return Run(path, "test", "smoke", Trained(checkpoint_minutes=minutes))


def train(run, epochs=6, stop=None):
    task = Task(stop)
    fit(run, task.state, epochs, task.epoch)
    return task


def rows(run):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


@pytest.mark.parametrize("minutes", [10.0, 1e-9])
@pytest.mark.parametrize("stop", [*((epoch, STEPS) for epoch in range(6)), (0, 0), (0, 1), (3, 2), (5, 1)])
def test_resumed_equals_uninterrupted(tmp_path, stop, minutes):
    whole, parts = run_in(tmp_path / "whole"), run_in(tmp_path / "parts", minutes)
    straight = train(whole)
    with pytest.raises(Stop):
        train(parts, stop=stop)
    torch.manual_seed(99)
    resumed = train(parts)
    assert rows(parts) == rows(whole)
    for name, value in straight.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


def test_checkpoint_within_an_epoch_holds_its_steps_and_seconds(tmp_path):
    run = run_in(tmp_path, 1e-9)
    with pytest.raises(Stop):
        train(run, stop=(2, 2))
    held = checkpoints.load(run.path)
    assert (held["epochs"], held["within"]["steps"], held["within"]["ended"]) == (2, {"train": 2}, [])
    held["within"]["seconds"] += 1000
    checkpoints.save(run.path, held)
    train(run)
    assert [row["seconds"] > 1000 for row in run.metrics()] == [False, False, True, False, False, False]


def test_bar_goes_on_within_an_epoch(tmp_path, monkeypatch):
    run, places = run_in(tmp_path, 1e-9), []
    with pytest.raises(Stop):
        train(run, stop=(2, 2))
    monkeypatch.setattr(fitting.progress, "reach", places.append)
    train(run, epochs=4)
    assert places == pytest.approx([3, 3 + 1 / 3, 3 + 2 / 3, 4])


def test_a_process_believed_dead_writes_no_checkpoint_within_an_epoch(tmp_path):
    run = run_in(tmp_path, 1e-9)

    def epoch(this):
        for step in this.steps("train", range(4)):
            if step == 2:  # another process goes on with the run
                facts = run.load("provenance.json")
                run.save("provenance.json", {**facts, "sessions": [*facts["sessions"], *facts["sessions"]]})

    with pytest.raises(ReproError, match="is worked on by another process"), run.session():
        fit(run, {}, 1, epoch)
    assert checkpoints.load(run.path)["within"]["steps"] == {"train": 2}


def test_checkpoint_after_an_epoch_is_that_of_older_versions(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(Stop):
        train(run, stop=(2, 2))
    held = checkpoints.load(run.path)
    assert held.keys() == {"epochs", "state", "random"}
    assert held["epochs"] == 2


def test_other_runs_checkpoint_within_an_epoch_is_refused(tmp_path):
    run = run_in(tmp_path, 1e-9)
    with pytest.raises(Stop):
        train(run, stop=(2, 2))
    whole = checkpoints.load(run.path)
    for wrong in ({"sums": {"other": 1}}, {"other": {}}, "text"):
        held = {**whole["within"], "processes": [{**whole["within"]["processes"][0], "parts": {"train": wrong}}]}
        for within in (held, {"steps": 1}, 1):
            checkpoints.save(run.path, {**whole, "within": within})
            with pytest.raises(ReproError, match="holds another run's checkpoint"):
                train(run)


def test_sums_of_several_processes_are_added_up_where_one_goes_on(tmp_path):
    parts = [{"loss": torch.tensor(loss), "wrong": {1: torch.tensor(3)}, "count": 8} for loss in (2.0, 0.5)]
    random_state = fitting.devices.random_state()
    processes = [{"parts": {"train": {"average": part}}, "random": random_state} for part in parts]
    within = {"steps": {"train": 1}, "ended": [], "seconds": 5.0, "processes": processes}
    average = LossAndErrors()
    assert list(Epoch(0, run_in(tmp_path), within=within).steps("train", [1, 2], average=average)) == [1, 2]
    assert (average.loss.item(), average.wrong[1].item(), average.count) == (2.5, 6, 16)


def test_what_is_not_finite_is_not_checkpointed(tmp_path):
    run = run_in(tmp_path, 1e-9)

    def epoch(this):
        sums = Values(total=0.0)
        for step in this.steps("train", range(4)[this.done("train") :], sums=sums):
            sums.total += float("nan") if step == 2 else 1.0
        return {"loss": sums.total}

    for _ in range(2):
        with pytest.raises(ReproError, match="loss is nan in epoch 0; the checkpoint before it is kept"):
            fit(run, {}, 1, epoch)
        assert checkpoints.load(run.path)["within"]["steps"] == {"train": 2}


@pytest.fixture
def time(monkeypatch):
    """A clock that a test moves."""
    now = Values(seconds=5.0)
    monkeypatch.setattr(fitting.time, "monotonic", lambda: now.seconds)
    return now


@pytest.mark.parametrize("pace", [0.01, 1.0, 7.0, 100.0])
def test_clock_is_looked_at_seldom_and_never_says_it_is_time_too_soon(time, monkeypatch, pace):
    looks, from_leader = [], fitting.parallel.from_leader
    monkeypatch.setattr(fitting.parallel, "from_leader", lambda make: looks.append(time.seconds) or from_leader(make))
    clock, saved = Clock(600.0), [time.seconds]
    while len(saved) < 4:
        time.seconds += pace
        if clock.is_time():
            saved.append(time.seconds)
            clock.restart()
    for one, other in pairwise(saved):
        assert 600 <= other - one < 600 + 2 * pace + 1
    assert len(looks) < 3 * 22


def test_clock_notices_when_steps_slow_down(time):
    clock = Clock(600.0)
    for _ in range(500):
        time.seconds += 0.1
        assert not clock.is_time()
    clock.restart_count()
    steps = 1
    time.seconds += 100
    while not clock.is_time():
        steps, time.seconds = steps + 1, time.seconds + 100
    assert steps == 6


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_checkpoint_is_noticed_and_the_one_before_used(tmp_path, damage, capfd):
    whole, hurt = run_in(tmp_path / "whole"), run_in(tmp_path / "hurt")
    train(whole)
    with pytest.raises(Stop):
        train(hurt, stop=(4, STEPS))
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
        train(run, stop=(3, STEPS))
    os.replace(run.path / checkpoints.NEWEST, run.path / checkpoints.PREVIOUS)
    assert checkpoints.load(run.path)["epochs"] == 3


def no_room(file):
    """What a full disk says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_says_so_and_loses_nothing(tmp_path, monkeypatch):
    whole, run = run_in(tmp_path / "whole"), run_in(tmp_path / "run")
    train(whole)
    with pytest.raises(Stop):
        train(run, stop=(3, STEPS))
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_room)
        with pytest.raises(ReproError, match="No space left on device; make room"):
            train(run)
    assert not list(run.path.glob("*.partial"))
    assert checkpoints.load(run.path)["epochs"] == 3
    train(run)
    assert rows(run) == rows(whole)


def test_non_finite_numbers_stop_the_run(tmp_path):
    run = run_in(tmp_path / "run")
    with pytest.raises(ReproError, match="loss is nan in epoch 0"):
        fit(run, {}, 1, lambda epoch: {"loss": float("nan")})


def test_numbers_that_the_last_step_broke_are_told_and_end_no_run(tmp_path):
    run, task = run_in(tmp_path), Task()

    def breaks(this):
        row = task.epoch(this)
        if this.index == 5:
            with torch.no_grad():
                task.network[0].bias[0] = float("nan")
        return row

    with pytest.raises(Diverged, match=r"0\.bias is not finite after the last step: take a smaller learning rate"):
        fit(run, task.state, 6, breaks)
    with pytest.raises(Diverged, match="test_error is nan: take a smaller learning rate"):
        run.finish({"epochs": 6, "test_error": float("nan")})
    for write in (run.finish, run.log, lambda value: run.save("paths.json", value)):
        with pytest.raises(Diverged, match="alpha is -inf: take a smaller learning rate"):
            write({"ends": [{"xi": 0.5, "alpha": (1.0, -float("inf"))}]})
    assert run.result is None
