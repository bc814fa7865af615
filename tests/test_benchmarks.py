"""The benchmarks run, say what they found, and compare like with like."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import floors, measure, paths
from benchmarks.cases import cases
from repro.settings import ROOT

CASES = {**cases(), **paths.CASES}


def test_a_comparison_is_printed_and_written(tmp_path, monkeypatch, capsys):
    options = ["--cases", "evaluation", "--sizes", "small", "--rounds", "2", "--device", "cpu", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "--to", str(tmp_path)])
    command.main()
    assert capsys.readouterr().out.startswith("evaluation, small: plain ")
    (found,) = json.loads((tmp_path / "cpu.json").read_text())["results"]
    assert len(found["ratios"]["ours"]) == len(found["seconds"]["plain"]) == 2
    assert 0 < found["fraction_of_floor"] < 1
    assert all((tmp_path / f"cpu.{extension}").stat().st_size for extension in ("svg", "pdf", "png"))


@pytest.mark.parametrize("name", CASES)
def test_both_formulations_compute_the_same(name):
    """Number by number, in float64, through three steps: the README's table of speeds stands on it."""
    losses = []
    torch.set_default_dtype(torch.float64)
    try:
        for formulation in (None, {}):
            step = CASES[name].make(formulation, "small", "cpu")
            torch.manual_seed(1)  # of drop path and dropout
            losses.append([step().item() for _ in range(3)])
    finally:
        torch.set_default_dtype(torch.float32)
    assert losses[0][0] != losses[0][2]
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)


def test_nothing_is_taken_from_the_tests():
    tests = {path.stem for path in Path(__file__).parent.rglob("*.py")}
    for path in (ROOT / "benchmarks").rglob("*.py"):
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


@pytest.mark.parametrize(("channels", "groups"), [(128, 128), (16, 4), (8, 1)])
def test_gradients_of_convolutions_are_counted_as_they_are_by_hand(channels, groups):
    """Each of them takes the multiply-adds of the convolution itself."""
    x = torch.randn(2, channels, 6, 6, requires_grad=True)
    weight = torch.randn(channels, channels // groups, 3, 3, requires_grad=True)
    forwards = 2 * (2 * channels * 6 * 6) * (channels // groups * 3 * 3)
    convolve = lambda: torch.nn.functional.conv2d(x, weight, padding=1, groups=groups).sum()
    assert floors.count(convolve)["operations"] == forwards
    assert floors.count(lambda: torch.autograd.grad(convolve(), [x, weight]))["operations"] == 3 * forwards


def test_meta_tensors_are_counted_as_others():
    product = lambda device: floors.count(lambda: torch.ones(8, 16, device=device) @ torch.ones(16, 4, device=device))
    assert product("meta") == product("cpu")
    assert floors.count(lambda: torch.ones(8, 16, device="meta").T)["launches"] == 1


def test_a_missing_drawing_package_costs_the_figure_alone(tmp_path, monkeypatch, capsys):
    """What is measured is written before anything that draws is imported."""
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "benchmarks.figure", raising=False)
    monkeypatch.delattr(sys.modules["benchmarks"], "figure", raising=False)
    command.write(tmp_path, [], torch.device("cpu"))
    assert json.loads((tmp_path / "cpu.json").read_text())["results"] == []
    assert capsys.readouterr().out == f"wrote {tmp_path}/cpu.json, and no figure: matplotlib is not installed\n"


def test_memory_is_that_of_the_formulation_alone():
    """Counted in this process."""
    make = CASES["recurrent evaluation"].make
    plain, ours = (measure.warmed(lambda how=how: make(how, "small", "cpu"), "cpu")[2] for how in (None, {}))
    assert 2 < ours < plain
