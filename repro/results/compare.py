"""What the runs found, beside what the papers say: one row for each published one and each group of runs, as numbers.

A group is the finished runs that differ only in their seed. Their mean is shown with its profile and data; its
difference from the paper's number only where data and protocol are the paper's.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from repro.configs.registry import find
from repro.errors import ReproError, is_number
from repro.results import protocol, published
from repro.results.intervals import one_sample
from repro.results.rows import ROWS, Counterpart, answers
from repro.runs import provenance
from repro.runs.identity import as_text, unseeded
from repro.runs.run import Run, held_identity, shown_run
from repro.runs.snapshot import once
from repro.runs.states import state, survey

# Columns that a row has beside the paper's own, whether it was run here or not
FACTS = ("id", "std", "runs", "profile", "data", "comparable", "as_published", "epochs", "hours", "device", "pages")
FACTS += ("published", "state", "command", "difference low", "difference high")


@dataclass(frozen=True)
class Group:
    """Finished runs of one experiment that differ only in their seed."""

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """Any run of the group: all are alike but for the seed."""
        return self.runs[0]

    @property
    def hours(self) -> float:
        """The time that all sessions on all runs took."""
        return sum(provenance.seconds(run.path) for run in self.runs) / 3600

    @property
    def device(self) -> str:
        """`GPU` or `CPU`, or both."""
        devices = [provenance.read(run.path).get("device", "CPU") for run in self.runs]
        return " and ".join(sorted({"CPU" if device.startswith("CPU") else "GPU" for device in devices}))

    @property
    def pages(self) -> list[str | None]:
        """The place of every run's executed notebook, beside the report; None where a recipe ran without one."""
        return [page_of(run) if (run.path / "notebook.ipynb").exists() else None for run in self.runs]

    def numbers(self, entry: str) -> pd.Series:
        """Return one entry of result.json of every run, NaN where a run has none."""
        return pd.Series([run.result.get(entry) for run in self.runs], dtype=float)


@once
def of_experiment(experiment: str) -> list[Run]:
    """Return the runs of an experiment, finished or not, whose numbers can be shown."""
    return [run for run in survey().runs if run.experiment == experiment and not flaw(run)]


@once
def groups(experiment: str, apart: bool = True) -> list[Group]:
    """Return the finished runs of an experiment, those together that differ only in their seed.

    apart: whether those are apart that differ in the seeds of the runs that they need.
    """
    found: dict[str, list[Run]] = {}
    for run in of_experiment(experiment):
        if run.result is not None:
            found.setdefault(_but_seed(run, apart), []).append(run)
    return [Group(tuple(sorted(alike, key=lambda run: getattr(run.params, "seed", 0)))) for alike in found.values()]


def _but_seed(run: Run, apart: bool) -> str:
    """Return what a run is, but for its own seed or, unless they are `apart`, those of its needs too."""
    held = json.loads(held_identity(run.path))
    return as_text({**held, "parameters": {**held["parameters"], "seed": None}} if apart else unseeded(held))


def flaw(run: Run) -> str:
    """Say what of a finished run's result cannot stand in a table, empty where all can."""
    entries, result = [*find(run.experiment).measures.values()], run.result
    if result is None:
        return ""
    if lacking := [entry for entry in entries[:1] if entry not in result]:
        return f"result.json lacks {lacking[0]!r}"
    wrong = [entry for entry in entries if not (result.get(entry) is None or is_number(result[entry]))]
    return f"result.json: {wrong[0]!r} is no number, or too large" if wrong else ""


def page_of(run: Run) -> str:
    """Return the place of a run's executed notebook, as a page, beside the report."""
    name = ("published-" if run.published else "") + run.path.name
    return f"notebooks/{run.experiment}-{re.sub(r'[^A-Za-z0-9=,.+-]+', '-', name)}.html"


def compare(table: str, profile: str) -> pd.DataFrame:
    """Return a published table with what was run here: `<column>` is the paper's number, `<column> here` ours.

    `difference` is ours less the paper's, where ours is as published. `command` makes a row that was not run, in
    `profile`; a row without one the paper quotes. Groups of runs that answer no published row come last.
    """
    experiments = sorted({row.experiment for row in ROWS[table].values()})
    runs = [run for experiment in experiments for run in of_experiment(experiment)]
    answered = rows_of(runs)
    made: dict[tuple[str, str] | None, list[Group]] = defaultdict(list)
    for group in (group for experiment in experiments for group in groups(experiment)):
        made[answered.get(group.first.path)].append(group)
    rows: list[dict[str, Any]] = []
    for paper in published.table(table).to_dict("records"):
        row, mine = ROWS[table].get(paper["id"]), made[table, paper["id"]]
        rows += [{**paper, **ours(table, group, paper, row)} for group in mine] or [paper]
        if row and profile not in {group.first.profile for group in mine}:
            begun = [run for run in runs if run.result is None and answered.get(run.path) == (table, paper["id"])]
            rows[-1] |= _missing(row, begun, profile)
    others = [group for group in made[None] if table_of(group.first) == table]
    rows += [{"architecture": protocol.label(group.first), **ours(table, group)} for group in others]
    return as_frame(rows)


