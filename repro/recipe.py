"""Run an experiment without notebooks: `python -m repro.recipe NAME [key=value ...] [profile=smoke]`.

Needs neither Papermill nor Jupyter, and on several machines torchrun may start it. The run directory it leaves is the
one that `repro run` would make; when the notebook is executed on it later, here or on another machine, it is read and
not computed again.
"""

import sys

from repro.configs.registry import find
from repro.errors import AGAIN, UsageError, told
from repro.execution import launcher, preflight
from repro.runs.run import Run, open_run, run_of


def run_recipe(name: str, profile: str, texts: dict[str, str]) -> Run:
    """Make or finish the run and return it."""
    experiment = find(name)
    texts = launcher.with_processes(texts, experiment.parameters)
    values = experiment.parameters.parse(texts)
    preflight.check(run_of(experiment, profile, values))
    run = open_run(experiment, profile, values)
    try:
        run.finish(launcher.compute(run))
    except Exception as error:
        run.fail(error)
        raise
    return run


def main(arguments: list[str]) -> int:
    """Read the command line and run; return the exit status."""
    try:
        if not arguments or arguments[0].startswith("-"):
            raise UsageError("usage: python -m repro.recipe NAME [key=value ...] [profile=smoke|desk|short|paper]")
        name, *pairs = arguments
        if bad := next((pair for pair in pairs if "=" not in pair), None):
            raise UsageError(f"{bad!r} is not of the form key=value")
        texts = dict(pair.split("=", 1) for pair in pairs)
        run = run_recipe(name, texts.pop("profile", "smoke"), texts)
    except Exception as error:
        if not (message := told(error)):
            raise
        print(f"repro: {message}", file=sys.stderr)
        return getattr(error, "status", 1)
    except KeyboardInterrupt:
        print(f"repro: stopped; {AGAIN}", file=sys.stderr)
        return 130
    if run.writes:
        print(f"{run.name}: {run.result}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
