"""What a notebook says to the package: start a run from its parameters cell, compute it, finish it.

By hand, in JupyterLab, a value left at the paper's default follows `profile`; `repro run` injects every value.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro import launcher
from repro.errors import ReproError, is_memory
from repro.experiments import find
from repro.runs import Run, open_run, read_run


def start(name: str, namespace: Mapping[str, Any]) -> Run:
    """Open the run of experiment `name` with the values that the parameters cell left in `namespace` (`globals()`)."""
    experiment = find(name)
    defaults = experiment.parameters().values()
    absent = [field for field in ("profile", *defaults) if field not in namespace]
    if absent:
        raise ReproError(f"the parameters cell does not set {', '.join(absent)}; run it before this cell")
    values = {field: namespace[field] for field in defaults}
    if path := os.environ.get("REPRO_RUN"):
        run = read_run(Path(path))
        if experiment.parameters.build(values) != run.params:
            raise ReproError(
                "the injected parameters were lost: the notebook's first code cell needs the tag 'parameters'"
            )
        return run
    changed = {field: value for field, value in values.items() if value != defaults[field]}
    return open_run(experiment, namespace["profile"], changed)


def compute(run: Run) -> dict[str, Any]:
    """Return the result of `run`: read if it is done, else computed from its last checkpoint on.

    Several processes are started where the run asks for them; in each of those, this computes its part.
    """
    if (result := run.result) is not None:
        launcher.tidy(run)
        return result
    if launcher.wanted(run):
        return launcher.compute(run)
    with launcher.group(run), run.session():
        try:
            return find(run.experiment).compute(run.params, run)
        except (MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            raise ReproError(f"{run.name} needs more memory than there is: {error}; take smaller sizes") from error
