"""The report, piece by piece, from run directories only: each function shows one thing in a notebook and keeps it.

What has no run says so, with the command that makes it; what failed or was stopped says how far it got.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from repro import layout, profiles, typeset
from repro.drawing import show
from repro.results import compare, published
from repro.results.compare import Group
from repro.results.rows import Counterpart
from repro.runs import Run
from repro.states import duration, state, survey
from repro.typeset import verbatim


def shown(experiment: str, profile: str) -> Iterator[tuple[Group, str]]:
    """Caption, and yield with a name for its files, each group of finished runs; then say what is not finished.

    What is as published comes last, and the larger profile after the smaller: a file of one name for all is theirs.
    """
    sizes = [*profiles.CHANGES]
    groups = sorted(compare.groups(experiment), key=lambda each: (each.as_published, sizes.index(each.first.profile)))
    for group in groups:
        say(caption(group))
        yield group, Path(compare.page_of(group.first)).stem
    for run in survey()[0]:
        if run.experiment == experiment and run.result is None:
            say(verbatim(f"{run.path.name}: {state(run)}."))
    if profile not in {group.first.profile for group in groups}:
        say(f"No {profile} run yet; make it with: `{command(experiment, profile)}`")


def command(experiment: str, profile: str) -> str:
    """Return the command line that makes an experiment's first run in the plan of a profile."""
    planned = [changes for name, changes, _ in profiles.PLAN[profile] if name == experiment]
    return Counterpart(experiment, planned[0] if planned else {}).command(profile)


def caption(group: Group) -> str:
    """Say in one line of Markdown which runs a picture is of."""
    run = group.first
    seeds = ", ".join(str(run.params.seed) for run in group.runs) if hasattr(run.params, "seed") else ""
    epochs = run.params.values().get("epochs")
    parts = [
        f"**{verbatim(f'{run.experiment}, {group.label()}')}**",
        verbatim(f"data: {group.data}") if group.data else "",
        f"seed{'s' if len(group.runs) > 1 else ''} {seeds}" if seeds else "",
        f"{epochs} epoch{'s' if epochs > 1 else ''}" if epochs else "",
        verbatim(", ".join(filter(None, [f"{duration(3600 * group.hours)} on {group.device}", group.precision]))),
    ]
    links = " ".join(f"[run {place}]({page})" for place, page in enumerate(group.pages, start=1) if page)
    return " · ".join(filter(None, [*parts, links]))


def say(text: str) -> None:
    """Show one line of Markdown."""
    show({"text/markdown": text})


def snapshots(run: Run, measure: str) -> pd.DataFrame:
    """Return the cells judged during searches as rows for `plots.progress`; measure: an entry of snapshots.json."""
    return pd.DataFrame(run.load("snapshots.json")).rename(columns={"epoch": "cost", measure: "value"})


def candidates(run: Run) -> dict[str, pd.DataFrame]:
    """Return every candidate of a search of SPOS in the order of evaluation, as rows for `plots_spos`."""
    parts = {"evolution": "evolution", "random search": "random"}
    return {name: pd.DataFrame(run.child(part).metrics()) for name, part in parts.items()}


def table(name: str, profile: str, folder: Path) -> None:
    """Show a published table beside our own runs, and write it as CSV, Markdown and LaTeX into `folder`."""
    numbers = compare.compare(name, profile)
    cells = layout.comparison(name, numbers)
    rows = numbers.to_dict("records")
    page = typeset.to_html(cells, marked=lambda place: layout.kind(rows[place]))
    show({"text/html": page, "text/plain": typeset.to_markdown(cells)})
    typeset.write(numbers, cells, folder / name)
    say(f"{published.remark(name)} As files: {files(name)}.".strip())


def files(name: str) -> str:
    """Return links to the files of a table."""
    kinds = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX"}
    return ", ".join(f"[{kind}](tables/{name}.{suffix})" for suffix, kind in kinds.items())
