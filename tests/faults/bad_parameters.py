"""Every parameter of every experiment, wrong, through every door: one clear line, status 1 or 2, and no code runs."""

import ast
import dataclasses
import io
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints
from unittest.mock import patch

import hostile
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from repro import cli, recipe
from repro.configs.registry import EXPERIMENTS
from repro.errors import ReproError, line
from repro.execution import notebooks, pool, runner
from repro.settings import NOTEBOOKS

Tally = Counter  # (what was bad, what became of it: refused or accepted) -> how often


class Answer(NamedTuple):
    """What a command said."""

    status: int
    error: str
    output: str = ""


def call(main: Callable[[list[str]], int], arguments: Iterable[str]) -> Answer:
    """Call a command's entry as the shell would; an exception that leaves it is a stack trace."""
    output, error = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(error):
        try:
            status = main([*arguments])
        except SystemExit as end:  # argparse
            status = end.code
    return Answer(status, error.getvalue(), output.getvalue())


def refused(answer: Answer, *, alone: bool = True) -> bool:
    """Whether the command was refused; AssertionError unless it is refused properly: one line and status 1 or 2.

    alone: nothing but that line is said; else it is the last one, after notes and progress.
    """
    if answer.status == 0:
        return False
    lines = answer.error.splitlines()
    assert answer.status in (1, 2), answer
    assert "Traceback" not in answer.error, answer
    assert lines[-1].startswith("repro: "), answer
    assert not alone or answer.error.count("\n") == len(lines) == 1, answer
    assert 10 < len(lines[-1]) < 2000, answer
    assert all(char.isprintable() for char in lines[-1]), answer
    return True


def explore(strategy: st.SearchStrategy, check: Callable[[Any], None], count: int, dice: int) -> None:
    """Check so many examples of a strategy."""

    @seed(dice)
    @settings(max_examples=count, deadline=None, database=None, derandomize=False, suppress_health_check=[*HealthCheck])
    @given(strategy)
    def run(example: Any) -> None:
        check(example)

    run()


def bad_pairs(sentinel: Path) -> st.SearchStrategy[tuple[str, str, str]]:
    """An experiment, a name and a text: every parameter there is, and names that there are not."""
    pairs = []
    for experiment in EXPERIMENTS.values():
        hints = get_type_hints(experiment.parameters)
        for field in dataclasses.fields(experiment.parameters):
            texts = hostile.wrong(hints[field.name], field.metadata["bounds"], sentinel)
            pairs.append(st.tuples(st.just(experiment.name), st.just(field.name), texts))
            other = st.sampled_from([field.name + "s", field.name.upper(), f" {field.name}", field.name[:-1]])
            pairs.append(st.tuples(st.just(experiment.name), other | hostile.texts(sentinel), st.just("1")))
    return st.one_of(pairs)


def command_line(tally: Tally, folder: Path, count: int, dice: int) -> None:
    """`repro run EXPERIMENT -p name=value`, up to where the first notebook would start."""
    planned = []

    def check(example: tuple[str, str, str]) -> None:
        name, key, text = example
        answer = call(cli.main, ["run", name, f"-p{key}={text}", f"--runs={folder}"])
        tally["command line", "refused" if refused(answer) else "accepted"] += 1

    with (
        patch.object(pool, "run_all", lambda jobs, command, at_once: planned.extend(jobs)),
        patch.object(cli, "_summary", lambda jobs, debug: 0),
    ):
        explore(bad_pairs(folder / "sentinel"), check, count, dice)
    for job in {job.run.name: job for job in planned}.values():
        _injected(job)
    assert not (folder / "sentinel").exists(), "code was executed"


def _injected(job: runner.Job) -> None:
    """Let Papermill write accepted values into the notebook: they must be the same constants there."""
    values = {"profile": job.run.profile, **job.run.params.values()}
    notebook = parameterize_notebook(load_notebook_node(str(NOTEBOOKS / job.experiment.notebook)), values)
    (cell,) = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    found = {each.targets[0].id: ast.literal_eval(each.value) for each in ast.parse(cell.source).body}
    assert found == values, cell.source


def recipe_entry(tally: Tally, folder: Path, count: int, dice: int) -> None:
    """`python -m repro.recipe EXPERIMENT name=value`, up to where the computation would start."""

    def check(example: tuple[str, str, str]) -> None:
        name, key, text = example
        answer = call(recipe.main, [name, f"{key}={text}"])
        tally["recipe's command line", "refused" if refused(answer) else "accepted"] += 1

    with patch.object(recipe.launcher, "compute", lambda run: {"value": 0}):
        explore(bad_pairs(folder / "sentinel"), check, count, dice)
    assert not (folder / "sentinel").exists(), "code was executed"


def by_hand(tally: Tally, folder: Path, count: int, dice: int) -> None:
    """A notebook's parameters cell, edited by hand: values of any type, or names that are not set."""

    def check(example: tuple[str, int, Any]) -> None:
        name, place, value = example
        namespace = {"profile": "smoke", **EXPERIMENTS[name].parameters().values()}
        key = [*namespace][place % len(namespace)]
        namespace.pop(key) if value is None else namespace.update({key: value})
        try:
            notebooks.start(name, namespace)
        except ReproError as error:
            assert refused(Answer(error.status, f"repro: {line(error)}\n"))
            tally["parameters cell", "refused"] += 1
        else:
            tally["parameters cell", "accepted"] += 1

    values = hostile.values(folder / "sentinel")
    explore(st.tuples(st.sampled_from([*EXPERIMENTS]), st.integers(0, 99), values), check, count, dice)
    assert not (folder / "sentinel").exists(), "code was executed"
