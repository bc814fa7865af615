"""Finished runs to be published, and what the command says of them."""

import nbformat

from repro.configs.registry import find
from repro.report import publish
from repro.runs import provenance
from repro.runs import run as runs

SUM = "5" * 64
COMMIT = "c" * 40
EVAL = {"genotype": "run:cifar10-search/order=1"}


def checkout(monkeypatch, commit=COMMIT, status=""):
    monkeypatch.setattr(provenance, "_git", lambda command, *_: commit if command == "rev-parse" else status)


def finish(name="cifar10-search", result=None, profile="short", said="", **overrides):
    """A run with a checkpoint and an executed notebook."""
    run = runs.open_run(find(name), profile, overrides)
    with run.session():
        data = {"data": {"cifar10": SUM}} if run.params.part("data") else {}
        run.record(device="CPU, 1 thread", **data)
        run.log({"epoch": 0, "seconds": 1.0})
        run.finish(result or {"valid_error": 30.0})
    for left in ("checkpoint.pt", "alpha.svg", "notes.txt"):
        (run.path / left).write_text("stays behind")
    write_notebook(run, said)
    return run


def write_notebook(run, said="", count=1):
    output = nbformat.v4.new_output("stream", text=f"{said}\n")
    cell = nbformat.v4.new_code_cell("print()", execution_count=count, outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), run.path / "notebook.ipynb")


def outcome(*paths):
    return [tuple(each) for each in publish.publish([str(path) for path in paths])]


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
