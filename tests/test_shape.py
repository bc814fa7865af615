"""The package's shape: recipes without notebook tools, notebooks that narrate and do not compute, short modules."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill import inspect_notebook

from repro.configs.registry import EXPERIMENTS
from repro.execution import listing
from repro.execution.notebooks import parameters_of
from repro.report.publish import machines

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "repro"
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize(
    "module", ["recipe", "experiments.toy", "experiments.cifar10_search", "experiments.cifar10_cells"]
)
def test_recipes_run_without_notebook_tools(module):
    script = (
        f"import sys; sys.modules.update(papermill=None, nbconvert=None, jupyterlab=None, IPython=None); "
        f"import repro.{module}"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_a_clean_narration(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert notebook.cells[0].cell_type == "markdown"
    assert "papermill" not in notebook.metadata
    for cell in code:
        assert not cell.outputs
        assert cell.execution_count is None
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.While)
            if isinstance(node, ast.For):
                assert len(list(ast.walk(node))) < 80, cell.source


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_parameters_cell_is_the_table_of_the_defaults(experiment):
    path = ROOT / "notebooks" / experiment.notebook
    cell = next(c for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", []))
    assert cell.source.splitlines() == listing.cell(experiment)  # `repro show NAME --cell` prints it
    assert parameters_of(cell.source) == {"profile": "smoke", **dict.fromkeys(experiment.parameters().values(), ...)}
    assert inspect_notebook(str(path)).keys() == parameters_of(cell.source).keys()


def test_links_of_notebooks_lead_somewhere():
    for path in NOTEBOOKS:
        for cell in (cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"):
            for target in re.findall(r"\]\(([^)#:\s]+)\)", cell.source):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_nothing_tracked_names_a_machine():
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout: what is tracked is asked of git")
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in names if (ROOT / name).is_file()]
    assert {ROOT / "README.md", *NOTEBOOKS} <= set(paths)
    found = {path.name: machines(path.read_text(encoding="utf-8", errors="replace")) for path in paths}
    assert not {name: words for name, words in found.items() if words}


@pytest.mark.parametrize(
    "parts",
    [
        ("data in /", "home/ada/data"),
        ('"/', 'Users/ada/x.ipynb"'),
        ("made at\\n/", "tmp/run"),
        ("see C:\\", "Users\\ada"),
        ("file:", "///wheels"),
        ("pip install --extra-index-url", " example.org"),
        ("https:", "//pypi.org.example.net/torch"),
        ("https:", "//registry.example.org:8443/x"),
        ("https:", "//packages.example.org/py/simple"),
        ("http:", "//gpu7.internal"),
    ],
)
def test_names_of_a_machine_are_seen(parts):
    assert machines("".join(parts))


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env bash and 2> /dev/null, /proc/self/status, /path/to/data, ~/data, $HOME/tmp/x, runs/tmp/x",
        "https://raw.githubusercontent.com/a/b/master/home/x.txt and https://www.cs.toronto.edu/tmp/y",
        "pip install --index-url"
        + ",".join(
            f" {'https:'}//{public}.org/" + "simple" for public in ("download.pytorch", "pypi", "files.pythonhosted")
        ),
        "a simple registry of experiments; conda, PyPI and a mirror image; work/life; internal: 3",
    ],
)
def test_what_names_no_machine_passes(text):
    assert not machines(text)


def test_no_module_is_too_long():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) < 400, path
