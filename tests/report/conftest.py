"""A folder of published runs that a test may fill."""

import os

import pytest
from publishing import SUM, checkout

from repro.data import datasets
from repro.report import publish


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The folder of published runs: of a machine with one data set, and a clean checkout."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("REPRO_PUBLISHED", str(tmp_path / "published"))
    monkeypatch.setitem(datasets.DATASETS, "cifar10", datasets.DataSet(lambda: SUM, None))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    publish._checksums.cache_clear()
    checkout(monkeypatch)
    (tmp_path / "published").mkdir()
    return tmp_path / "published"
