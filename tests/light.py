"""A notebook that takes moments, for tests of what executes it: no more than its parameters and the cell of a test."""

import shutil

import nbformat

from repro.configs.registry import find
from repro.execution import runner
from repro.settings import NOTEBOOKS

START = """
import os, signal, sys, time
from repro.execution import notebooks
from repro.errors import ReproError
run = notebooks.start({name!r}, globals())
"""


def notebook(tmp_path, monkeypatch, code, name="cifar10-search"):
    """Let the experiment's notebook do this with its `run`; runs lie in the folder `runs`."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    folder = shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    monkeypatch.setattr(runner, "NOTEBOOKS", folder)
    path = folder / find(name).notebook
    content = nbformat.read(path, as_version=4)
    own = next(place for place, cell in enumerate(content.cells) if "parameters" in cell.metadata.get("tags", []))
    content.cells[own + 1 :] = [nbformat.v4.new_code_cell(START.format(name=name) + code)]
    nbformat.write(content, path)
