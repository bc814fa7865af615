"""A run's processes on this machine, started and awaited: they write the run directory, and this process waits.

They meet in a file of a folder that only their user may enter, talk over loopback, and read no pickles: nobody else has
a part in the run. When one ends early the others are ended too, and the same command goes on from the last checkpoint;
so are processes that write nothing for too long. On several machines torchrun starts them.
"""

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from repro.configs.parameters import Parameters
from repro.configs.registry import find
from repro.errors import AGAIN, ReproError, UsageError, is_memory, told
from repro.files import own, read_json, read_text, write_json
from repro.progress import one_line
from repro.runs import failure, provenance
from repro.runs.locks import lock
from repro.runs.run import Run, open_run
from repro.settings import cores, grouped, leads

PATIENCE = float(os.environ.get("REPRO_PATIENCE", 3600))  # seconds in which nothing is written
GRACE = 10.0  # seconds that the processes have to end


def compute(run: Run) -> dict[str, Any]:
    """Return the result of `run`: read if it is done, which is said, else computed from its last checkpoint on.

    Several processes are started where the run asks for them; in each of those, this computes its part.
    """
    if (result := run.result) is not None:
        if leads():
            print(f"read from {run.path}, nothing was computed")
        return result
    several = run.params.values().get("processes", 1) > 1 and not grouped()
    with one_line():
        return _together(run) if several else alone(run)


def _together(run: Run) -> dict[str, Any]:
    """Compute the run in its `processes`; return its result. ReproError in one line if one of them fails."""
    private = TemporaryDirectory(prefix="repro-", ignore_cleanup_errors=True)  # of mode 0700
    with lock(run.path / ".processes.lock", wait=0), private as name:
        folder = Path(name)
        try:
            ends = _ends(run, folder)
            if any(ends) or run.result is None:
                raise ReproError(_reason(run, folder, ends))
        except ReproError as error:
            error.trace = _said(folder)
            failure.clear(run.path)  # where another process is at fault, the first one knows less
            run.fail(error)
            raise
    return run.result


def _ends(run: Run, folder: Path) -> list[int | None]:
    """Return how the processes ended, or had ended when one failed; those left are ended. ReproError for silence."""
    values = run.params.values()
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // values["processes"])))
    names = {"OMP_NUM_THREADS": threads, "REPRO_COMMAND": provenance.command(), "REPRO_GROUP": str(folder / "store")}
    names |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(values["processes"]))
    what, context = (run.experiment, run.profile, values), multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(i, folder, names, *what)) for i in range(values["processes"])]
    try:
        for process in processes:
            process.start()
        while True:
            ends = [process.exitcode for process in processes]
            if any(ends) or None not in ends:
                return ends
            # by what was seen above: of none, if the last one ended since, `wait` would wait in vain
            left = [process.sentinel for process, end in zip(processes, ends, strict=True) if end is None]
            if wait(left, PATIENCE):
                continue
            written = max(path.stat().st_mtime for path in (run.path, *run.path.rglob("*")) if path.exists())
            if time.time() - written > PATIENCE:
                raise ReproError(f"its processes showed no sign of life for {PATIENCE:g} s; {AGAIN}")
    finally:
        _end(processes)


def _end(processes: list[BaseProcess]) -> None:
    """End the processes, and by force those that have not within GRACE seconds."""
    started = [process for process in processes if process.pid]
    left_open = started and started[0].is_alive()  # the bar that the first one shows
    for process in started:
        process.terminate()
    end = time.monotonic() + GRACE
    for process in started:
        process.join(max(0.0, end - time.monotonic()))
        process.kill()
        process.join()
    if left_open:
        print(file=sys.stderr)


def _process(rank: int, folder: Path, names: dict[str, str], experiment: str, profile: str, values: dict) -> None:
    """Compute a run as its process `rank`, and keep in the folder why that failed; names: of the environment."""
    os.environ.update(names, RANK=str(rank), LOCAL_RANK=str(rank))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter sees it too, and ends this process
    Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()
    if rank > 0:  # the first one speaks
        with open(folder / f"{rank}.log", "xb", opener=own) as log:
            os.dup2(log.fileno(), 2)
    try:
        run = open_run(find(experiment), profile, values)
        run.finish(alone(run))
    except Exception as error:
        trace = failure.traceback_of(error)
        write_json(folder / f"{rank}.json", {"told": told(error), "error": failure.reason(error), "trace": trace})
        sys.exit(1)


def _reason(run: Run, folder: Path, ends: list[int | None]) -> str:
    """Say in one line why the processes ended: what one of them said, or how it was ended."""
    failed = [read_json(path) for path in sorted(folder.glob("*.json"))]
    if said := [each["told"] for each in failed if each["told"]]:
        return said[0]
    for rank, code in enumerate(ends):
        if code is not None and code < 0:
            return f"process {rank} was ended by {signal.Signals(-code).name} (out of memory, or killed); {AGAIN}"
    why = next((f" with {each['error']}" for each in failed), "")
    return f"its processes ended early{why}; {run.path / failure.NAME} holds what they said, and {AGAIN}"


def _said(folder: Path) -> str:
    """Return the tracebacks of the processes that failed, and what else those said that were not heard."""
    logs = {path.stem: read_text(path) for path in folder.glob("*.log")}
    traces = {path.stem: read_json(path)["trace"] for path in folder.glob("*.json")}
    return "\n".join(f"process {rank}:\n{logs.get(rank, '')}{traces.get(rank, '')}" for rank in sorted(logs | traces))


def alone(run: Run) -> dict[str, Any]:
    """Compute the run in this process, be it the only one or one of several."""
    from repro.training import parallel  # imports torch, which who starts several does without

    with parallel.group(run.params.values().get("device", "cpu")), run.session():
        try:
            return find(run.experiment).compute(run.params, run)
        except (MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            raise ReproError(f"{run.name} needs more memory than there is: {error}; take smaller sizes") from error


def with_processes(texts: dict[str, str], parameters: type[Parameters]) -> dict[str, str]:
    """Return the parameters, with the number of processes if this is one of several; UsageError if they contradict."""
    if not grouped():
        return texts
    processes = os.environ["WORLD_SIZE"]
    if "processes" not in parameters().values():
        raise UsageError("this experiment runs in one process: start it without torchrun")
    if texts.get("processes", processes) != processes:
        raise UsageError(f"processes={texts['processes']}, but torchrun started {processes}: leave the parameter out")
    return {**texts, "processes": processes}
