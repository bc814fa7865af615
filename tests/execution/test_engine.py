"""Execution by Papermill, strict: success is every cell and result.json; failures are saved, named and contained."""

import json
import re
import shutil

import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from repro.cli import main
from repro.configs.registry import find
from repro.errors import ReproError, line
from repro.execution import engine, runner
from repro.execution.engine import executed
from repro.runs.run import open_run
from repro.settings import NOTEBOOKS, ROOT

TOY = "00_bilevel_toy.ipynb"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A runs folder and a copy of the notebooks that a test may damage."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    monkeypatch.setattr(runner, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def change(path, edit):
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)


def test_run_is_executed_once_and_then_left_alone(folder, capfd):
    assert main(["run", "bilevel-toy", "-p", "steps=7"]) == 0
    path = folder / "runs" / "bilevel-toy" / "smoke,steps=7"
    assert {file.name for file in path.iterdir()} >= {"params.json", "provenance.json", "result.json", "notebook.ipynb"}
    assert executed(path / "notebook.ipynb")
    facts = json.loads((path / "provenance.json").read_text())
    assert facts["sessions"][0]["command"] == "repro run bilevel-toy -p steps=7"
    before = (path / "notebook.ipynb").stat().st_mtime_ns
    assert main(["run", "bilevel-toy", "-p", "steps=7"]) == 0
    assert "nothing to do: all 1 runs are done" in capfd.readouterr().out
    assert (path / "notebook.ipynb").stat().st_mtime_ns == before


def test_the_kernel_imports_its_starters_package_first_wherever_it_is_started(folder, monkeypatch):
    """In the root of a checkout too: else a run there would compute with the installed package's code."""
    source = folder / "notebooks" / TOY
    change(source, lambda notebook: notebook.cells.__setitem__(slice(4, None), [nbformat.v4.new_code_cell(PATH)]))
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    engine.execute(source, folder / "executed.ipynb", {}, {})
    assert f"first {ROOT}, safe 1" in (folder / "executed.ipynb").read_text()


def test_all_bars_of_a_cell_leave_one_line_and_not_as_an_error(folder):
    source = folder / "notebooks" / TOY
    change(source, lambda notebook: notebook.cells.__setitem__(slice(4, None), [nbformat.v4.new_code_cell(BARS)]))
    engine.execute(source, folder / "executed.ipynb", {}, {})
    (output,) = nbformat.read(folder / "executed.ipynb", as_version=4).cells[-1].outputs
    assert output.name == "stdout"
    said, line = output.text.splitlines()
    assert said == "before"
    assert line.startswith("cell-2: 100%")
    assert line.endswith("valid_error=2; 2 more before it")


BARS = """
from repro import progress
print("before")
with progress.one_line():
    for number in range(3):
        with progress.bar(f"cell-{number}", 0, 2) as bar:
            bar.update(1)
            with progress.bar("within", 0, 5) as inner:
                inner.update(5)
            bar.update(1)
            bar.set_postfix(valid_error=number)
"""
PATH = "import sys\n\nprint(f'first {sys.path[0]}, safe {sys.flags.safe_path:d}')"


def test_result_made_elsewhere_is_read_not_computed(folder):
    run = open_run(find("bilevel-toy"), "smoke", {"steps": 7})
    run.save("trajectories.json", [{"xi": 0.0, "alpha": [2.0, 1.0], "weight": [-2.0, 1.0], "fixed_point": 1.0}])
    end = {"xi": 0.0, "alpha": 123.0, "weight": 1.0, "valid_loss": 1.0, "fixed_point": 1.0}
    run.finish({"ends": [end]})
    assert main(["run", "bilevel-toy", "-p", "steps=7"]) == 0
    assert re.search(r"<td[^>]*>123</td>", (run.path / "notebook.ipynb").read_text())
    assert "nothing was computed" in (run.path / "notebook.ipynb").read_text()
    assert run.result == {"ends": [end]}


