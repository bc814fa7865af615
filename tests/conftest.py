"""What every test shares: one thread, examples without a deadline, and the real data where there is some."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repro", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("repro")


def pytest_configure(config):
    """Hide published runs; and GPUs, since tests compare runs bit by bit, but not from tests of what a GPU computes."""
    config.addinivalue_line("markers", "gpu: needs a GPU; run by `make gpu`")
    os.environ["REPRO_PUBLISHED"] = os.devnull
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_folder():
    """The folder that REPRO_DATA names; tests that need real data skip, by name, without it."""
    folder = os.environ.get("REPRO_DATA")
    if not folder:
        pytest.skip("needs real data: REPRO_DATA names no data folder")
    if not Path(folder).is_dir():
        pytest.skip(f"needs real data: the folder {folder} of REPRO_DATA does not exist")
    return Path(folder)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of runs, one of the test's own; data lie beside it."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    return tmp_path / "runs"


@pytest.fixture
def same_bytes(tmp_path):
    """A check that a figure which is drawn twice is written in the same bytes."""
    from repro.report import style

    def check(draw):
        for name in ("first", "second"):
            style.save(draw(), tmp_path / name, None)
        for extension in ("svg", "pdf", "png"):
            assert (tmp_path / f"first.{extension}").read_bytes() == (tmp_path / f"second.{extension}").read_bytes()

    return check
