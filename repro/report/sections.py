"""The report, piece by piece, from run directories only: each function shows one thing and writes it to files.

Where there is no run, the command that makes it is shown; of a run that failed or was stopped, how far it got.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from IPython.utils.capture import CapturedIO, capture_output

from repro.configs import profiles
from repro.errors import ReproError, line
from repro.report import figures_training, style, tables, typeset
from repro.report.typeset import verbatim
from repro.results import compare, others, protocol, published
from repro.results.compare import Group
from repro.results.rows import Counterpart
from repro.runs import provenance
from repro.runs.run import Run
from repro.runs.states import duration, state, survey

EPOCHS = (1, 2, 5, 10, 20, 50, 100, 200, 600)  # of which a table beside others has a row
Draw = Callable[[Group, Path], None]  # a group, and the place of its files, without their endings


def each(experiment: str, profile: str, draw: Draw, folder: Path, apart: bool = True) -> None:
    """Caption and draw every group of finished runs, into files in `folder`; then say what is not finished.

    A run that cannot be drawn is named, with the reason, and the rest is drawn.
    Runs as published come last, and larger profiles after smaller ones: of a file that all write, theirs is kept.
    apart: as in `compare.groups`.
    """
    sizes = [*profiles.PROFILES]
    groups = sorted(
        compare.groups(experiment, apart),
        key=lambda each: (protocol.as_published(each.first), sizes.index(each.first.profile)),
    )
    for group in groups:
        say(caption(group))
        _show(group, draw, folder)
    for run in survey()[0]:
        if run.experiment == experiment and run.result is None:
            say(verbatim(f"{run.path.name}: {state(run)}."))
    if profile not in {group.first.profile for group in groups}:
        say(f"No {profile} run yet; make it with: `{command(experiment, profile)}`")


def _show(group: Group, draw: Draw, folder: Path) -> None:
    """Draw a group or, where that fails, what of it can be drawn, and say which runs cannot and why."""
    output, reason = _tried(group.runs, draw, folder)
    if reason and (rest := _drawable(group.runs, draw, folder)):
        output, reason = _tried(rest, draw, folder)
        if reason:
            say(verbatim(f"The others cannot be shown together, but each alone: {reason}"))
            for run in rest:
                _tried((run,), draw, folder)[0].show()
    if not reason:
        output.show()


def _drawable(runs: tuple[Run, ...], draw: Draw, folder: Path) -> tuple[Run, ...]:
    """Return the runs that can be drawn, and say of the others why not, found by bisection."""
    if not (reason := _tried(runs, draw, folder)[1]):
        return runs
    if len(runs) == 1:
        say(verbatim(f"{runs[0].path.name} cannot be shown: {reason}"))
        return ()
    half = len(runs) // 2
    return (*_drawable(runs[:half], draw, folder), *_drawable(runs[half:], draw, folder))


def _tried(runs: tuple[Run, ...], draw: Draw, folder: Path) -> tuple[CapturedIO, str]:
    """Draw runs as a group; return what that shows, and why it fails, as whatever their files hold may make it."""
    group = Group(runs)
    with capture_output() as output:
        try:
            draw(group, folder / Path(compare.page_of(group.first)).stem)
        except Exception as error:
            return output, line(_reason(error))
    return output, ""


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"its files lack {error}"
    return str(error) if isinstance(error, ReproError) else f"{type(error).__name__}: {error}"


def command(experiment: str, profile: str) -> str:
    """Return the command line that makes an experiment's first run in the plan of a profile."""
    planned = [changes for name, changes, _ in profiles.profile(profile).plan if name == experiment]
    return Counterpart(experiment, planned[0] if planned else {}).command(profile)


def caption(group: Group) -> str:
    """Say in one line of Markdown which runs a picture is of."""
    run = group.first
    seeds = ", ".join(str(run.params.seed) for run in group.runs) if hasattr(run.params, "seed") else ""
    precision = provenance.precision(*(each.path for each in group.runs))
    epochs, published = run.params.values().get("epochs"), sum(each.published for each in group.runs)
    parts = [
        f"**{verbatim(f'{run.experiment}, {protocol.label(run)}')}**",
        verbatim(f"data: {data}") if (data := protocol.data(run)) else "",
        f"seed{'s' if len(group.runs) > 1 else ''} {seeds}" if seeds else "",
        f"{epochs} epoch{'s' if epochs > 1 else ''}" if epochs else "",
        f"{published} of {len(group.runs)} published" if published else "",
        verbatim(", ".join(filter(None, [f"{duration(3600 * group.hours)} on {group.device}", precision]))),
    ]
    links = " ".join(f"[run\u00a0{place}]({page})" for place, page in enumerate(group.pages, start=1) if page)
    return " · ".join(filter(None, [*parts, links]))


def say(text: str) -> None:
    """Show one line of Markdown."""
    style.show({"text/markdown": text})


def beside_others(folder: Path) -> None:
    """Show errors at the papers' size beside those of others, as far as our runs go."""
    for anchor in others.ANCHORS:
        curves = anchor.curves()
        style.save(figures_training.errors(curves, anchor.title), folder / "others" / anchor.file, None)
        typeset.show(after(curves))
        if not any(curve.ours for curve in curves):
            say(f"No run of ours yet; make one with: `{command(anchor.experiment, 'paper')}`")


def after(curves: Sequence[others.Curve]) -> pd.DataFrame:
    """Return a row for each of EPOCHS that a curve has reached: the errors of each, None where it has not."""
    epochs = [epoch for epoch in EPOCHS if epoch <= max(len(curve.errors["train"]) for curve in curves)]
    columns = {
        f"{figures_training.PARTS[part][0]}: {curve.name}": [
            measured[epoch - 1] if epoch <= len(measured) else None for epoch in epochs
        ]
        for part in curves[0].errors
        for curve in curves
        if (measured := curve.errors[part])
    }
    return pd.DataFrame({"error (%) after epoch": epochs, **columns}, dtype=object)


def table(name: str, profile: str, folder: Path) -> None:
    """Show a published table beside our own runs, and write it as CSV, Markdown and LaTeX into `folder`."""
    numbers = compare.compare(name, profile)
    cells, work = tables.comparison(name, numbers), tables.work(name, numbers)
    typeset.show(cells, kinds=[tables.kind(row) for row in numbers.to_dict("records")])
    typeset.write(numbers, cells, folder / name, work=work)
    say(f"{published.remark(name)} As files: {files(name)}.".strip())
    typeset.show(work, folded="How each number was made, and the commands that make those missing")


def files(name: str) -> str:
    """Return links to the files of a table."""
    kinds = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX"}
    return ", ".join(f"[{kind}](tables/{name}.{suffix})" for suffix, kind in kinds.items())