def test_failing_cell_is_saved_named_and_the_others_still_run(folder, capfd):
    def break_search(notebook):
        finish = next(cell for cell in notebook.cells if "run.finish" in cell.source)
        finish.source = "raise RuntimeError('planted')"

    change(folder / "notebooks" / TOY, break_search)
    other = folder / "notebooks" / "01_cifar10_search.ipynb"
    change(other, lambda notebook: notebook.cells.__setitem__(slice(4, None), [nbformat.v4.new_code_cell(FINISH)]))
    assert main(["run", "bilevel-toy", "cifar10-search"]) == 1
    out, err = capfd.readouterr()
    assert "FAILED    bilevel-toy/smoke" in out
    assert "ran       cifar10-search/smoke" in out
    assert err.strip().splitlines()[-1].endswith("failed: RuntimeError: planted")
    assert "Traceback" not in err
    saved = folder / "runs" / "bilevel-toy" / "smoke" / "notebook.ipynb"
    assert "planted" in saved.read_text()
    assert not executed(saved)
    assert not (saved.parent / "result.json").exists()
    assert not (saved.parent / "kernel.log").exists()


FINISH = (
    "from repro.execution import notebooks\nnotebooks.start('cifar10-search', globals()).finish({'valid_error': 1.0})"
)


def test_an_error_of_a_class_below_ours_ends_in_its_line_and_keeps_its_traceback(folder):
    source = folder / "notebooks" / TOY
    below = "class Own(UsageError): pass\n\nclass Mine(Own): pass\n\nraise Mine('of nan,\\n  it says')"
    cells = [nbformat.v4.new_code_cell(f"from repro.errors import UsageError\n\n{below}")]
    change(source, lambda notebook: notebook.cells.__setitem__(slice(3, None), [notebook.cells[3], *cells]))
    with pytest.raises(ReproError) as caught:
        engine.execute(source, folder / "executed.ipynb", {}, {})
    assert line(caught.value) == "of nan, it says"
    assert "raise Mine('of nan," in caught.value.trace


def test_an_error_that_only_has_the_name_of_ours_tells_its_cell():
    said = {"ename": "ReproError", "evalue": "planted", "traceback": ["raise ReproError", "ReproError: planted"]}
    error = PapermillExecutionError(cell_index=4, exec_count=3, source="", **said)
    assert str(engine._failure("executed.ipynb", error)) == "cell 3 of executed.ipynb failed: ReproError: planted"


def test_what_needs_a_failed_run_is_skipped(folder, capfd):
    change(
        folder / "notebooks" / "01_cifar10_search.ipynb",
        lambda notebook: notebook.cells.insert(3, nbformat.v4.new_code_cell("1 / 0")),
    )
    assert main(["run", "cifar10-eval", "--with-needs"]) == 1
    out, err = capfd.readouterr()
    assert "SKIPPED   cifar10-eval/smoke" in out
    assert "skipped: it needs cifar10-search/smoke" in err
    assert "ZeroDivisionError: division by zero" in err


def test_notebook_that_never_finishes_its_run_has_failed(folder, capfd):
    def leave_open(notebook):
        (end,) = [place for place, cell in enumerate(notebook.cells) if "run.finish" in cell.source]
        del notebook.cells[end:]

    change(folder / "notebooks" / TOY, leave_open)
    assert main(["run", "bilevel-toy"]) == 1
    assert "ended without result.json" in capfd.readouterr().err


@pytest.mark.parametrize("damage", ["no tag", "lacks a value", "not JSON", "missing"])
def test_damaged_notebook_is_refused(folder, capfd, damage):
    path = folder / "notebooks" / TOY
    if damage == "missing":
        path.unlink()
    elif damage == "not JSON":
        path.write_text(path.read_text()[:200])
    else:
        change(path, lambda notebook: _damage(notebook, damage))
    assert main(["run", "bilevel-toy"]) == 1
    error = capfd.readouterr().err
    expected = {
        "no tag": "has 0 cells tagged 'parameters'",
        "lacks a value": "the parameters cell lacks steps",
    }.get(damage, "is not a readable notebook")
    assert expected in error
    assert error.count("\n") == 1


def _damage(notebook, damage):
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    if damage == "no tag":
        cell.metadata = {}
    else:
        cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("steps"))
