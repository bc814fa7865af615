"""Finished runs: computed as a notebook computes them, but here, or said to be."""

from repro.configs.registry import find
from repro.runs.run import folders, open_run, read_run


def run(name, **overrides):
    """Return the finished run of the experiment, with these changes to the profile's parameters."""
    experiment = find(name)
    opened = open_run(experiment, "smoke", overrides)
    with opened.session():
        opened.finish(experiment.compute(opened.params, opened))
    return opened


def finish(name, result, profile="short", **overrides):
    """Return a run that is finished with this result, without being computed."""
    run = open_run(find(name), profile, overrides)
    run.finish(result)
    return run


def existing_runs(experiment="*"):
    """Return all runs, of one experiment or of all, in order of their names."""
    return [run for run in map(read_run, folders(experiment)) if not run.published]