def as_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows of a table with all the columns of FACTS, None where no row has them."""
    frame = pd.DataFrame(rows)
    return frame.assign(**{name: None for name in FACTS if name not in frame})


def rows_of(runs: list[Run]) -> dict[Path, tuple[str, str]]:
    """Return the table and the id of the row that each run answers, by its folder, where it answers one."""
    profiles = {run.profile for run in runs}
    tables = dict.fromkeys(table for run in runs for table in find(run.experiment).rows)
    known = {text: (table, key) for table in tables for text, key in answers(table, profiles).items()}
    found = {run.path: protocol.text_at(run.path) for run in runs}
    return {path: known[text] for path, text in found.items() if text in known}


def ours(table: str, group: Group, paper: Mapping[str, Any] = {}, row: Counterpart | None = None) -> dict[str, Any]:
    """Return what a group of runs adds to a row of a table, or, without one, to the table."""
    run, measures = group.first, find(group.first.experiment).measures
    columns = {column.name for column in published.columns(table)}
    held = {column: entry for column, entry in measures.items() if column in columns}
    means = {column: group.numbers(entry).mean() for column, entry in held.items() if entry in run.result}
    first, as_published = next(iter(held)), protocol.as_published(run)
    paper_value = paper[first] if row and as_published else None
    return {f"{column} here": value for column, value in means.items()} | {
        "std here": group.numbers(held[first]).std() if len(group.runs) > 1 else None,
        **_difference(group.numbers(held[first]), paper_value),
        "search_gpu_days here": search_days(run),
        "runs": len(group.runs),
        "published": sum(run.published for run in group.runs),
        "profile": protocol.label(run, row.changes_in(run.profile) if row else {}),
        "data": protocol.data(run),
        "comparable": protocol.comparable(run),
        "as_published": as_published,
        "epochs": run.params.values().get("epochs"),
        "hours": group.hours,
        "device": group.device,
        "precision": provenance.precision(*(each.path for each in group.runs)),
        "pages": group.pages,
    }


def _difference(ours: pd.Series, paper: float | None) -> dict[str, float | None]:
    """Return the mean of ours less the paper's and, of several runs, its 97 % interval (Student's t)."""
    if paper is None:
        return {"difference": None}
    _, low, high, _ = one_sample(ours - paper) if len(ours) > 1 else (None,) * 4
    return {"difference": ours.mean() - paper, "difference low": low, "difference high": high}


def _missing(row: Counterpart, begun: list[Run], profile: str) -> dict[str, Any]:
    """Return what there is to say of a row without a finished run in `profile`: how far one is, and what makes it."""
    states = "; ".join(f"{run.path.name}: {state(run)}" for run in begun)
    return {"state": states or f"no {profile} run yet", "command": row.command(profile)}


def table_of(run: Run) -> str | None:
    """Return the table where a run stands that answers no row: the first one of its experiment."""
    return next(iter(find(run.experiment).rows), None)


def search_days(run: Run) -> float | None:
    """Return the days that the searches behind a run took together, None where it needed none, or one is damaged.

    As in DARTS Tables 1 and 2: neither selection nor the final training counts.
    """
    needed = {other.path: other for other in needs(run)}
    try:
        seconds = [provenance.seconds(path) for path, other in needed.items() if find(other.experiment).searches]
    except ReproError:
        return None
    return sum(seconds) / 86_400 if seconds else None


def needs(run: Run) -> Iterator[Run]:
    """Yield the runs that `run` needs, and those that they need."""
    for reference in find(run.experiment).needs(run.params):
        needed = shown_run(reference, run.profile)
        yield needed
        yield from needs(needed)


def overview() -> pd.DataFrame:
    """Return one row for every run: how far it is, on what data and device, and what went wrong."""
    runs, damaged, uncounted = survey()
    rows: list[dict[str, Any]] = []
    for run in runs:
        values, wrong = run.params.values(), flaw(run)
        rows.append(
            {
                "run": run.name,
                "state": f"damaged: {wrong}" if wrong else str(state(run)),
                "data": values.get("dataset") or values.get("corpus"),
                "epochs": values.get("epochs"),
                "device": provenance.device(run.path),
                "hours": round(provenance.seconds(run.path) / 3600, 3),
            }
        )
    rows += [{"run": name, "state": f"damaged: {reason}"} for name, reason in damaged.items()]
    rows += [{"run": name, "state": f"not counted: {reason}"} for name, reason in uncounted.items()]
    return pd.DataFrame(rows, columns=["run", "state", "data", "epochs", "device", "hours"])


def provenance_table() -> pd.DataFrame:
    """Return for every run the commit, versions, device and data checksums that made it."""
    rows = []
    for run in survey()[0]:
        facts = provenance.read(run.path)
        commits = [commit[:10] + " with changes" * dirty for commit, dirty in provenance.commits(facts).items()]
        rows.append(
            {
                "run": run.name,
                "commit": ", ".join(commits),
                "versions": ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items()),
                "device": provenance.device(run.path),
                "data (checksum)": ", ".join(f"{name} {sum[:12]}" for name, sum in facts.get("data", {}).items()),
                "begun": next((session["start"][:16].replace("T", " ") for session in facts.get("sessions", [])), None),
                "sessions": len(facts.get("sessions", [])),
            }
        )
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["run"])
