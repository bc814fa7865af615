"""The worked examples: each diff is applied to a copy of the package, and each program of docs/ runs as it stands."""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from prose import PAGES, README, ROOT, blocks, commands

LIBRARY = [*blocks("python", README), *blocks("python", PAGES[ROOT / "docs" / "library.md"])]


def patched(folder, diff):
    """A copy of package and notebooks with the changes of a diff; a file that there is not is a new one."""
    for name in ("repro", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file, changes in re.findall(r"^# (\S+/\S+)\n(.*?)(?=^# |\Z)", diff, re.MULTILINE | re.DOTALL):
        text = (folder / file).read_text() if (folder / file).exists() else ""
        for change in changes.split("@@\n"):
            lines = change.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(old) == 1, f"{file} no longer holds what the example changes:\n{old}"
            text = text.replace(old, new)
        (folder / file).write_text(text)
    return folder


def python(folder, *arguments, cwd=None, **environment):
    """Run Python with the package of a folder, there or in `cwd`; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "REPRO_RUNS": str(folder / "runs"), **environment}
    command = [sys.executable, *arguments]
    answer = subprocess.run(command, cwd=cwd or folder, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


TINY = [
    f"{name}={value}" for name, value in {"images": 48, "batch": 16, "epochs": 1, "channels": 2, "cells": 3}.items()
]


def test_the_data_set_of_the_example_can_be_searched_on(tmp_path):
    (diff,) = [block for block in blocks("diff") if "SOURCES" in block]
    package, random = patched(tmp_path, diff), np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 300), ("test", 90)):
        arrays[f"x_{part}"] = random.integers(0, 256, (n, 16, 16, 3), np.uint8)
        arrays[f"y_{part}"] = np.arange(n) % 3
    np.savez(tmp_path / "mine.npz", **arrays)
    printed = [command for block in blocks("sh") for command in commands(block) if "dataset=mine" in command]
    assert [command[2] for command in printed] == ["cifar10-search", "cifar10-eval"]
    for command in printed:
        values = [word for word in command[3:] if word != "-p"]  # exactly as printed; without the notebook
        python(package, "-m", "repro.recipe", command[2], *values, REPRO_DATA=str(tmp_path))
        assert list((tmp_path / "runs" / command[2]).glob("*/result.json"))


NEW_OPERATION = """
import json
import torch
from repro import recipe
from repro.darts.cnn import search_network
from repro.spaces.genotypes import SEARCH_OPERATIONS
from repro.runs.run import folders, read_run

torch.manual_seed(0)
network, x = search_network.SearchNetwork(4, 10, 3, 2, in_channels=1).double(), torch.randn(2, 1, 8, 8).double()
for alpha in network.alphas:
    alpha.data[:, SEARCH_OPERATIONS.index("dil_conv_7x7")] += 5
folded = network(x)
search_network.folds_on = lambda device: False
on_a_gpu = network(x)
assert torch.allclose(on_a_gpu, folded, rtol=1e-9)
assert recipe.main(["cifar10-search", "nodes=1", *TINY]) == 0
(run,) = map(read_run, folders("cifar10-search"))
assert len(run.metrics()[0]["softmax_alpha"]["normal"][0]) == 9
edges = [["dil_conv_7x7", 0], ["dil_conv_7x7", 1]]
cell = {"normal": edges, "normal_concat": [2], "reduce": edges, "reduce_concat": [2]}
run.save("cell.json", cell)
assert recipe.main(["cifar10-eval", f"genotype={run.path / 'cell.json'}", *TINY]) == 0
"""


def test_the_operation_of_the_example_is_searched_and_trained(tmp_path):
    (diff,) = [block for block in blocks("diff") if "dil_conv_7x7" in block]
    package = patched(tmp_path, diff)
    python(package, "-c", f"TINY = {TINY!r}\n{NEW_OPERATION}")


NEW_BLOCK = """
from repro import recipe
from repro.runs.run import folders, read_run

tiny = {"images": 200, "batch": 16, "iterations": 1, "bn_images": 64, "evaluated_paths": 1, "valid_images": 100}
assert recipe.main(["spos-supernet", *(f"{name}={value}" for name, value in tiny.items())]) == 0
(run,) = map(read_run, folders("spos-supernet"))
assert run.result["networks"] == 5**4
"""


def test_the_block_of_the_example_is_chosen_among_others(tmp_path):
    (diff,) = [block for block in blocks("diff") if "shuffle_9x9" in block]
    python(patched(tmp_path, diff), "-c", NEW_BLOCK)


def test_the_experiment_of_the_example_runs_with_and_without_its_notebook(tmp_path):
    (diff,) = [block for block in blocks("diff") if "BilevelStarts" in block]
    assert len(re.findall(r"^# ", diff, re.MULTILINE)) == 3
    assert not re.findall(r"^[- ]", diff, re.MULTILINE)
    package = patched(tmp_path, diff)
    notebook = nbformat.read(tmp_path / "notebooks" / "09_bilevel_starts.ipynb", as_version=4)
    assert nbformat.validate(notebook) is None
    shown = python(package, "-m", "repro", "show", "bilevel-starts", "--cell")
    assert shown.splitlines() == notebook.cells[1].source.splitlines()
    assert "bilevel-starts" in python(package, "-m", "repro", "list")
    (printed,) = [commands(block) for block in blocks("console") if "bilevel-starts" in block]
    assert [command[0] for command in printed] == ["repro", "python"]
    elsewhere = tmp_path / "elsewhere"  # for a kernel leaves the folder that it starts in out of its path
    elsewhere.mkdir()
    for command in printed:
        python(package, "-m", *(["repro", *command[1:]] if command[0] == "repro" else command[2:]), cwd=elsewhere)
    results = sorted((tmp_path / "runs" / "bilevel-starts").glob("*/result.json"))
    assert [path.parent.name for path in results] == ["paper,starts=1.0+3.0", "smoke,xi=0.1"]
    assert results[1].with_name("notebook.ipynb").exists()


NEW_FIGURE = """
import json
from pathlib import Path
from repro import recipe

assert recipe.main(["cifar10-search", *TINY]) == 0
cells = [c for c in json.loads(Path("notebooks/90_report.ipynb").read_text())["cells"] if c["cell_type"] == "code"]
places = [place for place, cell in enumerate(cells) if cell["id"] == "alpha-entropy"]
names = {}
for place in (0, 1, 2, *places):  # the package is there, parameters, imports, the new cell
    exec("".join(cells[place]["source"]), names)
assert len(places) == 1
assert [path.suffix for path in sorted(Path("report/entropy").iterdir())] == [".pdf", ".png", ".svg"]
"""


def test_the_figure_of_the_example_is_drawn_by_its_cell(tmp_path):
    (diff,) = [block for block in blocks("diff") if "entropy" in block]
    python(patched(tmp_path, diff), "-c", f"TINY = {TINY!r}\n{NEW_FIGURE}")


@pytest.mark.parametrize("program", LIBRARY, ids=range(len(LIBRARY)))
def test_programs_run_and_print_the_numbers_beside_them(program, capsys):
    names = {}
    with torch.random.fork_rng():
        exec(compile(program, "example", "exec"), names)
    printed = capsys.readouterr().out
    assert printed
    for number in re.findall(r"\d{6,}", " ".join(re.findall(r"#(.*)", program))):
        assert number in printed
    if "Mixed" in names:  # most of alpha is on the layer that can learn
        assert names["network"].alpha.softmax(0)[1] > 0.9


def test_the_bilevel_step_takes_ten_lines():
    (program,) = [program for program in LIBRARY if "Mixed" in program]
    (step,) = re.findall(r"^# The bilevel step.*?\n(.+?)\n\n", program, re.MULTILINE | re.DOTALL)
    assert len(step.splitlines()) == 10
