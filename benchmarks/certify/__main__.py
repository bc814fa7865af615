"""Certify a GPU, measure on it, and begin a real search: one command, of any length, that may be killed and goes on.

    python -m benchmarks.certify [--seconds 480] [--to FOLDER] [--device auto] [--small]

Stages come in order of worth, each in a process of its own with a deadline, and each writes FOLDER/NN-name.json. The
same command skips what is finished. `--small` rehearses all of it on a CPU, `--device meta` the shapes of the papers'
sizes. docs/gpu.md says what the files tell.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

from benchmarks.certify import stages, summary
from benchmarks.certify.stages import BROKEN, DONE, LEAST, STAGES, Settings, Stage
from repro.errors import ReproError, UsageError
from repro.files import make_folder
from repro.settings import ROOT

ON_META = ("steps",)  # the stages that need no values


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.certify", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=480.0, help="in which all ends")
    parser.add_argument("--to", type=Path, default=Path("build/certify"), help="folder of the files")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "meta"), default="auto")
    parser.add_argument("--small", action="store_true", help="tiny networks: seconds, on a CPU")
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """Work off the stages; return 0 where all that was started went well."""
    options = parse(sys.argv[1:])
    size, until = "tiny" if options.small else "paper", time.time() + options.seconds
    settings = Settings(options.to.absolute(), options.device, size, until)
    if options.stage:
        Thread(target=end_with_starter, daemon=True).start()
        return stages.work(options.stage, settings)
    try:
        make_folder(settings.folder)
        went = [_call(stage, settings) for stage in STAGES if options.device != "meta" or stage.name in ON_META]
        print(summary.write(settings.folder))
    except ReproError as error:
        print(f"certify: {error}", file=sys.stderr)
        return error.status
    return int(not all(went))


def _call(stage: Stage, settings: Settings) -> bool:
    """Work on a stage as long as it may take; say in a line what became of it, and return whether it went well."""
    held, began = stages.read(settings.folder, stage.name), time.monotonic()
    if (of := held.get("of", settings.of)) != settings.of:
        raise UsageError(f"{settings.folder} holds what was measured with {of}, not {settings.of}: take another --to")
    least = min(stage.least, LEAST) if settings.size == "tiny" else stage.least
    if held["finished"]:
        print(f"{stage.name}: finished before", flush=True)
        return True
    until = min(settings.until, time.time() + stage.most)
    if settings.left() < least:
        print(f"{stage.name}: not begun, it needs {least:.0f} s and {max(settings.left(), 0):.0f} are left", flush=True)
        return True
    while (status := _process(stage, settings._replace(until=until))) not in (DONE, None):
        again = status == BROKEN or stages.cut_off(settings.folder, stage.name, f"its process ended: {status}", True)
        if not again or until - time.time() < LEAST:
            break
    if status is None:
        stages.cut_off(settings.folder, stage.name, "it was cut off at the deadline of its stage", False)
    held = stages.read(settings.folder, stage.name)
    print(summary.line(held, time.monotonic() - began, status), flush=True)
    rows = held["rows"].values()
    # of steps, a variant may be too coarse
    wrong = stage.name == "correctness" and any(row.get("passed") is False for row in rows)
    return status in (DONE, None) and "error" not in held and not wrong and not any("error" in row for row in rows)


def command(stage: Stage, settings: Settings) -> list[str]:
    """Return what works on a stage."""
    words = [sys.executable, "-m", "benchmarks.certify", "--stage", stage.name, "--to", str(settings.folder)]
    words += ["--device", settings.device, "--seconds", f"{settings.left():.1f}"]
    return words + ["--small"] * (settings.size == "tiny")


def _process(stage: Stage, settings: Settings) -> int | None:
    """Run a stage in a process of its own; return its exit status, None where it had to be ended at its deadline."""
    one = {"OMP_NUM_THREADS": "1"} if settings.size == "tiny" else {}  # more threads wait for each other
    how = {"cwd": ROOT, "env": {**os.environ, **one}, "stdin": subprocess.PIPE, "start_new_session": True}
    process = subprocess.Popen(command(stage, settings), **how)
    try:
        return process.wait(max(settings.left(), 0))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()


def end_with_starter() -> None:
    """End this process, and what it has started, when the one that started it is gone."""
    os.read(0, 1)  # ends with the starter
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
