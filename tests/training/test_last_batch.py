"""A last batch of one image, with which BatchNorm can do nothing: left out wherever something trains by batches."""

import math

import pytest
import torch
from torch import nn

from repro.configs.registry import find
from repro.darts.cnn.search import validate
from repro.data import folders
from repro.data.loader import Loader, valid_transform
from repro.errors import UsageError
from repro.recipe import run_recipe
from repro.runs.identity import resolve
from repro.training.fit import Epoch

TINY = {"images": "25", "batch": "12", "channels": "2", "cells": "3", "epochs": "2", "genotype": "DARTS_V2"}


def test_a_cell_with_an_auxiliary_head_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    run = run_recipe("cifar10-eval", "smoke", {**TINY, "auxiliary_weight": "0.4"})
    assert len(run.metrics()) == 2


def test_a_search_validates_maps_of_one_pixel():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))

    def judge(images, labels):
        logits = network(images)
        return nn.functional.cross_entropy(logits, labels), logits

    row = validate(judge, torch.randn(9, 1, 2, 2), torch.arange(9) % 3, lambda x: x, 4, Epoch(0))
    assert math.isfinite(row["valid_loss"])


def test_pictures_train_without_it_and_are_all_validated(tmp_path):
    part = folders.find(folders.pictures(tmp_path / "pictures"), 8).train.head(25)
    common = {"seed": 0, "workers": 0, "device": torch.device("cpu"), "skip": False}
    for shuffled, sizes in ((True, [12, 12]), (False, [12, 12, 1])):
        loader = Loader(part, valid_transform(8, 8), 12, shuffled=shuffled, **common)
        assert len(loader) == len(sizes)
        assert [len(labels) for _, labels in loader] == sizes


def test_statistics_of_one_image_are_refused():
    with pytest.raises(UsageError, match="bn_images=1 is out of range: it must be at least 2"):
        resolve(find("spos-supernet"), "smoke", {"bn_images": 1})
