"""The benchmarks run, say what they found, and compare like with like."""

import json
import sys

import pytest
import torch

from repro.settings import NOTEBOOKS

sys.path.append(str(NOTEBOOKS.parent))

from benchmarks import __main__ as command
from benchmarks import evaluation, floors


def test_a_comparison_is_printed_and_written(tmp_path, monkeypatch, capsys):
    options = ["--cases", "evaluation", "--sizes", "small", "--rounds", "2", "--device", "cpu", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "--to", str(tmp_path)])
    command.main()
    assert capsys.readouterr().out.startswith("evaluation, small: plain ")
    (found,) = json.loads((tmp_path / "cpu.json").read_text())["results"]
    assert len(found["ratios"]["ours"]) == len(found["seconds"]["plain"]) == 2
    assert 0 < found["fraction_of_floor"] < 1
    assert all((tmp_path / f"cpu.{extension}").stat().st_size for extension in ("svg", "pdf", "png"))


def test_both_evaluation_steps_compute_the_same():
    losses = []
    for formulation in ("plain", "ours"):
        step = evaluation.make(formulation, "small", "cpu")
        torch.manual_seed(1)  # of drop path
        losses.append([step().item() for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_product_is_counted_as_it_is_by_hand():
    a, b = torch.randn(8, 16), torch.randn(16, 4)
    assert floors.count(lambda: a @ b) == {
        "operations": 2 * 8 * 16 * 4,
        "bytes": 4 * (8 * 16 + 16 * 4 + 8 * 4),
        "launches": 1,
    }
    assert floors.count(lambda: a.T.view(16, 8)) == {"operations": 0, "bytes": 0, "launches": 0}

    assert floors.floor({"operations": 10, "bytes": 40, "launches": 3}, {"operations": 2, "bytes": 4}) == {
        "operations": 5,
        "bytes": 10,
    }
