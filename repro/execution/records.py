"""What list, show and status print, as data: the values of their --json."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from repro.configs import profiles
from repro.configs.parameters import expected, plain
from repro.configs.record import Experiment
from repro.configs.registry import EXPERIMENTS
from repro.results.published import with_numbers
from repro.runs import provenance
from repro.runs.run import Run
from repro.runs.states import state, survey


def experiments() -> list[dict[str, Any]]:
    """Return every experiment: what it reproduces, what it needs and cost, and how many runs are in which state."""
    counts = defaultdict(Counter)
    for run in survey().runs:
        counts[run.experiment]["published" if run.published else state(run).word] += 1
    return [
        {
            "name": experiment.name,
            "title": experiment.title,
            "section": experiment.section,
            "claim": with_numbers(experiment.claim),
            "cost": experiment.cost,
            "needs": sorted({reference.experiment for reference in experiment.needs(experiment.parameters())}),
            "runs": dict(counts[experiment.name]),
        }
        for experiment in EXPERIMENTS.values()
    ]


def parameters(experiment: Experiment, profile: str) -> dict[str, Any]:
    """Return an experiment's parameters: the paper's value, the profile's, what is taken, and what it means."""
    changed, hints = profiles.changes(profile, experiment), get_type_hints(experiment.parameters)
    rows = {
        field.name: {
            "paper": plain(field.default),
            profile: plain(changed.get(field.name, field.default)),
            "takes": expected(hints[field.name]),
            "meaning": field.metadata["doc"],
        }
        for field in fields(experiment.parameters)
    }
    return {"name": experiment.name, "profile": profile, "parameters": rows}


def status() -> dict[str, Any]:
    """Return every run with its state and result, and the folders that are passed over, with the reason."""
    runs, damaged, uncounted = survey()
    return {"runs": [*map(_run, runs)], "damaged": damaged, "not counted": uncounted}


def _run(run: Run) -> Mapping[str, Any]:
    found = state(run)
    return {
        "name": run.name,
        "experiment": run.experiment,
        "profile": run.profile,
        "folder": str(run.path),
        "state": found.word,
        "published": run.published,
        "epochs": found.epochs,
        "of": found.of,
        "seconds_left": found.left,
        "seconds": provenance.seconds(run.path),
        "message": found.message,
        "parameters": run.params.values(),
        "result": run.result,
    }
