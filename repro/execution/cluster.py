"""Run experiments on many machines through Dask.distributed: every run is one idempotent task, one at a time a worker.

A worker does what `repro run` does on one machine. It has one thread and, by CUDA_VISIBLE_DEVICES, one GPU. The workers
and this process, their client, share the runs folder. When a worker is lost its run goes on elsewhere from its
checkpoint.
Needs `pip install -r requirements.lock -e '.[cluster]'`.
"""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from repro.configs.registry import find
from repro.errors import AGAIN, ReproError
from repro.execution import board, runner
from repro.execution.engine import Execution
from repro.execution.runner import Job
from repro.execution.workers import DEATHS, PATIENCE, check, connected
from repro.files import make_folder
from repro.progress import bar, note
from repro.runs import failure
from repro.runs.locks import WORKING, is_held
from repro.runs.states import state
from repro.settings import NOTEBOOKS, PACKAGE, data_folder, runs_folder

if TYPE_CHECKING:
    from distributed import Client, Future

RESTART = 10  # seconds to wait after Ctrl-C until workers have restarted; they do so later where it takes longer


def run_all(jobs: list[Job], command: str, address: str, tls: str | None = None) -> None:
    """Run the jobs on the workers of the Dask scheduler at `address`, and note each outcome in it, as `pool.run_all`.

    tls: folder of the certificate that all processes of the cluster have.
    """
    check(address, tls)
    waiting = board.unsettled(jobs)
    if not waiting:
        return
    make_folder(runs_folder())
    with connected(address, tls) as client:
        check_workers(client)
        with bar("runs", len(jobs) - len(waiting), len(jobs)) as shown:
            Board(jobs, command, shown, waiting, client=client).work_off()


def work(
    experiment: str, profile: str, overrides: Mapping[str, Any], command: str, folders: Mapping[str, str], theirs: str
) -> tuple[str, str, str, float]:
    """Do one run, in a worker: return outcome, message, trace and seconds.

    folders: environment variables; theirs: the client's `code`. ReproError where the worker's is another.
    """
    os.environ.update(folders)
    if theirs != code():
        raise ReproError("the worker's package is not that of the one who asked, or has changed since: run again")
    (job,) = runner.plan([(find(experiment), overrides)], profile, with_needs=False)
    end = time.monotonic() + PATIENCE
    while any(is_held(job.run.path / name) for name in WORKING) and time.monotonic() < end:
        time.sleep(0.5)  # a process that a lost worker started still holds the run
    if not runner.settled(job, [job]):
        with open(os.devnull, "w") as nowhere:
            runner.attempt(job, command, Execution(nowhere, nowhere))
    return job.outcome, job.message, job.trace, job.seconds


def code() -> str:
    """Return the SHA-256 of what decides a run's numbers: this package and the notebooks."""
    digest = hashlib.sha256()
    for folder, pattern in ((PACKAGE, "**/*.py"), (PACKAGE, "**/*.csv"), (NOTEBOOKS, "*.ipynb")):
        for file in sorted(folder.glob(pattern)):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def inspect_worker(token: str) -> tuple[str, bool]:
    """Return, in a worker, the hash of its code and whether it sees the file `token`."""
    return code(), Path(token).exists()


def check_workers(client: "Client") -> None:
    """Raise ReproError if a worker has other code, does not see the runs folder, or takes several runs at once."""
    token = runs_folder() / f".cluster.{uuid.uuid4().hex}"
    token.touch(exist_ok=False)
    try:
        for worker, (theirs, sees) in client.run(inspect_worker, str(token)).items():
            if theirs != code():
                raise ReproError(f"the worker {worker} has another version of this package: install the same one")
            if not sees:
                raise ReproError(f"the worker {worker} does not see {runs_folder()}: share it, or use repro merge")
        for worker, threads in client.nthreads().items():
            if threads != 1:
                raise ReproError(
                    f"the worker {worker} has {threads} threads: start it with repro worker, or --nthreads 1"
                )
    except ModuleNotFoundError as error:
        raise ReproError(f"a worker has no package {error.name}: install this package there") from error
    finally:
        token.unlink()


