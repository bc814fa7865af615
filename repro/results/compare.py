"""What the runs found, beside what the papers say: one row for each published one and each group of runs, as numbers.

A group is the finished runs that differ only in their seed. Their mean never stands without its profile and data.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from repro import provenance
from repro.errors import ReproError
from repro.experiments import find
from repro.identity import differences
from repro.results import published
from repro.results.rows import MEASURES, ROWS, Counterpart
from repro.runs import Run, needed_run
from repro.states import state, survey

# What a search cost is about (DARTS Tables 1 and 2): neither selection nor the final training
SEARCHES = ("cifar10-search", "cifar10-joint", "cifar10-random", "ptb-search", "ptb-random")
FACTS = ("std", "runs", "profile", "data", "comparable", "epochs", "hours", "device", "pages", "state", "command")


@dataclass(frozen=True)
class Group:
    """Finished runs of one experiment that differ only in their seed."""

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run that speaks for all where they are alike."""
        return self.runs[0]

    @property
    def data(self) -> str:
        """What it was trained on."""
        values, facts = self.first.params.values(), provenance.read(self.first.path)
        return values.get("dataset") or values.get("corpus") or ", ".join(facts.get("data", {}))

    @property
    def comparable(self) -> bool:
        """Whether the data are those of the paper, all of them."""
        values, paper = self.first.params.values(), find(self.first.experiment).parameters().values()
        return all(values[name] == paper[name] for name in ("dataset", "corpus", "images", "tokens") if name in values)

    @property
    def as_published(self) -> bool:
        """Whether all parameters are the paper's, whatever the profile is called."""
        values, paper = self.first.params.identity(), find(self.first.experiment).parameters().identity()
        return {**values, "seed": None} == {**paper, "seed": None}

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

    def label(self, known: set[str] = frozenset()) -> str:
        """Return the profile and what differs from its parameters, but for the seed and those `known`."""
        run = self.first
        changed = differences(find(run.experiment), run.profile, run.params).items()
        return ", ".join([run.profile, *(f"{name}={value}" for name, value in changed if name not in {"seed", *known})])

    def metrics(self) -> pd.DataFrame:
        """Return the rows of metrics.jsonl of all runs, with the place of the run in `run`."""
        return pd.concat([pd.DataFrame(run.metrics()).assign(run=place) for place, run in enumerate(self.runs)])

    def numbers(self, entry: str) -> pd.Series:
        """Return one entry of result.json of every run; ReproError if a run lacks it."""
        for run in self.runs:
            if entry not in (run.result or {}):
                raise ReproError(f"{run.name}: result.json lacks {entry!r}; delete the run and run it again")
        return pd.Series([run.result[entry] for run in self.runs], dtype=float)


def groups(experiment: str | None = None, runs: list[Run] | None = None) -> list[Group]:
    """Return the finished runs (of one experiment), those together that differ only in their seed."""
    found: dict[str, list[Run]] = {}
    for run in survey()[0] if runs is None else runs:
        if experiment in (None, run.experiment) and run.result is not None:
            same = {name: value for name, value in run.params.identity().items() if name != "seed"}
            found.setdefault(json.dumps([run.experiment, run.profile, same]), []).append(run)
    return [Group(tuple(sorted(alike, key=lambda run: getattr(run.params, "seed", 0)))) for alike in found.values()]


def page_of(run: Run) -> str:
    """Return the place of a run's executed notebook, as a page, beside the report."""
    return f"notebooks/{run.experiment}-{re.sub(r'[^A-Za-z0-9=,.+-]+', '-', run.path.name)}.html"


def compare(table: str, profile: str) -> pd.DataFrame:
    """Return a published table with what was run here: `<column>` is the paper's number, `<column> here` ours.

    `difference` is ours less the paper's, where the data are the paper's. `command` makes a row that was not run, in
    `profile`; a row without one the paper quotes. Groups of runs that re-create no published row come last.
    """
    runs = survey()[0]
    finished = groups(runs=runs)
    rows: list[dict[str, Any]] = []
    for place, paper in enumerate(published.table(table).to_dict("records")):
        row = ROWS.get(table, {}).get(paper["architecture"]) or ROWS.get(table, {}).get(place)
        made = [group for group in finished if row and row.made(group.first, telling(row.experiment))]
        rows += [{**paper, **ours(table, group, paper)} for group in made] or [paper]
        if row and profile not in {group.first.profile for group in made}:
            rows[-1] |= _missing(row, runs, profile)
    others = [group for group in finished if _belongs(group.first, table)]
    rows += [{"architecture": group.label(), **ours(table, group, {})} for group in others]
    frame = pd.DataFrame(rows)
    return frame.assign(**{name: None for name in FACTS if name not in frame})


