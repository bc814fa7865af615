"""Runs at the same time: what waits, what is at work, and what may start, whoever does the work."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from repro.execution import runner
from repro.execution.plan import ranked
from repro.execution.runner import Job


def unsettled(jobs: list[Job]) -> list[Job]:
    """Return the jobs that there is something to execute for, in the order in which they are to start."""
    return [job for job in ranked(jobs) if not runner.settled(job, jobs)]


@dataclass
class Attempt:
    """A run at work: its future, and what its kind of board knows beside it."""

    job: Job
    future: "Future"
    detail: Any


@dataclass
class Board:
    """The jobs, and how many have ended; a job starts when what it needs has ended and there is room."""

    jobs: list[Job]
    command: str
    shown: tqdm  # counts the jobs that have ended
    waiting: list[Job]
    attempts: list[Attempt] = field(default_factory=list)

    def has_room(self, job: Job) -> bool:
        """Whether the job may start beside those at work."""
        raise NotImplementedError

    def start(self, job: Job) -> Attempt:
        """Have the job worked on."""
        raise NotImplementedError

    def take_in(self, attempt: Attempt) -> None:
        """Note in its job how an attempt ended."""
        raise NotImplementedError

    def settled(self, job: Job) -> bool:
        """Whether there is nothing to execute for the job, which is noted."""
        return runner.settled(job, self.jobs)

    def step(self) -> bool:
        """Take in what has ended, start what can start, and return whether anything is left."""
        for attempt in [attempt for attempt in self.attempts if attempt.future.done()]:
            self.attempts.remove(attempt)
            self.take_in(attempt)
        for job in list(self.waiting):
            pending = {other.run.path for other in (*self.waiting, *(attempt.job for attempt in self.attempts))}
            if self.has_room(job) and not pending & {*job.needs}:
                self.waiting.remove(job)
                if not self.settled(job):
                    self.attempts.append(self.start(job))
        self.shown.update(len(self.jobs) - len(self.waiting) - len(self.attempts) - self.shown.n)
        return bool(self.waiting or self.attempts)
