"""Run experiments on many machines through Dask.distributed: every run is one idempotent task, one at a time a worker.

A worker does what `repro run` does on one machine. It has one thread and, by CUDA_VISIBLE_DEVICES, one GPU; all workers
and the one who asks share the runs folder. When a worker is lost its run starts again elsewhere, from its checkpoint.
Needs `pip install -r requirements.lock -e '.[cluster]'`.
"""

import contextlib
import hashlib
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from repro.configs.registry import find
from repro.errors import AGAIN, ReproError
from repro.execution import board, runner
from repro.execution.board import Attempt
from repro.execution.engine import Execution
from repro.execution.runner import Job
from repro.execution.workers import DEATHS, PATIENCE, check, connected
from repro.files import make_folder
from repro.progress import bar, note
from repro.runs.states import is_held, state
from repro.settings import NOTEBOOKS, PACKAGE, data_folder, runs_folder

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_TO_STOP = 10  # seconds for workers to come back after Ctrl-C; they do so later where it takes longer


@dataclass(frozen=True)
class Order:
    """What a worker is asked for: one run, where the runs are, and by which code."""

    experiment: str
    profile: str
    overrides: Mapping[str, Any]
    command: str
    folders: Mapping[str, str]  # environment variables
    code: str


def run_all(jobs: list[Job], command: str, address: str, tls: str | None = None) -> None:
    """Run the jobs on the workers of the Dask scheduler at `address`, and note what `pool.run_all` would note.

    tls: folder of the certificate that all processes of the cluster have.
    """
    check(address, tls)
    waiting = board.unsettled(jobs)
    if not waiting:
        return
    make_folder(runs_folder())
    with connected(address, tls) as client:
        refuse_strangers(client)
        with bar("runs", len(jobs) - len(waiting), len(jobs)) as shown:
            runs = Board(jobs, command, shown, waiting, client=client)
            try:
                while runs.step():
                    time.sleep(0.1)
            except BaseException:
                runs.stop()
                raise


def work(order: Order) -> tuple[str, str, str, float]:
    """Do one run, in a worker: return outcome, message, trace and seconds."""
    os.environ.update(order.folders)
    if order.code != code():
        raise ReproError("the worker's package is not that of the one who asked, or has changed since: run again")
    (job,) = runner.plan([(find(order.experiment), order.overrides)], order.profile, with_needs=False)
    _wait_for(job.run.path)
    if not runner.settled(job, [job]):
        with open(os.devnull, "w") as nowhere:
            runner.attempt(job, order.command, Execution(nowhere, nowhere))
    return job.outcome, job.message, job.trace, job.seconds


def _wait_for(path: Path) -> None:
    """Wait while a process of a worker that was believed lost still holds the run, but not for ever."""
    end = time.monotonic() + PATIENCE
    while any(is_held(path / name) for name in (".lock", ".notebook.lock")) and time.monotonic() < end:
        time.sleep(0.5)


def code() -> str:
    """Return the SHA-256 of what decides a run's numbers: this package and the notebooks."""
    digest = hashlib.sha256()
    for folder, pattern in ((PACKAGE, "**/*.py"), (PACKAGE, "**/*.csv"), (NOTEBOOKS, "*.ipynb")):
        for file in sorted(folder.glob(pattern)):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def greet(token: str) -> tuple[str, bool]:
    """Return, in a worker, its code and whether it sees the file `token`."""
    return code(), Path(token).exists()


def refuse_strangers(client: "Client") -> None:
    """Raise ReproError if a worker has other code, does not see the runs folder, or takes several runs at once."""
    token = runs_folder() / f".cluster.{uuid.uuid4().hex}"
    token.touch(exist_ok=False)
    try:
        for worker, (theirs, sees) in client.run(greet, str(token)).items():
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
    """Runs that workers are asked for, and who works; of each attempt, what the run had done before."""

    client: "Client"
    workers: set[str] = field(default_factory=set)
    asked: set[Path] = field(default_factory=set)
    looked: float = -60.0

    def __post_init__(self) -> None:
        self.code = code()
        self.folders = {"REPRO_RUNS": str(runs_folder()), "REPRO_DATA": str(data_folder())}

    def step(self) -> bool:
        """Take in what has ended, ask for what can start, and return whether anything is left."""
        if self.client.status == "closed":
            raise ReproError(f"the scheduler is gone; {AGAIN}")
        self._look()
        return super().step()

    def stop(self) -> None:
        """Forget what waits, and end the processes of the workers that are at work: others take their place."""
        ours = {attempt.future.key for attempt in self.attempts}
        with contextlib.suppress(Exception):  # whatever is wrong by now: the runs can go on later
            busy = [worker for worker, keys in self.client.processing().items() if ours & {*keys}]
            self.client.cancel([attempt.future for attempt in self.attempts], force=True)
            self.client.restart_workers(busy, timeout=PATIENCE_TO_STOP, raise_for_error=False)

    def _look(self) -> None:
        """Note, every other second, which workers are there and which are lost."""
        if self.client.status == "running" and time.monotonic() - self.looked > 2:
            self.looked, before = time.monotonic(), self.workers
            with contextlib.suppress(OSError):
                self.workers = set(self.client.nthreads())
            for worker in sorted(before - self.workers):
                note(f"the worker {worker} is lost; what it ran starts again from its checkpoint")

    def has_room(self, job: Job) -> bool:
        """Whether a worker is free."""
        return self.client.status == "running" and len(self.attempts) < len(self.workers)

    def settled(self, job: Job) -> bool:
        """Whether there is nothing to ask for, which is noted."""
        settled = super().settled(job)
        if job.outcome == "done" and job.run.path in self.asked:  # while the scheduler was gone
            job.outcome = "ran"
        return settled

    def start(self, job: Job) -> Attempt:
        """Ask for the job."""
        order = Order(job.experiment.name, job.run.profile, dict(job.overrides), self.command, self.folders, self.code)
        self.asked.add(job.run.path)
        tqdm.write(job.run.name, file=sys.stdout)
        future = self.client.submit(work, order, key=f"{job.run.name}-{uuid.uuid4().hex}", pure=False)
        return Attempt(job, future, _done(job))

    def take_in(self, attempt: Attempt) -> None:
        """Note how an attempt ended, or have the run tried again where only workers or the scheduler were at fault."""
        job, future = attempt.job, attempt.future
        if future.status == "finished":
            job.outcome, job.message, job.trace, job.seconds = future.result()
            if job.outcome == "done":  # by a worker that was lost before it could say so
                job.outcome = "ran"
            return
        error = future.exception() if future.status == "error" else None
        if error is None or (type(error).__name__ == "KilledWorker" and _done(job) != attempt.detail):
            self.waiting.insert(0, job)
            return
        job.outcome, job.message = "failed", f"{type(error).__name__}: {error}"
        if isinstance(error, ReproError):
            job.message = str(error)
        elif type(error).__name__ == "KilledWorker":
            job.message = f"{DEATHS + 1} workers died while running it, without a new checkpoint (out of memory?)"
        job.run.fail(ReproError(job.message))


def _done(job: Job) -> tuple[int, set[tuple[Path, int]]]:
    """Return what changes as the job's run gets on: its epochs, and the times of its checkpoints."""
    try:
        checkpoints = {(path, path.stat().st_mtime_ns) for path in job.run.path.glob("**/checkpoint.pt")}
        return state(job.run).epochs, checkpoints
    except (ReproError, OSError, ValueError):
        return 0, set()
