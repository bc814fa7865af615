"""A run's processes on this machine, started and watched: they write the run directory, and this process waits.

They meet in a file of a folder that only their user may enter, talk over loopback, and read no pickles: nobody else has
a part in the run. When one ends early the others are ended too, and the same command goes on from the last checkpoint;
so are processes that show no sign of life. On several machines torchrun starts them.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from repro.configs.parameters import Parameters
from repro.errors import AGAIN, ReproError, UsageError
from repro.runs import failure, provenance
from repro.runs.run import Run, lock
from repro.settings import cores, grouped, own_package

PATIENCE = float(os.environ.get("REPRO_PATIENCE", 3600))  # seconds without a sign of life
GRACE = 10.0  # seconds that the processes have to end
MOST_SAID = 20_000  # characters of what a process said that are kept of a failure


def wanted(run: Run) -> bool:
    """Whether the run asks for several processes, and this is not one of them."""
    return run.params.values().get("processes", 1) > 1 and not grouped()


def compute(run: Run) -> dict[str, Any]:
    """Compute the run in its `processes`; return its result. ReproError in one line if one of them fails."""
    private = TemporaryDirectory(prefix="repro-", ignore_cleanup_errors=True)  # of mode 0700
    with lock(run.path / ".processes.lock", wait=0), private as folder:
        logs = [Path(folder, f"{rank}.log") for rank in range(run.params.values()["processes"])]
        try:
            with _started(run, logs) as processes:
                ends = _follow(processes, run, logs)
            if any(ends) or run.result is None:
                raise ReproError(_reason(run, ends, logs))
        except ReproError as error:
            error.trace = _said(logs)
            failure.clear(run.path)  # where another process is at fault, the first one knows less
            run.fail(error)
            raise
    return run.result


@contextmanager
def _started(run: Run, logs: list[Path]) -> Iterator[list[subprocess.Popen]]:
    """Start the processes; end them with the block. Their standard input is their sign that this one lives."""
    values = run.params.values()
    texts = {key: ",".join(map(str, v)) if isinstance(v, list) else str(v) for key, v in values.items()}
    recipe = [run.experiment, f"profile={run.profile}", *(f"{key}={text}" for key, text in texts.items())]
    threads = max(1, cores() // len(logs))
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "REPRO_PROGRESS_SECONDS": "5"}
    environment |= {"REPRO_COMMAND": provenance.command(), "REPRO_STARTED": "1", **own_package()}
    environment |= {"REPRO_GROUP": str(logs[0].with_name("store"))}
    environment |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(len(logs)))
    processes: list[subprocess.Popen] = []
    try:
        for rank, path in enumerate(logs):
            with open(path, "wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "repro.recipe", *recipe],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    start_new_session=True,
                )
            processes.append(process)
        yield processes
    finally:
        _end(processes)


def _end(processes: list[subprocess.Popen]) -> None:
    """Let the processes end, and by force those that have not within GRACE seconds."""
    for process in processes:
        process.stdin.close()
    end = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _follow(processes: list[subprocess.Popen], run: Run, logs: list[Path]) -> list[int | None]:
    """Show what the first process says until one fails or all have ended; return their exit statuses then.

    ReproError when nothing has moved for too long.
    """
    signs, shown, since = None, 0, time.monotonic()
    while True:
        time.sleep(0.1)
        ends = [process.poll() for process in processes]
        with open(logs[0], "rb") as file:
            file.seek(shown)
            shown += _show(file.read())
        if any(ends) or None not in ends:
            return ends
        seen, signs = signs, [path.stat().st_mtime_ns for path in (*logs, run.path)]
        if signs != seen:
            since = time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise ReproError(f"its processes showed no sign of life for {PATIENCE:g} s; {AGAIN}")


def _show(text: bytes) -> int:
    """Show whole lines and states of the bar, but for errors: those are said at the end. Return how much was taken."""
    taken = max(text.rfind(b"\n") + 1, text.rfind(b"\r"), 0)
    sys.stderr.write(re.sub(r"(?m)^(repro: |\[rank\d+\]:).*\n?", "", text[:taken].decode(errors="replace")))
    return taken


def _reason(run: Run, ends: list[int | None], logs: list[Path]) -> str:
    """Say in one line why the processes ended: what one of them said, or how it was ended."""
    said = [path.read_text(errors="replace") for path in logs]
    for text in said:
        if found := re.findall(r"^repro: (.*)$", text, re.MULTILINE):
            return found[-1]
    for rank, code in enumerate(ends):
        if code is not None and code < 0:
            return f"process {rank} was ended by {signal.Signals(-code).name} (out of memory, or killed); {AGAIN}"
    errors = [re.findall(r"^(?:\[rank\d+\]: )?(\w[\w.]*Error\b.*)$", text, re.MULTILINE) for text in said]
    why = next((f" with {found[-1]}" for found in errors if found), "")
    return f"its processes ended early{why}; {run.path / failure.NAME} holds what they said, and {AGAIN}"


def _said(logs: list[Path]) -> str:
    """Return the end of what each process said, of its bars the last state."""
    texts = [re.sub(r"[^\n]*\r", "", path.read_text(errors="replace"))[-MOST_SAID:] for path in logs if path.exists()]
    return "\n".join(f"process {rank}:\n{text}" for rank, text in enumerate(texts))


def group(run: Run) -> AbstractContextManager[None]:
    """Work together with the run's other processes, if this is one of several, and end when their starter does."""
    if not grouped():
        return nullcontext()
    if os.environ.get("REPRO_STARTED"):
        Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    from repro.training import parallel  # imports torch

    return parallel.group(run.params.values()["device"])


def counted(texts: dict[str, str], parameters: type[Parameters]) -> dict[str, str]:
    """Return the parameters, with the number of processes if this is one of several; UsageError if they contradict."""
    if not grouped():
        return texts
    processes = os.environ["WORLD_SIZE"]
    if "processes" not in parameters().values():
        raise UsageError("this experiment runs in one process: start it without torchrun")
    if texts.get("processes", processes) != processes:
        raise UsageError(f"processes={texts['processes']}, but torchrun started {processes}: leave the parameter out")
    return {**texts, "processes": processes}
