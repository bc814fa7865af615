"""A run that an older package began, whose modules had other names: it is read, goes on, and stands in the tables."""

import shutil
from pathlib import Path

import pytest
from finished import existing_runs

from repro import recipe
from repro.execution import records
from repro.runs import states

OLD = Path(__file__).parent / "stopped_run"
VALUES = {"images": "40", "batch": "16", "channels": "1", "cells": "1", "nodes": "1", "epochs": "2"}


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """The same run, made now from its beginning."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "now"))
    return recipe.run_recipe("cifar10-search", "smoke", VALUES)


def test_it_is_read_and_goes_on_to_the_same_end(tmp_path, monkeypatch, whole):
    shutil.copytree(OLD, tmp_path / "runs")
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    (before,) = existing_runs()
    assert states.state(before).word == "stopped"
    first = before.metrics()
    assert len(first) == 1
    after = recipe.run_recipe("cifar10-search", "smoke", VALUES)
    assert after.path == before.path
    assert after.metrics()[:1] == first
    names = ("train_loss", "valid_loss", "lr")  # another processor rounds otherwise
    one, other = after.metrics()[1], whole.metrics()[1]
    assert [one[name] for name in names] == pytest.approx([other[name] for name in names], rel=1e-4)
    assert after.result["epochs"] == 2
    assert [line["name"] for line in records.status()["runs"]] == [after.name]
