"""What another group measured with the authors' released code at the papers' settings: curves to lay our own beside.

Never a target: nothing here is tuned until it fits.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from repro.errors import FOREIGN, is_number, line
from repro.progress import note_once
from repro.results.published import csv_rows
from repro.runs import provenance
from repro.runs.directory import PUBLISHED
from repro.runs.run import Run, held_identity, read_run
from repro.runs.states import survey
from repro.settings import curves_folder

FOLDER = Path(__file__).parent / "others"


class Curve(NamedTuple):
    """Errors (percent) after each epoch, from 1, of one run: on `train` and on `valid` or `test` images.

    ours: whether it is this package's.
    """

    name: str
    errors: dict[str, tuple[float, ...]]
    ours: bool = False


class Anchor(NamedTuple):
    """A training of the papers' size whose curve others have measured, and the experiment that it is here."""

    title: str
    file: str
    experiment: str
    parts: tuple[str, ...]  # of the images, on which errors are measured

    def curves(self) -> list[Curve]:
        """Return the errors of theirs, then of ours as far as they have come."""
        theirs: dict[str, list[dict[str, str]]] = {}
        for row in csv_rows(FOLDER / f"{self.file}.csv"):
            theirs.setdefault(row["run"], []).append(row)
        ours: dict[str | None, Curve] = {}  # of a run that is here and published the longer one
        for name, run in self.runs():
            what, curve = held_identity(run.path), Curve(name, errors(run, self.parts), True)
            ours[what] = max(ours.get(what, curve), curve, key=lambda each: len(each.errors["train"]))
        own = [curve for curve in ours.values() if curve.errors["train"]]
        return [*(self._measured(f"others, {name}", rows) for name, rows in theirs.items()), *own]

    def _measured(self, name: str, rows: Sequence[dict[str, str]]) -> Curve:
        accuracies = {part: [float(row[f"{part}_accuracy"]) for row in rows] for part in self.parts}
        return Curve(name, {part: tuple(100 - each for each in found) for part, found in accuracies.items()})

    def runs(self) -> Iterator[tuple[str, Run]]:
        """Yield our runs of it, finished or not, each with its name: one's own, published ones, published curves."""
        yield from ((run.name, run) for run in survey().runs if self.is_of(run))
        yield from ((run.name + PUBLISHED, run) for run in published_curves() if self.is_of(run))

    def is_of(self, run: Run) -> bool:
        """Whether a run has the paper's parameters but for the seed and the cell, and computes in float32."""
        if (run.experiment, run.profile) != (self.experiment, "paper"):
            return False
        usual, values = type(run.params)().identity(), run.params.identity()
        alike = lambda name: values[name] == usual[name] or (name, values[name]) == ("precision", "float32")
        return all(alike(name) for name in usual if name not in ("seed", "genotype")) and _in_float32(run)


def _in_float32(run: Run) -> bool:
    """Whether its steps computed as others' did; one whose provenance is damaged is named and left out."""
    try:
        return not provenance.precision(run.path)
    except FOREIGN as error:
        note_once(f"{line(error)}; left out")
        return False


ANCHORS = (
    Anchor("Search of second order, 50 epochs", "darts_search_second_order", "cifar10-search", ("train", "valid")),
    Anchor("A cell trained for 600 epochs", "darts_evaluation_600_epochs", "cifar10-eval", ("train", "test")),
)


def evolution() -> list[float]:
    """Return top-1 accuracy (percent, inherited weights) of the 1,050 networks that an evolution judged, in order."""
    return [
        100 - 100 * float(row["top1_error"]) for row in csv_rows(FOLDER / "spos_search_record.csv") if row["top1_error"]
    ]


def published_curves() -> Iterator[Run]:
    """Yield the runs under way whose curves are published; one that is damaged is named and left out."""
    for file in sorted(curves_folder().glob("*/*/params.json")):
        try:
            yield read_run(file.parent)
        except FOREIGN as error:
            note_once(f"{line(error)}; left out")


def errors(run: Run, parts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return a run's errors (percent) on parts of the images after each epoch, those before one that is not there."""
    try:
        rows = run.metrics()
    except FOREIGN as error:
        note_once(f"{line(error)}; left out")
        rows = []
    return {part: tuple(takewhile(is_number, (row.get(f"{part}_error") for row in rows))) for part in parts}
