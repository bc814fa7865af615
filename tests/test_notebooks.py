"""The notebooks: each says what it reproduces and leads on, and Run All works in Jupyter without Papermill."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from repro import engine
from repro.experiments import EXPERIMENTS, find
from repro.runs import existing_runs
from repro.settings import NOTEBOOKS

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def opening(experiment):
    return nbformat.read(NOTEBOOKS / experiment.notebook, as_version=4).cells[0].source


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_notebook_opens_with_what_where_cost_and_result(experiment):
    text = opening(experiment)
    assert text.startswith(f"# {experiment.title}\n")
    claim = next(line for line in text.splitlines() if line.startswith("**Reproduces**"))
    assert re.search(r"of (DARTS \(ICLR 2019\)|SPOS \(ECCV 2020\))", claim)
    assert re.search(r"\*\*costs?( in the paper)?\*\*", claim)
    assert "**in the paper**" in claim


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_notebook_leads_to_its_input_and_to_the_next(experiment):
    links = re.findall(r"\]\(([^)]+\.ipynb)\)", opening(experiment))
    needed = {find(reference.experiment).notebook for reference in experiment.needs(experiment.parameters())}
    assert needed <= set(links)
    names = [path.name for path in PATHS]
    assert links[-1] == names[names.index(experiment.notebook) + 1]


def test_run_all_in_jupyter_needs_no_papermill(tmp_path, monkeypatch):
    """The kernel is started as JupyterLab does: in the notebooks' folder, with nothing injected."""
    for name in ("REPRO_RUN", "REPRO_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    path = NOTEBOOKS / "00_bilevel_toy.ipynb"
    notebook = engine.read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import sys; sys.modules['papermill'] = None"))
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}})
    client.execute(transport_encryption="auto")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    kinds = [kind for cell in code for output in cell.outputs for kind in output.get("data", {})]
    assert {"text/html", "image/png"} <= set(kinds)
    (run,) = existing_runs()
    assert run.name == "bilevel-toy/smoke"
    assert run.result["ends"][0]["alpha"] == pytest.approx(2, abs=0.01)
    assert (run.path / "figure2.svg").exists()
