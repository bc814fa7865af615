"""The benchmarks run, say what they found, and compare like with like."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch

from repro.settings import NOTEBOOKS

sys.path.append(str(NOTEBOOKS.parent))

from benchmarks import __main__ as command
from benchmarks import floors
from benchmarks.cases import cases


def test_a_comparison_is_printed_and_written(tmp_path, monkeypatch, capsys):
    options = ["--cases", "evaluation", "--sizes", "small", "--rounds", "2", "--device", "cpu", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "--to", str(tmp_path)])
    command.main()
    assert capsys.readouterr().out.startswith("evaluation, small: plain ")
    (found,) = json.loads((tmp_path / "cpu.json").read_text())["results"]
    assert len(found["ratios"]["ours"]) == len(found["seconds"]["plain"]) == 2
    assert 0 < found["fraction_of_floor"] < 1
    assert all((tmp_path / f"cpu.{extension}").stat().st_size for extension in ("svg", "pdf", "png"))


@pytest.mark.parametrize("name", cases())
def test_both_formulations_compute_the_same(name):
    """Number by number, in float64, through three steps: the README's table of speeds stands on it."""
    losses = []
    torch.set_default_dtype(torch.float64)
    try:
        for formulation in ("plain", "ours"):
            step = cases()[name].make(formulation, "small", "cpu")
            torch.manual_seed(1)  # of drop path and dropout
            steps = [step() for _ in range(3)]
            losses.append([(made[0] if isinstance(made, tuple) else made).item() for made in steps])
    finally:
        torch.set_default_dtype(torch.float32)
    assert losses[0][0] != losses[0][2]
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)


def test_nothing_is_taken_from_the_tests():
    tests = {path.stem for path in Path(__file__).parent.rglob("*.py")}
    for path in (NOTEBOOKS.parent / "benchmarks").glob("*.py"):
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {getattr(node, "module", None) or alias.name for node in nodes for alias in node.names}
        assert not {name.split(".")[0] for name in names} & {*tests, "tests"}, path


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
