"""Runs side by side on this machine: each has a process of its own, its notebook's kernel, and a thread here.

A run takes as many cores as it has threads. One that takes all of them, or a GPU, has the machine for itself, unless
the number of runs at a time is given.
"""

import signal
import sys
from collections.abc import Iterable
from concurrent.futures import wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TextIO

from tqdm import tqdm

from repro.execution import board, runner
from repro.execution.engine import Execution
from repro.execution.runner import Job
from repro.execution.workers import gpus
from repro.progress import bar
from repro.settings import cores

GRACE = 5  # seconds that kernels have to end after Ctrl-C


def run_all(jobs: list[Job], command: str, at_once: int | None = None) -> None:
    """Run the jobs, `at_once` at a time or as many as there are cores for, and note each outcome in it.

    A failure skips only what needs it.
    """
    waiting = board.unsettled(jobs)
    if not waiting:
        return
    share = Share(at_once)
    alone = not share.holds(sorted(waiting, key=share.of)[:2]) or len(waiting) == 1
    quiet = nullcontext(tqdm(disable=True))
    with quiet if alone else bar("runs", len(jobs) - len(waiting), len(jobs)) as shown:
        Board(jobs, command, shown, waiting, share=share, alone=alone).work_off()


class Share:
    """How much of the machine each run takes: so many of its cores, or, where `at_once` is given, the same each."""

    def __init__(self, at_once: int | None) -> None:
        self.at_once, self.cores, self.gpus = at_once, cores(), gpus()

    def of(self, job: Job) -> int:
        """Return the cores that a run takes."""
        values = job.run.params.values()
        device, taken = values.get("device", "cpu"), values.get("threads", 1) * values.get("processes", 1)
        on_gpu = device == "cuda" or (device == "auto" and self.gpus)
        return self.cores if on_gpu or not taken else min(taken, self.cores)

    def holds(self, jobs: list[Job]) -> bool:
        """Whether there is room for all of these at a time."""
        return len(jobs) <= self.at_once if self.at_once else sum(map(self.of, jobs)) <= self.cores


@dataclass(kw_only=True)
class Board(board.Board):
    """Runs in threads; what they say is told apart by their names, unless only one works at a time."""

    share: Share
    alone: bool
    executions: dict[str, Execution] = field(default_factory=dict)  # by the runs' names
    states: dict[str, str | None] = field(default_factory=dict)  # how far they are, told beside the bar

    def has_room(self, job: Job) -> bool:
        """Whether the job may start beside those at work."""
        return self.share.holds([*self.at_work.values(), job])

    def work(self, job: Job) -> None:
        """Execute the job in a kernel of its own."""
        name, execution = job.run.name, Execution()
        if not self.alone:
            self.show(name, "")
            execution = Execution(*(Lines(self, name, stream) for stream in (sys.stdout, sys.stderr)))
        self.executions[name] = execution
        try:
            runner.attempt(job, self.command, execution)
        finally:
            del self.executions[name]
            self.show(name, None)

    def show(self, name: str, state: str | None) -> None:
        """Tell beside the bar how far a run is, or, without a state, no longer."""
        self.states[name] = state
        told = [f"{name} {state}".rstrip() for name, state in [*self.states.items()] if state is not None]
        self.shown.set_postfix_str(", ".join(told), refresh=sys.stderr.isatty())

    def stop(self) -> None:
        """End the kernels as Ctrl-C does; by force if that takes too long, or after a second Ctrl-C."""
        try:
            self._end(chain(repeat(signal.SIGINT, GRACE), repeat(signal.SIGKILL)))
        except KeyboardInterrupt:
            self._end(repeat(signal.SIGKILL))

    def _end(self, signals: Iterable[int]) -> None:
        for number in signals:
            for execution in [*self.executions.values()]:
                execution.stop(number)
            if not wait(self.at_work, timeout=1).not_done:
                return


class Lines:
    """A stream of one of several runs: whole lines are said under its name, a bar's states are shown beside the bar."""

    def __init__(self, runs: Board, name: str, stream: TextIO) -> None:
        self.runs, self.name, self.stream, self.rest = runs, name, stream, ""

    def write(self, text: str) -> None:
        """Say the lines that are whole."""
        *lines, rest = (self.rest + text).split("\n")
        for line in lines:
            if said := line.rstrip("\r ").rpartition("\r")[2]:
                tqdm.write(f"{self.name}: {said}", file=self.stream)
        self.rest = rest.rpartition("\r")[2]
        if "%" in self.rest:
            self.runs.show(self.name, self.rest.partition("%")[0].rpartition(" ")[2] + "%")

    def flush(self) -> None:
        """Flush the stream below."""
        self.stream.flush()
