"""Every kind of training, stopped again and again after random steps within its epochs, ends bit-identical."""

import random

import pytest
import torch

from repro.configs.registry import find
from repro.data.folders import pictures
from repro.runs.run import open_run
from repro.spaces.path_spaces import SPACES
from repro.spos.choice_blocks import Layout
from repro.training import checkpoints, fit

SEARCH = {"images": 48, "batch": 8, "channels": 1, "cells": 2, "nodes": 1, "epochs": 2}
CELLS = {"images": 48, "batch": 8, "channels": 1, "epochs": 2}
CELL_PATHS = {"images": 200, "batch": 20, "channels": 1, "epochs": 3, "valid_images": 50, "bn_images": 40, "ranked": 3}
CELL_PATHS |= {"search_every": 2, "generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1}
TRAINING = {"images": 48, "batch": 10, "channels": 2, "drop_path_rate": 0.3, "genotype": "DARTS_V2", "epochs": 2}
PICTURES = {"images": 40, "batch": 8, "channels": 2, "drop_path_rate": 0.3, "warmup": 1.5, "genotype": "DARTS_V2"}
PICTURES |= {"size": 32, "resize": 36, "epochs": 2}
TEXT = {"tokens": 600, "bptt": 10, "hidden_size": 8, "batch": 8}
FEW = {"generations": 1, "population": 2, "parents": 1, "mutation": 1, "crossover": 0}
PATHS = {"images": 200, "batch": 20, "width": 0.5, "iterations": 17}
SUPERNET = {**PATHS, "valid_images": 50, "bn_images": 40, "evaluated_paths": 1}
ON_PICTURES = {"dataset": "imagenet", "classes": 8, "batch": 32, "iterations": 7}

KINDS = {
    "search, first order": ("cifar10-search", {**SEARCH, "order": 1}),
    "search, second order": ("cifar10-search", SEARCH),
    "search of cells": ("nb201-search", {**CELLS, "eigenvalue": "power", "gap": True, "temperature": 0.1}),
    "supernet of cells": ("nb201-paths", CELL_PATHS),
    "random search": ("cifar10-random", {**TRAINING, "samples": 2, "genotype": None}),
    "evaluation": ("cifar10-eval", TRAINING),
    "evaluation on pictures": ("imagenet-eval", {**PICTURES, "workers": 1}),
    "language search": ("ptb-search", {**TEXT, "nodes": 2}),
    "recurrent supernet": ("ptb-paths", {**TEXT, "nodes": 2, **FEW}),
    "language model": ("ptb-eval", {**TEXT, "genotype": "DARTS_V2_RNN", "lr": 40.0, "epochs": 5}),
    "supernet": ("spos-supernet", SUPERNET),
    "retraining": ("spos-retrain", {**PATHS, "architecture": "xception"}),
    "retraining on pictures": ("spos-retrain", {**ON_PICTURES, "workers": 0, "architecture": "shuffle_5x5"}),
}


class Stop(Exception):
    pass


class Clock:
    """Stands for the clock: it is time after random steps and before the last one, in which the session is stopped."""

    def __init__(self, dice=None, last=0):
        self.dice, self.last, self.steps = dice, last, 0

    def restart(self):
        """There is a checkpoint."""

    def restart_count(self):
        """A pass begins."""

    def is_time(self):
        self.steps += 1
        if self.steps == self.last:
            raise Stop
        return self.dice is not None and (self.steps == self.last - 1 or self.dice.random() < 0.3)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    pictures(folder / "imagenet")
    return folder


@pytest.fixture
def session(photographs, tmp_path, monkeypatch):
    """One session on a run of a kind in a folder, under a clock; the run, or None where it was stopped."""
    monkeypatch.setenv("REPRO_DATA", str(photographs))
    small = Layout(32, 3, 8, stem=4, widths=(8, 16), repeats=(1, 1), strides=(2, 2), head=16)
    monkeypatch.setitem(SPACES["blocks"].layouts, "imagenet", small)

    def run(kind, folder, clock):
        monkeypatch.setenv("REPRO_RUNS", str(tmp_path / folder))
        monkeypatch.setattr(fit, "Clock", lambda seconds: clock)
        name, changes = KINDS[kind]
        experiment = find(name)
        opened = open_run(experiment, "smoke", {key: value for key, value in changes.items() if value is not None})
        with opened.session():
            try:
                opened.finish(experiment.compute(opened.params, opened))
            except Stop:
                return None
        return opened

    return run


def contents(run):
    """Metrics without times, result and checkpoints of a finished run and its parts."""
    rows, states = {}, {}
    for path in sorted(run.path.glob("**/checkpoint.pt")):
        part = path.parent.relative_to(run.path)
        lines = run.child(str(part)).metrics()
        rows[part] = [{key: value for key, value in row.items() if "second" not in key} for row in lines]
        states[part] = checkpoints.load(path.parent)
    return run.result, rows, states


def assert_same(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_within_epochs_it_ends_bit_identical(kind, session):
    undisturbed, dice = Clock(), random.Random(kind)
    whole = session(kind, "whole", undisturbed)
    for _ in range(3):
        assert session(kind, "stopped", Clock(dice, dice.randint(2, undisturbed.steps // 3))) is None
    ended = session(kind, "stopped", Clock(dice))
    assert_same(contents(ended), contents(whole))
    if kind == "language model":
        assert {row["averaging"] for row in whole.metrics()} == {False, True}
