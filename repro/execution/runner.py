"""Which runs to make, in the order of their needs, and how one is executed; a failure stops only what needs it."""

import errno
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.configs.record import Experiment
from repro.configs.registry import typed
from repro.errors import ReproError, UsageError, told
from repro.execution import preflight
from repro.runs import failure
from repro.runs.identity import set_besides
from repro.runs.locks import lock
from repro.runs.run import Run, needed_run, open_run, run_of
from repro.settings import NOTEBOOKS, data_folder, require_notebooks, runs_folder

if TYPE_CHECKING:  # it imports Papermill, which takes seconds: only what has a notebook to execute or to read waits
    from repro.execution import engine

Request = tuple[Experiment, Mapping[str, Any]]


@dataclass
class Job:
    """One run to make: which, what it needs, and how it ended (`done`, `ran`, `failed`, `skipped`)."""

    experiment: Experiment
    overrides: Mapping[str, Any]
    run: Run
    needs: list[Path] = field(default_factory=list)
    asked: bool = False  # by itself, not only because another one needs it
    outcome: str = ""
    message: str = ""
    trace: str = ""
    seconds: float = 0.0


def plan(requests: Iterable[Request], profile: str, with_needs: bool) -> list[Job]:
    """Return the jobs for `requests` (and for what they need) in an order that honours needs.

    Raises UsageError for wrong parameters, before anything is created.
    """
    jobs: dict[Path, Job] = {}
    for experiment, overrides in requests:
        jobs[_collect(experiment, profile, overrides, with_needs, jobs)].asked = True
    order = TopologicalSorter({path: [need for need in job.needs if need in jobs] for path, job in jobs.items()})
    return [jobs[path] for path in order.static_order()]


def _collect(
    experiment: Experiment, profile: str, overrides: Mapping[str, Any], with_needs: bool, jobs: dict[Path, Job]
) -> Path:
    run = run_of(experiment, profile, overrides)
    if run.path in jobs:
        return run.path
    job = jobs[run.path] = Job(experiment, overrides, run)
    for reference in experiment.needs(run.params):
        if with_needs:
            needed, changes = typed(reference)
            job.needs.append(_collect(needed, profile, changes, with_needs, jobs))
        else:
            job.needs.append(needed_run(reference, profile).path)
    return run.path


def refuse(jobs: list[Job]) -> None:
    """Note, before anything starts, which jobs cannot run here, as what they read is missing, and which need them.

    Raises UsageError for what no run could be made of, such as a wrong name.
    """
    require_notebooks()
    planned = {job.run.path for job in jobs}
    for job in jobs:
        if settled(job, jobs):
            continue
        try:
            preflight.check(job.run, planned)
        except UsageError:
            raise
        except (ReproError, OSError) as error:
            job.outcome, job.message = "failed", str(error)
    for job in reversed(jobs):  # what only serves those is not made
        served = [other for other in jobs if job.run.path in other.needs]
        if not (job.asked or job.outcome) and all(other.outcome in ("failed", "skipped") for other in served):
            job.outcome, job.message = "skipped", f"only {served[0].run.name} needs it"


def settled(job: Job, jobs: list[Job]) -> bool:
    """Whether there is nothing to execute, which is noted: it is done, or one of `jobs` that it needs went wrong."""
    if job.outcome:
        return True
    bad = {other.run.path: other.run.name for other in jobs if other.outcome in ("failed", "skipped")}
    if blocker := next((bad[need] for need in job.needs if need in bad), None):
        job.outcome, job.message = "skipped", f"it needs {blocker}"
        return True
    try:
        job.outcome = "done" if is_done(job.run) else ""
    except Exception as error:  # whatever it is, what does not need this run still runs
        job.outcome, job.message = "failed", reason(error)
    return bool(job.outcome)


def is_done(run: Run) -> bool:
    """Whether the run has its result and its executed notebook."""
    if run.result is None:
        return False
    from repro.execution import engine

    return engine.executed(run.path / "notebook.ipynb")


def attempt(job: Job, command: str, execution: "engine.Execution") -> None:
    """Execute the job, and note in it how that ended and how long it took."""
    began = time.monotonic()
    try:
        execute(job, command, execution)
        job.outcome = "ran"
    except Exception as error:  # whatever it is: a full disk, few handles and little memory come in many kinds
        job.outcome, job.message = "failed", reason(error)
        job.trace = failure.traceback_of(error)
    job.seconds = time.monotonic() - began


def reason(error: Exception) -> str:
    """Say why a run failed, in words of its own where they are: of a full disk also the folder."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
        return f"{error.strerror} in {runs_folder()}"
    return told(error) or failure.reason(error)


def execute(job: Job, command: str, execution: "engine.Execution") -> None:
    """Execute the job's notebook in its run directory; ReproError if it fails or leaves no result.json."""
    preflight.check(job.run)
    from repro.execution import engine

    run = open_run(job.experiment, job.run.profile, job.overrides)
    environment = {
        "REPRO_RUN": str(run.path),
        "REPRO_RUNS": str(runs_folder()),
        "REPRO_DATA": str(data_folder()),
        "REPRO_COMMAND": command,
        "REPRO_PROGRESS_SECONDS": "2",
    }
    values = {"profile": run.profile, **set_besides(job.experiment, run.profile, run.params)}
    source, target = NOTEBOOKS / job.experiment.notebook, run.path / "notebook.ipynb"
    with lock(run.path / ".notebook.lock", wait=1.0):
        try:
            engine.check(source, {**values, **run.params.values()})  # also of what is the profile's
            engine.execute(source, target, values, environment, execution)
            if run.result is None:
                why = "the notebook ended without result.json; its last cell must call run.finish(...)"
                raise ReproError(f"{run.name}: {why}")
        except Exception as error:
            run.fail(error)
            raise


def reasons(jobs: Iterable[Job]) -> dict[tuple[str, str], list[str]]:
    """Return the names of the jobs that went wrong, by what became of them and why: a reason is said once."""
    found: dict[tuple[str, str], list[str]] = {}
    for job in jobs:
        if job.message:
            found.setdefault((job.outcome, job.message), []).append(job.run.name)
    return found