def ours(table: str, group: Group, paper: dict[str, Any]) -> dict[str, Any]:
    """Return what a group of runs adds to a row of a table."""
    run, measures = group.first, MEASURES[group.first.experiment]
    held = {column: entry for column, entry in measures.items() if column in published.TABLES[table].units}
    means = {column: group.numbers(entry).mean() for column, entry in held.items() if entry in run.result}
    first = next(iter(held))
    return {f"{column} here": value for column, value in means.items()} | {
        "std here": group.numbers(held[first]).std() if len(group.runs) > 1 else None,
        "difference": means[first] - paper[first] if group.comparable and first in paper else None,
        "search_gpu_days here": search_days(run),
        "runs": len(group.runs),
        "profile": group.label(telling(run.experiment)),
        "data": group.data,
        "comparable": group.comparable,
        "epochs": run.params.values().get("epochs"),
        "hours": group.hours,
        "device": group.device,
        "pages": group.pages,
    }


def _missing(row: Counterpart, runs: list[Run], profile: str) -> dict[str, Any]:
    """Return what there is to say of a row without a finished run in `profile`: how far one is, and what makes it."""
    begun = [run for run in runs if run.result is None and row.made(run, telling(row.experiment))]
    states = "; ".join(f"{run.path.name}: {state(run)}" for run in begun)
    return {"state": states or f"no {profile} run yet", "command": row.command(profile)}


def _belongs(run: Run, table: str) -> bool:
    """Whether a run re-creates no published row, and `table` is the first one of its experiment."""
    tables = {name: rows for name, rows in ROWS.items() if run.experiment in {row.experiment for row in rows.values()}}
    made = any(row.made(run, telling(run.experiment)) for rows in tables.values() for row in rows.values())
    return not made and table == next(iter(tables), None)


def telling(experiment: str) -> set[str]:
    """Return the parameters that tell the published rows of an experiment apart, in all tables."""
    rows = [row for table in ROWS.values() for row in table.values() if row.experiment == experiment]
    return {name for row in rows for name in row.changes}


def search_days(run: Run) -> float | None:
    """Return the days that the searches behind a run took together, None where it needed none."""
    needed = {other.path: other for other in _needed(run)}
    seconds = [provenance.seconds(path) for path, other in needed.items() if other.experiment in SEARCHES]
    return sum(seconds) / 86_400 if seconds else None


def _needed(run: Run) -> Iterator[Run]:
    """Yield the runs that `run` needs, and those that they need."""
    for reference in find(run.experiment).needs(run.params):
        needed = needed_run(reference, run.profile)
        yield needed
        yield from _needed(needed)


def overview() -> pd.DataFrame:
    """Return one row for every run directory: how far it is, on what data and device, and what went wrong."""
    runs, damaged, uncounted = survey()
    rows: list[dict[str, Any]] = []
    for run in runs:
        values, facts = run.params.values(), provenance.read(run.path)
        rows.append(
            {
                "run": run.name,
                "state": str(state(run)),
                "data": values.get("dataset") or values.get("corpus"),
                "epochs": values.get("epochs"),
                "device": facts.get("device"),
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
        commit = (facts.get("commit") or "unknown")[:10] + (" with changes" if facts.get("dirty") else "")
        rows.append(
            {
                "run": run.name,
                "commit": commit,
                "versions": ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items()),
                "device": facts.get("device"),
                "data (checksum)": ", ".join(f"{name} {sum[:12]}" for name, sum in facts.get("data", {}).items()),
                "begun": next((session["start"][:16].replace("T", " ") for session in facts.get("sessions", [])), None),
                "sessions": len(facts.get("sessions", [])),
            }
        )
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["run"])
