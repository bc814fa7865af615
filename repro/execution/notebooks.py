"""What a notebook says to the package: start a run from its parameters cell, compute it, finish it.

A value `...` is the profile's, any other counts as it stands; `repro run` injects what is not the profile's.
"""

import ast
import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.configs.registry import find
from repro.errors import ReproError, line, unknown
from repro.execution import listing
from repro.execution.launcher import compute as compute  # for the notebooks
from repro.progress import show
from repro.runs.identity import resolve
from repro.runs.run import Run, open_run, read_run

INTERRUPTED = "interrupted: run this cell again, and it goes on from the last checkpoint"


def start(name: str, namespace: Mapping[str, Any]) -> Run:
    """Open the run of experiment `name` with the values that the parameters cell left in `namespace` (`globals()`).

    Whoever runs the notebook, a value that was set there counts, and `...` is the profile's; both are shown. UsageError
    for a wrong one, or for a name that is no parameter.
    """
    _end_in_one_line()
    experiment = find(name)
    fields = [field.name for field in dataclasses.fields(experiment.parameters)]
    if "profile" not in namespace:
        raise ReproError("the parameters cell does not set profile; run it before this cell")
    for source in namespace.get("In", []):  # what IPython has executed
        for unknown_name in parameters_of(source).keys() - {"profile", *fields}:
            raise unknown("parameter", unknown_name, fields)
    given = {field: namespace[field] for field in fields if namespace.get(field, ...) is not ...}
    if path := os.environ.get("REPRO_RUN"):
        run = read_run(Path(path))
        if resolve(experiment, run.profile, given) != run.params:
            raise ReproError(
                "the injected parameters were lost: the notebook's first code cell needs the tag 'parameters'"
            )
    else:
        run = open_run(experiment, namespace["profile"], given)
    show({"text/html": listing.shown(run), "text/plain": listing.changed(run)})
    return run


def _end_in_one_line() -> None:
    """Let a cell that a person runs end in one line, not in a traceback, where it is interrupted or refused.

    `repro run` keeps tracebacks: it says the line itself.
    """
    ipython = sys.modules.get("IPython")
    if ipython and (shell := ipython.get_ipython()) and "REPRO_RUN" not in os.environ:
        shell.set_custom_exc((ReproError, KeyboardInterrupt), _told)


def _told(shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: int | None = None) -> None:
    text = INTERRUPTED if isinstance(error, KeyboardInterrupt) else line(error)
    error._render_traceback_ = lambda: [text]  # what IPython asks an exception for
    shell.showtraceback((kind, error, trace))


def parameters_of(source: str) -> dict[str, Any]:
    """Return what a cell that only sets names to literal values sets; nothing where it does anything else."""
    try:
        statements = ast.parse(source).body
        return {statement.targets[0].id: ast.literal_eval(statement.value) for statement in statements}
    except (SyntaxError, ValueError, AttributeError, RecursionError, MemoryError):
        return {}
