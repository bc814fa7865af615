"""A run's processes, started by torchrun and watched: they write the run directory, and this process waits.

Elastic restarts are not used, since they hang: when a process ends early the others are ended too, and the same command
goes on from the last checkpoint. Processes that show no sign of life are ended as well.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from typing import Any

from repro import failure, provenance
from repro.errors import AGAIN, ReproError, UsageError
from repro.parameters import Parameters
from repro.runs import Run, lock
from repro.settings import cores, own_package, under_torchrun

PATIENCE = float(os.environ.get("REPRO_PATIENCE", 3600))  # seconds without a sign of life
GRACE = 10.0  # seconds that the processes have to end
MOST_SAID = 20_000  # characters of what a process said that are kept of a failure


def wanted(run: Run) -> bool:
    """Whether the run asks for several processes, and this is not one of them."""
    return run.params.values().get("processes", 1) > 1 and not under_torchrun()


def compute(run: Run) -> dict[str, Any]:
    """Compute the run in its `processes`, under torchrun; return its result. ReproError in one line if one fails."""
    logs = run.path / "processes"
    with lock(run.path / ".processes.lock", wait=0):
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        try:
            with _started(run, logs) as torchrun:
                _follow(torchrun, run, logs)
            if torchrun.returncode or run.result is None:
                raise ReproError(_reason(logs))
        except ReproError as error:
            error.trace = _said(logs)
            failure.clear(run.path)  # where another process is at fault, the first one knows less
            run.fail(error)
            raise
    tidy(run)
    return run.result


def tidy(run: Run) -> None:
    """Remove what the processes of a finished run said, unless this is one of them."""
    if not under_torchrun():
        shutil.rmtree(run.path / "processes", ignore_errors=True)


@contextmanager
def _started(run: Run, logs: Path) -> Iterator[subprocess.Popen]:
    """Start torchrun; end it and all its processes with the block. Its standard input is their sign that we live."""
    values = run.params.values()
    texts = {key: ",".join(map(str, v)) if isinstance(v, list) else str(v) for key, v in values.items()}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--redirects=3", f"--log-dir={logs}"]
    recipe = [run.experiment, f"profile={run.profile}", *(f"{key}={text}" for key, text in texts.items())]
    threads = max(1, cores() // values["processes"])
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "REPRO_PROGRESS_SECONDS": "5"}
    environment |= {"REPRO_COMMAND": provenance.command(), "REPRO_STARTED": "1", **own_package()}
    with open(logs / "torchrun.log", "wb") as log:
        process = subprocess.Popen(
            [*torchrun, f"--nproc-per-node={values['processes']}", "-m", "repro.recipe", *recipe],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _follow(torchrun: subprocess.Popen, run: Run, logs: Path) -> None:
    """Show what the first process says until torchrun ends; ReproError when nothing has moved for too long."""
    signs, shown, since, ended = None, 0, time.monotonic(), False
    while not ended:
        time.sleep(0.1)
        ended = torchrun.poll() is not None
        for path in logs.glob("*/attempt_0/0/stderr.log"):
            with open(path, "rb") as file:
                file.seek(shown)
                shown += _show(file.read())
        seen, signs = signs, [os.stat(path).st_mtime_ns for path in (*logs.rglob("*.log"), run.path)]
        if signs != seen:
            since = time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise ReproError(f"its processes showed no sign of life for {PATIENCE:g} s; {AGAIN}")


def _show(text: bytes) -> int:
    """Show whole lines and states of the bar, but for errors: those are said at the end. Return how much was taken."""
    taken = max(text.rfind(b"\n") + 1, text.rfind(b"\r"), 0)
    sys.stderr.write(re.sub(r"(?m)^(repro: |\[rank\d+\]:).*\n?", "", text[:taken].decode(errors="replace")))
    return taken


def _reason(logs: Path) -> str:
    """Say in one line why the processes ended: what one of them said, or how it was ended."""
    said = {int(path.parent.name): path.read_text(errors="replace") for path in logs.glob("*/attempt_0/*/stderr.log")}
    for _, text in sorted(said.items()):
        if found := re.findall(r"^repro: (.*)$", text, re.MULTILINE):
            return found[-1]
    summary = (logs / "torchrun.log").read_text(errors="replace")
    ends = re.findall(r"^ *rank *: (\d+) .*\n *exitcode *: (-?\d+)", summary, re.MULTILINE)
    for rank, code in ends:
        if int(code) < 0 and -int(code) != signal.SIGTERM:  # torchrun terminates those that are left
            name = signal.Signals(-int(code)).name
            return f"process {rank} was ended by {name} (out of memory, or killed); {AGAIN}"
    errors = [re.findall(r"^(?:\[rank\d+\]: )?(\w[\w.]*Error\b.*)$", text, re.MULTILINE) for text in said.values()]
    why = next((f" with {found[-1]}" for found in errors if found), "")
    return f"its processes ended early{why}; {logs} holds what they said, and {AGAIN}"


def _said(logs: Path) -> str:
    """Return the end of what each process said, of its bars the last state."""
    paths = sorted(logs.glob("*/attempt_0/*/stderr.log"))
    texts = [re.sub(r"[^\n]*\r", "", path.read_text(errors="replace"))[-MOST_SAID:] for path in paths]
    return "\n".join(f"process {path.parent.name}:\n{text}" for path, text in zip(paths, texts, strict=True))


def group(run: Run) -> AbstractContextManager[None]:
    """Work together with torchrun's other processes, if it started this one, and end when their starter does."""
    if not under_torchrun():
        return nullcontext()
    if os.environ.get("REPRO_STARTED"):
        Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    from repro import parallel  # imports torch

    return parallel.group(run.params.values()["device"])


def counted(texts: dict[str, str], parameters: type[Parameters]) -> dict[str, str]:
    """Return the parameters, with the number of processes if torchrun started us; UsageError if they contradict it."""
    if not under_torchrun():
        return texts
    processes = os.environ["WORLD_SIZE"]
    if "processes" not in parameters().values():
        raise UsageError("this experiment runs in one process: start it without torchrun")
    if texts.get("processes", processes) != processes:
        raise UsageError(f"processes={texts['processes']}, but torchrun started {processes}: leave the parameter out")
    return {**texts, "processes": processes}
