"""What the runs found, as tables: one row a run, or mean and standard deviation over seeds, beside the papers' rows."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from repro import provenance, published
from repro.errors import ReproError
from repro.runs import Run, existing_runs

Label = Callable[[Run], str | None]


def state(run: Run) -> str:
    """Return `done`, or how far the run got."""
    if run.result is not None:
        return "done"
    rows = run.metrics()
    return f"stopped after epoch {len(rows)}" if rows else "not finished"


def overview() -> pd.DataFrame:
    """Return one row for every run directory: experiment, profile, state, data, device, seconds."""
    rows = []
    for run in existing_runs():
        values = run.params.values()
        rows.append(
            {
                "run": run.name,
                "profile": run.profile,
                "state": state(run),
                "data": values.get("dataset", ""),
                "epochs": values.get("epochs", ""),
                "device": provenance.read(run.path).get("device", ""),
                "seconds": round(provenance.seconds(run.path), 1),
            }
        )
    return pd.DataFrame(rows, columns=["run", "profile", "state", "data", "epochs", "device", "seconds"])


def groups(experiment: str) -> dict[str, list[Run]]:
    """Return the finished runs of `experiment`, those together that differ only in their seed."""
    found: dict[str, list[Run]] = {}
    for run in existing_runs(experiment):
        if run.result is not None:
            same = {key: value for key, value in run.params.values().items() if key != "seed"}
            found.setdefault(json.dumps([run.profile, same]), []).append(run)
    return found


def beside_paper(table: str, experiment: str, label: Label, measures: dict[str, str]) -> pd.DataFrame:
    """Return the paper's table with one more row for every group of runs of `experiment`, marked with its profile.

    label: the paper's row (first column) that a run re-creates, or None for a row of its own.
    measures: the paper's columns and the entries of `result.json` that are the same measure.
    """
    paper = published.table(table)
    name = paper.columns[0]
    paper["made by"] = "the paper"
    ours = []
    for runs in groups(experiment).values():
        row: dict[str, Any] = {
            name: label(runs[0]) or _cell_name(runs[0]),
            "made by": f"this package, {runs[0].profile}",
        }
        values = runs[0].params.values()
        row |= {"data": values.get("dataset"), "epochs": values.get("epochs"), "runs": len(runs)}
        row["hours"] = round(sum(provenance.seconds(run.path) for run in runs) / 3600, 3)
        for column, entry in measures.items():
            numbers = pd.Series([_number(run, entry) for run in runs])
            row[column] = round(numbers.mean(), 2)
            if column == next(iter(measures)) and "std" in paper:
                row["std"] = round(numbers.std(), 2) if len(runs) > 1 else None
        ours.append(row)
    return pd.concat([paper, pd.DataFrame(ours)], ignore_index=True) if ours else paper


def table1() -> pd.DataFrame:
    """Return Table 1 of DARTS with this package's evaluations on CIFAR-10."""
    measures = {"test_error_percent": "test_error", "params_millions": "parameters_millions"}
    return beside_paper("darts_table1_cifar10", "cifar10-eval", _table1_row, measures)


def _table1_row(run: Run) -> str | None:
    genotype = run.params.genotype
    if genotype.startswith("run:cifar10-search"):
        return "DARTS-1st+cutout" if "order=1" in genotype else "DARTS-2nd+cutout"
    return {"NASNET": "NASNet-A+cutout(their setup)", "AMOEBANET": "AmoebaNet-A+cutout(their setup)"}.get(genotype)


def _cell_name(run: Run) -> str:
    return str(run.params.values().get("genotype", run.name))


def _number(run: Run, entry: str) -> float:
    result = run.result or {}
    if entry not in result:
        raise ReproError(f"{run.path / 'result.json'} lacks {entry!r}; delete the run and run it again")
    return float(result[entry])


def provenance_table() -> pd.DataFrame:
    """Return for every run the commit, versions, device and data checksums that made it."""
    rows = []
    for run in existing_runs():
        facts = provenance.read(run.path)
        commit = (facts.get("commit") or "")[:10] + (" (with changes)" if facts.get("dirty") else "")
        versions = " ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
        data = " ".join(f"{name} {digest[:12]}" for name, digest in facts.get("data", {}).items())
        rows.append({"run": run.name, "commit": commit, "versions": versions, "data": data})
    return pd.DataFrame(rows, columns=["run", "commit", "versions", "data"])
