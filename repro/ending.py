"""How every notebook ends: its run beside the paper, and where its numbers come from."""

import pandas as pd

from repro import costs, layout, provenance
from repro.drawing import show as show_bundle
from repro.experiments import find
from repro.results import compare, published, standing
from repro.results.compare import Group
from repro.results.rows import ROWS
from repro.runs import Run
from repro.states import duration
from repro.typeset import heading, verbatim
from repro.typeset import show as show_table


def show(run: Run) -> None:
    """Show a finished run beside the rows of the paper that its experiment re-creates, and its provenance."""
    show_table(beside_paper(run))
    if mark := standing.mark(run):
        show_bundle({"text/markdown": f"> {verbatim(mark)}. Not the paper's protocol on its data: no reproduction."})
    show_table(sources(run))


def beside_paper(run: Run) -> pd.DataFrame:
    """Return the published rows of the run's experiment and the run; where there are none, the paper's words."""
    usual = compare.table_of(run)
    if usual is None:
        return in_words(run)
    table, key = compare.rows_of([run]).get(run.path, (usual, None))
    rows = [row for row in published.table(table).to_dict("records") if row["id"] in ROWS[table]]
    paper = next((row for row in rows if row["id"] == key), {})
    ours = compare.ours(table, Group((run,)), paper, ROWS[table].get(key))
    frame = pd.DataFrame([*rows, {"id": key, "architecture": f"this run ({run.name})", **ours}])
    cells = layout.comparison(table, frame.assign(**{name: None for name in compare.FACTS if name not in frame}))
    return cells.drop(columns=[name for name in cells if name[:8] == "executed" or name == "runs"])


def in_words(run: Run) -> pd.DataFrame:
    """Return what the paper claims and paid, and the run's headline numbers and time."""
    experiment, seconds = find(run.experiment), provenance.seconds(run.path)
    numbers = {name: value for name, value in (run.result or {}).items() if isinstance(value, int | float)}
    words = [f"{heading(name)}: {_short(value)}" for name, value in numbers.items()]
    device = provenance.device(run.path) or "CPU"
    return pd.DataFrame(
        {
            "": ["result", "cost"],
            "in the paper": [experiment.claim, costs.told(experiment)],
            f"this run ({standing.label(run)})": ["; ".join(words) or "see above", f"{duration(seconds)} on {device}"],
        }
    )


def sources(run: Run) -> pd.DataFrame:
    """Return commit, versions, device, data checksums and sessions of a run, one line each."""
    facts = provenance.read(run.path)
    commit = (facts.get("commit") or "unknown") + (", with changes" if facts.get("dirty") else "")
    lines = {"run": run.name, "commit": commit, "device": provenance.device(run.path)}
    lines |= {f"data: {name}": checksum for name, checksum in facts.get("data", {}).items()}
    lines["versions"] = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    for place, session in enumerate(facts.get("sessions", []), start=1):
        began = session["start"][:19].replace("T", " ")
        lines[f"session {place}"] = f"{session['command']}, from {began} UTC, {duration(session['seconds'])}"
    return pd.DataFrame({"provenance": list(lines), "": list(lines.values())})


def _short(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
