"""A notebook in JupyterLab, in a real browser: interrupted, gone on with, restarted, and only read."""

import nbformat
from browser import eventually, opened
from golden import untimed

from repro.files import read_lines
from repro.settings import NOTEBOOKS, ROOT

# Seconds of training in many epochs; and what is drawn of it is left out
SIZES = {"images": 64, "batch": 16, "channels": 2, "cells": 1, "nodes": 1, "epochs": 40, "order": 1}


def edited(folder):
    """A copy of the search's notebook, with these sizes in its parameters cell, which only computes and finishes."""
    notebook = nbformat.read(NOTEBOOKS / "01_cifar10_search.ipynb", as_version=4)
    for name, value in SIZES.items():
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source = cell.source.replace(f"\n{name} = ...", f"\n{name} = {value}")
    words = ("find_spec", "profile =", "notebooks.start", "notebooks.compute", "run.finish")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [next(cell for cell in code if word in cell.source) for word in words]
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "search.ipynb")
    return folder / "notebooks" / "search.ipynb"


def said(cell):
    """What a cell's outputs say: streams, errors and texts."""
    outputs = cell["outputs"]
    texts = [
        output.get("text") or output.get("traceback") or output["data"].get("text/plain", "") for output in outputs
    ]
    return "\n".join("".join(text) if isinstance(text, list) else text for text in texts)


def test_a_run_is_interrupted_gone_on_with_and_read_again(tmp_path):
    names = {"REPRO_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with opened(edited(tmp_path), tmp_path, **names) as lab:
        metrics = lambda: [untimed(read_lines(path)) for path in tmp_path.glob("runs/*/*/metrics.jsonl")]
        lab.run("runmenu:run-all")
        eventually(lambda: metrics() and len(metrics()[0]) >= 2)
        lab.click('[data-jp-item-name="interrupt"] jp-button')
        eventually(lambda: "interrupted: run this cell again" in said(lab.cells()[-2]) and lab.idle())
        (error,) = [output for output in lab.cells()[-2]["outputs"] if output["output_type"] == "error"]
        assert len(error["traceback"]) == 1
        assert lab.cells()[-1]["execution_count"] is None
        (kept,) = metrics()  # without times: an epoch that no checkpoint covers yet is computed again
        assert 2 <= len(kept) < SIZES["epochs"]

        lab.run("runmenu:run-all")  # goes on
        eventually(lambda: [*tmp_path.glob("runs/*/*/result.json")] and lab.idle())
        (whole,) = metrics()
        assert whole[: len(kept)] == kept
        assert [row["epoch"] for row in whole] == [*range(SIZES["epochs"])]

        lab.click('[data-jp-item-name="restart-and-run"] jp-button')
        lab.click(".jp-Dialog .jp-mod-accept")
        eventually(lambda: "nothing was computed" in said(lab.cells()[-2]))
        eventually(lambda: "provenance" in said(lab.cells()[-1]) and lab.idle())
        assert f"read from {tmp_path / 'runs'}" in said(lab.cells()[-2])
        assert metrics() == [whole]
        lab.picture(tmp_path / "lab.png")
