"""How every notebook ends: its run beside the paper, and where its numbers come from."""

from collections.abc import Sequence

import pandas as pd

from repro.configs.registry import find
from repro.presence import COPIES
from repro.report import sections_claims, style, summary, tables, typeset
from repro.report.typeset import verbatim
from repro.results import claim_rows, claims, compare, protocol, published
from repro.results.compare import Group
from repro.results.rows import ROWS
from repro.runs import provenance
from repro.runs.run import Run
from repro.runs.states import duration


def show(run: Run) -> None:
    """Show a finished run beside the paper, the verdicts on the claims that it counts for, and its provenance."""
    typeset.show(beside_paper(run))
    if mark := protocol.mark(run):
        style.show({"text/markdown": f"> {verbatim(mark)}. Not the paper's protocol on its data: no reproduction."})
    if asked := claims.asking(run):
        style.show({"text/markdown": "What all runs so far say of the claims that this one counts for:"})
        typeset.show(of_claims(run, asked))
    typeset.show(sources(run))


def beside_paper(run: Run) -> pd.DataFrame:
    """Return the published rows of the run's experiment and the run; where there are none, the paper's words."""
    usual = compare.table_of(run)
    if usual is None:
        return in_words(run)
    table, key = compare.rows_of([run]).get(run.path, (usual, None))
    rows = [row for row in published.table(table).to_dict("records") if row["id"] in ROWS[table]]
    paper = next((row for row in rows if row["id"] == key), {})
    ours = compare.ours(table, Group((run,)), paper, ROWS[table].get(key))
    frame = compare.as_frame([*rows, {"id": key, "architecture": f"this run ({run.name})", **ours}])
    return tables.comparison(table, frame)


def of_claims(run: Run, asked: Sequence[str]) -> pd.DataFrame:
    """Return the verdicts on lines of claims at the run's size, by their ids, with effect, interval and units."""
    lines = [row for row in claim_rows.rows(claims.answers(run.profile)) if row["line"] in asked]
    return pd.DataFrame(
        {
            "line": [f"{row['line']}: {row['effect of']}" for row in lines],
            "verdict": [row["verdict"] for row in lines],
            "effect [97 % interval]": [sections_claims.effect(row) for row in lines],
            "units": [row["n"] for row in lines],
        }
    )


def in_words(run: Run) -> pd.DataFrame:
    """Return what the paper claims and paid and, below it, what the run found and took: not all is of one kind."""
    experiment, device = find(run.experiment), provenance.device(run.path) or "CPU"
    lines = {
        "the paper says": published.with_numbers(experiment.claim),
        "which cost": experiment.cost,
        f"this run ({protocol.label(run)}) found": summary.found(Group((run,))),
        "which took": f"{duration(provenance.seconds(run.path))} on {device}",
    }
    return pd.DataFrame({"beside the paper": list(lines), "": list(lines.values())})


def sources(run: Run) -> pd.DataFrame:
    """Return commit, versions, device, data checksums and sessions of a run, one line each."""
    facts = provenance.read(run.path)
    commits = [commit + ", with changes" * dirty for commit, dirty in provenance.commits(facts).items()]
    commits += [f"as {name} said" for name in {each.get("told_by"): 0 for each in facts.get("sessions", [])} if name]
    commits += filter(None, [facts.get("refused")])
    lines = {"run": run.name, "commit": "; ".join(commits), "device": provenance.device(run.path)}
    for name, checksum in facts.get("data", {}).items():
        lines[f"data: {name}"] = f"{checksum}, of which {COPIES[checksum]}" if checksum in COPIES else checksum
    lines["versions"] = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    for place, session in enumerate(facts.get("sessions", []), start=1):
        began = session["start"][:19].replace("T", " ")
        lines[f"session {place}"] = f"{session['command']}, from {began} UTC, {duration(session['seconds'])}"
    return pd.DataFrame({"provenance": list(lines), "": list(lines.values())})
