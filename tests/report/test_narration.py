"""What notebooks say beside their figures: code as it runs, numbers with their interval, and an exercise at the end."""

import ast
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from prose import commands
from scipy.stats import binomtest

from repro.configs.registry import EXPERIMENTS, find
from repro.darts import plain
from repro.execution import arguments as typed
from repro.execution.notebooks import parameters_of
from repro.report import figures_darts, findings_darts, narration
from repro.runs.run import read_run
from repro.settings import NOTEBOOKS, ROOT

each_notebook = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)


def cells(experiment):
    return nbformat.read(NOTEBOOKS / experiment.notebook, as_version=4).cells


def called(notebook, function):
    """The arguments of every call of a function in a notebook's code, each as the object that its name stands for."""
    tree = ast.parse("\n".join(cell.source for cell in notebook if cell.cell_type == "code"))
    names = {}
    exec("\n".join(ast.unparse(each) for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)), names)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == function]
    for argument in [part for call in calls for part in call.args]:
        yield eval(ast.unparse(argument.func if isinstance(argument, ast.Call) else argument), names)


def test_source_is_what_runs():
    for part in (plain.MixedOp, plain.MixedOp.forward):
        shown = narration.source(part)
        assert re.match(rf"`repro/darts/plain.py`, line \d+: `{part.__qualname__}`\n", shown)
        (code,) = re.findall(r"```python\n(.*?)```", shown, re.DOTALL)
        names = {**vars(plain)}
        exec(code, names)
        assert names[part.__name__] is not getattr(plain, part.__name__, None)


@pytest.mark.parametrize(("count", "images"), [(0, 10), (10, 10), (5, 50), (440, 500)])
def test_the_interval_is_wilson_s(count, images):
    theirs = binomtest(count, images).proportion_ci(method="wilson")
    ours = narration.interval(100 * count / images, images)
    assert ours == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=0.01)


def test_what_guessing_may_reach_is_at_chance():
    assert narration.error(88.0, 500, 10) == "88.0 % (95 % interval 84.9 to 90.6, 500 images), at chance, which is 90 %"
    assert "chance" not in narration.error(80.0, 500, 10)
    assert "chance" in narration.error(80.0, 20, 10)
    assert "chance" in narration.error(80.0, 500, 5)
    assert "at chance, which is 10 %" in narration.accuracy(12.0, 500, 10)
    assert "chance" not in narration.accuracy(14.0, 500, 10)


def test_a_difference_is_told_from_chance_or_not():
    assert "no more than" in narration.difference(30.0, 35.0, 500)
    assert "more than" in narration.difference(30.0, 35.0, 5000)
    assert "no more" not in narration.difference(35.0, 30.0, 5000)


def test_a_mean_has_its_interval_where_there_are_enough_values():
    assert narration.mean_of([1.0, -0.5], "points") == "+0.25 points (n 2, too few for an interval)"
    assert narration.mean_of([1.0, 1.1, 0.9], "points") == "+1.00 points (97 % interval +0.67 to +1.33, n 3)"
    assert narration.mean_of([-1.0, 1.0, 0.3], "%").startswith("+0.10 % (97 % interval −")
    assert narration.mean_of([-1.0, 1.0, 0.3], "%").endswith("n 3), at chance")


def test_a_tau_of_unrelated_rankings_is_at_chance():
    assert narration.tau(0.2, 24) == "0.20, at chance"
    assert narration.tau(-0.2, 1000) == "-0.20"
    assert narration.tau(None, 24) == "undefined"


def test_no_line_ends_between_a_number_and_its_percent(monkeypatch):
    shown = []
    monkeypatch.setattr(narration.style, "show", shown.append)
    narration.show(["An error of 8.0 % (95 % interval)."])
    assert shown[0]["text/markdown"] == "- An error of 8.0\u00a0% (95\u00a0% interval)."


def test_the_text_beside_figure_3_calls_the_lines_as_they_are_drawn():
    rows = [{"run": run, "cost": cost, "value": 9.0 - cost + run} for run in (0, 1) for cost in (1, 2)]
    (axes,) = figures_darts.progress(pd.DataFrame(rows), {}, cost="epochs", measure="error").axes
    drawn = {line.get_label(): line.get_linestyle() for line in axes.lines}
    assert (drawn["median, current cell"], drawn["median, best so far"]) == ("--", "-")
    for name in ("cifar10-progress", "ptb-progress"):
        text = "\n".join(cell.source for cell in cells(find(name)))
        assert "The dashed line is the median over the searches of the cell that each would derive" in text
        assert "the solid one the median of each search's best so far" in text


@each_notebook
def test_a_notebook_shows_code_of_the_package_and_where_it_stands(experiment):
    notebook = cells(experiment)
    for part in called(notebook, "narration.show_source"):
        assert 3 <= len(narration.source(part).splitlines()) <= 70, part
    linked = re.findall(r"\]\((\.\./repro/[^)]+)\)", notebook[0].source)
    assert linked
    assert all((NOTEBOOKS / link).is_file() for link in linked)


@each_notebook
def test_a_notebook_ends_with_what_to_see_and_an_exercise(experiment):
    *_, heading, seen, exercise = cells(experiment)
    assert heading.source.startswith("## What to see")
    (function,) = called(cells(experiment), "narration.show")
    assert "run.finish(result)" not in seen.source
    assert seen.source == f"narration.show({function.__module__.rpartition('.')[2]}.{function.__name__}(run))"
    assert exercise.source.startswith("## Exercise\n\n")
    question, answer = exercise.source.split("<details><summary>Answer</summary>\n\n")
    assert "?" in question
    assert answer.endswith("\n\n</details>")


@each_notebook
def test_the_answer_is_a_command_or_a_changed_cell(experiment):
    text = cells(experiment)[-1].source
    own = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in commands(block)]
    for command in own:
        assert command[0] == "repro"
        options = typed.parse(command[1:])
        if command[1] == "run":
            assert typed.requests(options)
    changed = [parameters_of(block) for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    for values in changed:
        assert find(experiment.name).parameters.build({k: v for k, v in values.items() if k != "profile"})
    assert own or any(changed)


def test_a_search_of_second_order_says_how_near_its_finite_difference_came():
    run = read_run(ROOT / "published" / "cifar10-search" / "desk")
    cosines = [cosine for row in run.metrics() for cosine in row.get("cosines", [])]
    (said,) = [each for each in findings_darts.image_search(run) if "Eq. 8" in each]
    assert f"at {len(cosines)} steps" in said
    assert f"{np.median(cosines):.2f} in the median, {min(cosines):.2f} to {max(cosines):.2f}" in said
    first = read_run(ROOT / "published" / "cifar10-search" / "desk,order=1")
    assert not any("Eq. 8" in each for each in findings_darts.image_search(first))
