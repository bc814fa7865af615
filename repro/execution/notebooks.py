"""What a notebook says to the package: start a run from its parameters cell, compute it, finish it.

A value `...` is the profile's, any other counts as it stands; `repro run` injects every value.
"""

import ast
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.configs.registry import find
from repro.errors import ReproError, unknown
from repro.execution import launcher, listing
from repro.progress import one_line
from repro.runs.run import Run, open_run, read_run


def start(name: str, namespace: Mapping[str, Any]) -> Run:
    """Open the run of experiment `name` with the values that the parameters cell left in `namespace` (`globals()`).

    Whoever runs the notebook, a value that was set there counts, and `...` is the profile's. UsageError for a wrong
    one, or for a name that is no parameter.
    """
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
        if experiment.parameters.build(given) != run.params:
            raise ReproError(
                "the injected parameters were lost: the notebook's first code cell needs the tag 'parameters'"
            )
    else:
        run = open_run(experiment, namespace["profile"], given)
    print(listing.changed(run))
    return run


def parameters_of(source: str) -> dict[str, Any]:
    """Return what a cell that only sets names to literal values sets; nothing where it does anything else."""
    try:
        statements = ast.parse(source).body
        return {statement.targets[0].id: ast.literal_eval(statement.value) for statement in statements}
    except (SyntaxError, ValueError, AttributeError, RecursionError, MemoryError):
        return {}


def compute(run: Run) -> dict[str, Any]:
    """Return the result of `run`: read if it is done, else computed from its last checkpoint on.

    Several processes are started where the run asks for them; in each of those, this computes its part.
    """
    if (result := run.result) is not None:
        return result
    with one_line():
        return launcher.compute(run) if launcher.wanted(run) else launcher.alone(run)
