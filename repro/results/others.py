"""What another group measured with the authors' released code at the papers' settings: curves to lay our own beside.

Never a target: nothing here is tuned until it fits.
"""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from repro.errors import FOREIGN, is_number, line
from repro.progress import note_once
from repro.results.published import csv_rows
from repro.runs.directory import PUBLISHED
from repro.runs.run import Run, held_identity, read_run
from repro.runs.states import survey
from repro.settings import curves_folder

FOLDER = Path(__file__).parent / "others"


class Curve(NamedTuple):
    """Error (percent) after each epoch, from 1, of one run; ours: whether it is this package's."""

    name: str
    errors: tuple[float, ...]
    ours: bool = False


class Anchor(NamedTuple):
    """A training of the papers' size whose curve others have measured, and the experiment that it is here."""

    title: str
    file: str
    experiment: str

    def curves(self) -> list[Curve]:
        """Return the training error of theirs, then of ours as far as they have come."""
        theirs: dict[str, list[float]] = {}
        for row in csv_rows(FOLDER / f"{self.file}.csv"):
            theirs.setdefault(row["run"], []).append(100 - float(row["train_accuracy"]))
        ours: dict[str | None, Curve] = {}  # of a run that is here and published the longer one
        for name, run in self.runs():
            curve, what = Curve(name, errors(run), True), held_identity(run.path)
            ours[what] = max(ours.get(what, curve), curve, key=lambda each: len(each.errors))
        own = [curve for curve in ours.values() if curve.errors]
        return [*(Curve(f"others, {name}", tuple(measured)) for name, measured in theirs.items()), *own]

    def runs(self) -> Iterator[tuple[str, Run]]:
        """Yield our runs of it, finished or not, each with its name: one's own, published ones, published curves."""
        yield from ((run.name, run) for run in survey().runs if self.is_of(run))
        yield from ((run.name + PUBLISHED, run) for run in published_curves() if self.is_of(run))

    def is_of(self, run: Run) -> bool:
        """Whether a run has the paper's parameters but for the seed and the cell."""
        if (run.experiment, run.profile) != (self.experiment, "paper"):
            return False
        usual, values = type(run.params)().identity(), run.params.identity()
        return all(values[name] == usual[name] for name in usual if name not in ("seed", "genotype"))


ANCHORS = (
    Anchor("Search of second order, 50 epochs", "darts_search_second_order", "cifar10-search"),
    Anchor("A cell trained for 600 epochs", "darts_evaluation_600_epochs", "cifar10-eval"),
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


def errors(run: Run) -> tuple[float, ...]:
    """Return a run's training errors (percent) after each epoch, those before one that cannot be read."""
    try:
        found = [row.get("train_error") for row in run.metrics()]
    except FOREIGN as error:
        note_once(f"{line(error)}; left out")
        return ()
    return tuple(takewhile(is_number, found))
