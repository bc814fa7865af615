"""A run of an experiment in the smoke profile, computed as a notebook computes it, but here."""

from repro.configs.registry import find
from repro.runs.run import folders, open_run, read_run


def run(name, **overrides):
    """Return the finished run of the experiment, with these changes to the profile's parameters."""
    experiment = find(name)
    opened = open_run(experiment, "smoke", overrides)
    with opened.session():
        opened.finish(experiment.compute(opened.params, opened))
    return opened


def existing_runs(experiment="*"):
    """Return all runs, of one experiment or of all, in order of their names."""
    return [run for run in map(read_run, folders(experiment)) if not run.published]
