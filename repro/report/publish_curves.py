"""Publish the curve of a run under way at a size that others have measured: its values, rows and provenance alone.

Such a run takes days, and its first epochs say something already. What is put into `published/curves/` stands beside
the curves of others and nowhere else: no table, claim or experiment reads it. A longer one replaces a shorter one.
"""

from repro.errors import ReproError
from repro.files import read_bytes
from repro.report import publish
from repro.results import others
from repro.runs.run import Run
from repro.settings import curves_folder

FILES = ("params.json", "metrics.jsonl")


def publish_curve(run: Run) -> publish.Outcome:
    """Publish the epochs that a run has done; ReproError says why it cannot be."""
    check(run)
    files = {name: read_bytes(run.path / name) for name in FILES} | {"provenance.json": publish.told_provenance(run)}
    files["metrics.jsonl"] = files["metrics.jsonl"][: files["metrics.jsonl"].rindex(b"\n") + 1]  # while it goes on
    publish.refuse_machines(files)
    publish.check_data(run)
    place = curves_folder() / run.experiment / run.path.name
    if place.exists():
        before = read_bytes(place / "metrics.jsonl")
        if before == files["metrics.jsonl"]:
            return publish.Outcome(run.name, "there already")
        if not files["metrics.jsonl"].startswith(before):
            raise ReproError(f"its epochs do not go on from those in {place}: delete that to replace it")
    return publish.Outcome(run.name, "published", publish.write(files, place))


def check(run: Run) -> None:
    """Raise ReproError if the curve of a run cannot be published, as far as that shows without the data."""
    if not any(anchor.is_of(run) for anchor in others.ANCHORS):
        names = " and ".join(anchor.experiment for anchor in others.ANCHORS)
        raise ReproError(f"nobody's curve stands beside it: expected the paper's own size of {names}")
    if run.result is not None:
        raise ReproError("it is finished: publish it whole, without --curve")
    if not others.errors(run, ("train",))["train"]:
        raise ReproError("it has not finished its first epoch: the same repro run goes on with it")
    publish.check_provenance(run)
