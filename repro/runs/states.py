"""How far every run is, by its folder alone: done, running, stopped or failed, and about how long the rest takes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from repro.configs.hours import trainings
from repro.errors import FOREIGN, ReproError, is_number, line
from repro.files import read_end, read_json
from repro.runs import failure, provenance
from repro.runs.directory import PUBLISHED, Run, is_published
from repro.runs.locks import is_held
from repro.runs.run import folders, given_name, held_identity, misnamed, read_run
from repro.runs.snapshot import once
from repro.settings import published_folder, runs_folder

WORDS = ("done", "running", "stopped", "failed")
PACE = 5  # epochs whose median is the time of those to come


@dataclass(frozen=True)
class State:
    """The state of one run: one of WORDS and what is known beside it."""

    word: str
    epochs: int = 0  # done so far, in all parts of the run
    of: int | None = None  # in all; where equal cells are trained once, at most
    left: float | None = None  # seconds, at the pace of the last epochs
    message: str = ""

    def __str__(self) -> str:
        of = f" of {self.of}" if self.of else ""
        epochs = f"after {self.epochs}{of} epochs" if self.epochs else ""
        left = f"about {duration(self.left)} left" if self.left is not None else ""
        return ", ".join(filter(None, (f"{self.word} {epochs}".strip(), left, self.message)))


OTHERS = ("metrics.jsonl", "provenance.json", "result.json")  # files that mark a run's folder without params.json


class Survey(NamedTuple):
    """All runs, published ones last, in order of their names, and for each folder that is passed over the reason."""

    runs: list[Run]
    damaged: dict[str, str]
    uncounted: dict[str, str]  # they hold a run that is counted elsewhere, or under a name that is not theirs


@once
def survey() -> Survey:
    """Return the runs in the runs folder and the published ones, each finished one once: the user's own counts."""
    damaged, uncounted, seen = {}, {}, {}
    held = {file.parent for name in OTHERS for file in runs_folder().glob(f"*/*/{name}")}
    for path in _own_first([*folders(), *(path for path in held if not (path / "params.json").exists())]):
        name = line("/".join(path.parts[-2:]) + PUBLISHED * is_published(path))
        try:
            run = read_run(path)
            _check(run)
        except FOREIGN as error:
            damaged[name] = line(error).replace(f"{runs_folder()}/", "").replace(f"{published_folder().parent}/", "")
            continue
        what = held_identity(path), run.published
        own = seen.get((what[0], False))
        if run.published and own and own.result is not None:
            continue
        if what in seen:
            uncounted[name] = f"holds the same run as {seen[what].name}: delete one of both"
        elif wrong := misnamed(run):
            uncounted[name] = line(wrong)
        else:
            seen[what] = run
    runs = sorted(seen.values(), key=lambda run: (run.published, run.path))
    return Survey(runs, damaged, uncounted)


def _own_first(paths: Iterable[Path]) -> list[Path]:
    """Return runs' folders in order of preference: before published ones a user's own, before those renamed ones."""
    moved = {path: path.is_symlink() or given_name(path) not in (None, path.name) for path in paths}
    return sorted(moved, key=lambda path: (is_published(path), moved[path], path))


def _check(run: Run) -> None:
    """Read the files of a run that listings and reports read, so that the error names the damaged one."""
    if not run.name.isprintable():
        raise ReproError("its folder's name is no text: rename it")
    run.result  # noqa: B018
    provenance.read(run.path)
    _epochs(run.path)


@once
def _epochs(path: Path) -> tuple[int, list[float]]:
    """Return how many epochs a run has done, in all its parts, and the seconds of the last ones."""
    files = [file for pattern in ("metrics.jsonl", "*/metrics.jsonl") for file in path.glob(pattern)]
    ends = [read_end(file, PACE) for file in sorted(files)]
    rows = [row for _, last in ends for row in last]
    seconds = [row["seconds"] for row in rows if is_number(row.get("seconds"))]
    return sum(count for count, _ in ends), seconds[-PACE:]


def state(run: Run) -> State:
    """Return how far a run is."""
    if run.result is not None:
        return State("done")
    values, (done, seconds) = run.params.values(), _epochs(run.path)
    of = values["epochs"] * trainings(values) if "epochs" in values else None  # of all trainings of the run
    left = median(seconds) * max(of - done, 0) if of and seconds else None
    if is_held(run.path / ".lock"):
        return State("running", done, of, left)
    message = failure.read(run.path) or _error_in_notebook(run.path)
    return State("failed" if message else "stopped", done, of, left, message)


@once
def _error_in_notebook(path: Path) -> str:
    """Return the error in the notebook, where failure.txt is not kept; empty if a session has begun since."""
    if not (path / "notebook.ipynb").exists():
        return ""
    try:
        notebook, sessions = read_json(path / "notebook.ipynb"), provenance.read(path).get("sessions", [])
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        errors = [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]
        executed = notebook["metadata"].get("papermill", {}).get("end_time")
        if executed and sessions and sessions[-1]["start"] > executed:
            return ""  # ended before it could write its notebook
    except FOREIGN:
        return "its notebook cannot be read"
    return next((line(error.splitlines()[0]) for error in errors if not error.startswith("KeyboardInterrupt")), "")


def duration(seconds: float) -> str:
    """Return a time for people: `40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{0 if unit == 'min' else 1}f} {unit}"
    return f"{seconds:.0f} s"
