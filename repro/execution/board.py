"""Runs at the same time: which wait, which are at work, and which may start, wherever they are executed.

Each run has a thread of this process, which waits for the notebook's kernel here (`pool`) or for a worker (`cluster`).
"""

import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from tqdm import tqdm

from repro.execution import runner
from repro.execution.plan import ranked
from repro.execution.runner import Job

LOOK = 2.0  # seconds after which is looked for room again, such as that of a new worker


def unsettled(jobs: list[Job]) -> list[Job]:
    """Return the jobs that there is something to execute for, in the order in which they are to start."""
    return [job for job in ranked(jobs) if not runner.settled(job, jobs)]


@dataclass
class Board:
    """The jobs, and how many have ended; a job starts when what it needs has ended and there is room.

    Subclasses say where: `has_room(job)` beside those at work; `work(job)`, in a thread of its own, executes it and
    notes how it ended, and what it raises ends all; `stop()` ends the runs at work, so that their threads end.
    """

    jobs: list[Job]
    command: str
    shown: tqdm  # counts the jobs that have ended
    waiting: list[Job]
    at_work: dict[Future, Job] = field(default_factory=dict)

    def work_off(self) -> None:
        """Work until all jobs have ended; stop those at work where this is interrupted."""
        with ThreadPoolExecutor(len(self.waiting)) as threads:
            try:
                while self.waiting or self.at_work:
                    self.start(threads)
                    for future in wait(self.at_work, LOOK, FIRST_COMPLETED).done:
                        del self.at_work[future]
                        future.result()
                    self.shown.update(len(self.jobs) - len(self.waiting) - len(self.at_work) - self.shown.n)
            except BaseException:
                self.stop()
                raise

    def start(self, threads: ThreadPoolExecutor) -> None:
        """Start the jobs that can start, in their order."""
        for job in list(self.waiting):
            pending = {other.run.path for other in (*self.waiting, *self.at_work.values())}
            if not pending & {*job.needs} and self.has_room(job):
                self.waiting.remove(job)
                if not runner.settled(job, self.jobs):
                    tqdm.write(job.run.name, file=sys.stdout)
                    sys.stdout.flush()
                    self.at_work[threads.submit(self.work, job)] = job