@dataclass(kw_only=True)
class Board(board.Board):
    """Submits as many runs at a time as there are workers.

    So a free worker takes the run with the longest path left, and a worker's death counts against its one run. Given
    all runs with their dependencies, Dask would assign them to workers in advance, blame a worker's death on all of
    them, fail what depends on a run that lost too many workers, and drop everything when its scheduler is restarted.
    """

    client: "Client"
    futures: dict[Path, "Future"] = field(default_factory=dict)  # Dask's, by the runs' folders
    workers: set[str] = field(default_factory=set)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.code, self.submitting = code(), Lock()
        self.folders = {"REPRO_RUNS": str(runs_folder()), "REPRO_DATA": str(data_folder())}

    def start(self, threads: ThreadPoolExecutor) -> None:
        """Note which workers there are and which were lost, and submit what can start."""
        before = self.workers
        with contextlib.suppress(OSError):
            self.workers = set(self.client.nthreads()) if self.client.status == "running" else before
        for worker in sorted(before - self.workers):
            note(f"the worker {worker} is lost; what it ran starts again from its checkpoint")
        super().start(threads)

    def has_room(self, job: Job) -> bool:
        """Whether a worker is free."""
        return len(self.at_work) < max(1, len(self.workers))

    def work(self, job: Job) -> None:
        """Submit the job and wait; submit it again where a worker was lost, or the scheduler restarted."""
        from distributed import CancelledError, KilledWorker

        what = job.experiment.name, job.run.profile, dict(job.overrides), self.command, self.folders, self.code
        while self.client.status != "closed":
            before, key = _done(job), f"{job.run.name}-{uuid.uuid4().hex}"
            try:
                with self.submitting:
                    if self.stopped:
                        return
                    future = self.futures[job.run.path] = self.client.submit(work, *what, key=key, pure=False)
                job.outcome, job.message, job.trace, job.seconds = future.result()
                if job.outcome == "done":  # a worker or scheduler was lost after the run was done and before it said so
                    job.outcome = "ran"
                return
            except CancelledError:  # the scheduler is gone, or this process is stopped
                while self.client.status not in ("running", "closed"):
                    time.sleep(0.1)
            except KilledWorker:
                if _done(job) == before:
                    why = "without a new checkpoint (out of memory?)"
                    return _fail(job, f"{DEATHS + 1} workers died while running it, {why}")
            except Exception as error:  # whatever a worker raised
                return _fail(job, failure.reason(error))
        raise ReproError(f"the scheduler is gone; {AGAIN}")

    def stop(self) -> None:
        """Cancel what was submitted, and restart the workers that are at work."""
        with self.submitting:
            self.stopped, futures = True, [*self.futures.values()]
        ours = {future.key for future in futures}
        with contextlib.suppress(Exception):  # whatever is wrong by now: the runs can go on later
            busy = [worker for worker, keys in self.client.processing().items() if ours & {*keys}]
            self.client.cancel(futures, force=True)
            self.client.restart_workers(busy, timeout=RESTART, raise_for_error=False)


def _fail(job: Job, message: str) -> None:
    """Note that a run failed, where its worker could not."""
    job.outcome, job.message = "failed", message
    job.run.fail(ReproError(message))


def _done(job: Job) -> tuple[int, set[tuple[Path, int]]]:
    """Return what changes as the job's run proceeds: its epochs, and the times of its checkpoints."""
    try:
        checkpoints = {(path, path.stat().st_mtime_ns) for path in job.run.path.glob("**/checkpoint.pt")}
        return state(job.run).epochs, checkpoints
    except (ReproError, OSError, ValueError):
        return 0, set()
