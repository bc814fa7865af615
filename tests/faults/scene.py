"""One run in a process of its own that can be killed, looked at while it works, and compared with an undisturbed one.

Processes are forked from a server that has everything imported, so that a fault costs about a second.
"""

import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from finished import existing_runs
from tiny import NEEDED, TINY, small_data

from repro.configs.registry import find
from repro.files import read_json, read_lines
from repro.recipe import main
from repro.runs.states import state
from repro.training import checkpoints

PATIENCE = 120.0  # seconds for a run of about one
TIMES = ("seconds", "step_images_per_second", "input_images_per_second")  # never the same
Prepare = Callable[..., None]


@cache
def server() -> Any:
    """What forks the processes."""
    context = multiprocessing.get_context("forkserver")
    recipes = {experiment.recipe.split(":")[0] for experiment in map(find, TINY)}
    modules = ["repro.recipe", "torch._dynamo", "torch.distributed", "sklearn.datasets", "PIL.JpegImagePlugin"]
    context.set_forkserver_preload(
        [*modules, "unittest.mock", *(f"repro.experiments.{name}" for name in sorted(recipes))]
    )
    first = context.Process(target=time.sleep, args=(0,))
    first.start()
    first.join()  # by then it has imported everything
    return context


def _work(folder: Path, name: str, parameters: dict[str, str], prepare: Prepare | None, arguments: tuple) -> None:
    """Run in this process, with everything that is said in one file."""
    with open(folder / "said", "ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    folders = {f"REPRO_{name.upper()}": str(folder / name) for name in ("runs", "data", "published")}
    os.environ |= {**folders, "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    with small_data():
        if prepare:
            prepare(*arguments)
        sys.exit(main([name, *(f"{key}={value}" for key, value in parameters.items())]))


class Scene:
    """A folder with runs and data, and one experiment's run in it."""

    def __init__(self, folder: Path, name: str, parameters: dict[str, str] | None = None, data: Path | None = None):
        self.folder, self.name, self.parameters = folder, name, {**TINY[name], **(parameters or {})}
        server()
        (folder / "runs").mkdir(parents=True)
        if data:
            shutil.copytree(data, folder / "data")
        self.covered: dict[str, int] = {}
        self.patience = PATIENCE
        self.seconds = 0.0  # of an undisturbed run

    def undisturbed(self) -> "Scene":
        """Make what the run needs and the run, in one go each."""
        for name, parameters in NEEDED.get(self.name, []):
            self.finish(self.start(name=name, parameters=parameters))
        began = time.monotonic()
        self.finish()
        self.seconds = time.monotonic() - began
        return self

    def copy(self, folder: Path) -> "Scene":
        """The same scene before the run, with what it needs."""
        twin = Scene.__new__(Scene)
        twin.__dict__ |= {**self.__dict__, "folder": folder, "covered": {}}
        shutil.copytree(self.folder, folder)
        shutil.rmtree(twin.run)
        (folder / "said").write_bytes(b"")
        return twin

    @property
    def run(self) -> Path:
        """The run's folder."""
        return next(path for path in (self.folder / "runs" / self.name).glob("*") if self._mine(path))

    def _mine(self, path: Path) -> bool:
        held = read_json(path / "params.json")["parameters"] if (path / "params.json").exists() else {}
        return str(held.get("seed", 0)) == self.parameters.get("seed", "0")

    @property
    def said(self) -> str:
        """Everything that its processes have said."""
        return (self.folder / "said").read_text(errors="replace")

    def start(
        self, prepare: Prepare | None = None, *arguments: Any, name: str = "", parameters: dict[str, str] | None = None
    ) -> multiprocessing.Process:
        """Start or resume the run; `prepare(*arguments)` is called in its process first."""
        work = (self.folder, name or self.name, parameters or self.parameters, prepare, arguments)
        process = server().Process(target=_work, args=work)
        process.start()
        return process

    def finish(self, process: multiprocessing.Process | None = None) -> None:
        """Let the run come to its end."""
        assert self.end(process or self.start()) == 0, self.said[-3000:]

    def end(self, process: multiprocessing.Process) -> int:
        """Look at the run until its process ends; return its exit status."""
        self.wait(process, self.patience)
        assert not process.is_alive(), f"{self.name} still runs after {self.patience:g} s: {self.said[-500:]}"
        return process.exitcode

    def wait(self, process: multiprocessing.Process, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Look at the run again and again for so long, or until it ends, or until something is so."""
        end = time.monotonic() + seconds
        while process.is_alive() and time.monotonic() < end and not until():
            self.look()
            process.join(min(0.01, max(0.0, end - time.monotonic())))

    def look(self) -> None:
        """Read all that other processes read of a run: no file may be there by half at any time."""
        os.environ["REPRO_RUNS"] = str(self.folder / "runs")
        for run in existing_runs():
            read_json(run.path / "params.json")
            assert run.result is None or isinstance(run.result, dict)
            str(state(run))

    def check(self) -> None:
        """After a fault: every file is whole, and nothing that was finished is lost."""
        self.look()
        for path in self.folder.glob("runs/**/*.json"):
            read_json(path)
        for path in self.folder.glob("runs/**/metrics.jsonl"):
            read_lines(path)
        for path in [*self.folder.glob("runs/**/checkpoint.pt"), *self.folder.glob("runs/**/checkpoint.previous.pt")]:
            checkpoints.read(path)
        covered = self.progress()
        lost = [part for part, epochs in self.covered.items() if covered.get(part, 0) < epochs]
        assert not lost, f"{self.name} lost {lost}: {self.covered} before, {covered} now"
        self.covered = covered

    def progress(self) -> dict[str, int]:
        """What the checkpoints cover, how many candidates are judged, and which results are there."""
        found = {}
        for path in self.folder.glob("runs/**/metrics.jsonl"):
            held = checkpoints.load(path.parent)
            candidates = len(read_lines(path)) if held is None and "spos-" in self.name else 0
            found[str(path.relative_to(self.folder))] = candidates if held is None else covered(held)
        return found | {str(path.relative_to(self.folder)): 1 for path in self.folder.glob("runs/**/result.json")}


def covered(held: dict[str, Any]) -> int:
    """What a checkpoint covers: its epochs, each taken for a million steps, and the steps of the one after them."""
    return held["epochs"] * 10**6 + sum(held.get("within", {"steps": {}})["steps"].values())


# ---- comparison


def contents(run: Path) -> dict[str, Any]:
    """Everything a finished run holds but locks, times and provenance, by file."""
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = str(path.relative_to(run))
        if name.endswith(".lock") or path.name == "provenance.json":
            continue
        if path.name == "metrics.jsonl":
            found[name] = [{k: v for k, v in row.items() if k not in TIMES} for row in read_lines(path)]
        elif path.suffix == ".pt":
            found[name] = timeless(torch.load(path, weights_only=True))
        else:
            found[name] = path.read_bytes()
    return found


def timeless(content: Any) -> Any:
    """The content of a checkpoint without the seconds that an epoch under way has taken."""
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if key not in TIMES}
    return [*map(timeless, content)] if isinstance(content, list) else content


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def compare(one: Path, other: Path) -> None:
    """AssertionError names a file in which two finished runs differ, or that only one of them has."""
    ours, theirs = contents(one), contents(other)
    assert ours.keys() == theirs.keys(), f"files: {sorted(ours.keys() ^ theirs.keys())}"
    different = [name for name in ours if not same(ours[name], theirs[name])]
    assert not different, f"{one.parent.name}: {different} differ"


def remove(path: Path) -> None:
    """Remove a folder that a dying process may still write to."""
    for _ in range(3):
        with suppress(OSError):
            shutil.rmtree(path)
            return
        time.sleep(0.2)


def new_dice(*facts: Any) -> random.Random:
    """Random numbers that depend on the facts alone."""
    return random.Random(" ".join(map(str, facts)))
