"""The lines of `records` for people, which `repro` prints without --json: coloured in a terminal, plain in a pipe."""

import html
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import Field, fields
from inspect import get_annotations
from typing import Any

from repro.configs import profiles
from repro.configs.parameters import plain
from repro.configs.record import Experiment
from repro.configs.registry import EXPERIMENTS, find
from repro.execution import records
from repro.results.published import with_numbers
from repro.runs.identity import set_besides
from repro.runs.run import Run
from repro.runs.states import WORDS, State, duration

MACHINE = "# Where and how it is computed: no value below makes another run"
MOST = 3  # numbers of a result beside a run
ORDER = ("running", "failed", "stopped", "done")  # of the states
COLOURS = {"done": "32", "running": "36", "stopped": "33", "failed": "31", "damaged": "31", "name": "1", "faint": "2"}
COLOURS["published"] = COLOURS["done"]


def paint(text: str, kind: str) -> str:
    """Return `text` in the colour of a kind where a person reads it: standard output is a terminal without NO_COLOR."""
    seen = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\033[{COLOURS[kind]}m{text}\033[0m" if seen else text


def experiments() -> list[str]:
    """Return two or three lines for every experiment: what it is, what it needs and cost, and the state of its runs."""
    width, lines = max(map(len, EXPERIMENTS)), []
    for each in records.experiments():
        facts = [each["section"], f"published cost: {each['cost']}"]
        facts += [f"needs {', '.join(each['needs'])}"] if each["needs"] else []
        lines.append(f"{paint(each['name'].ljust(width), 'name')}  {each['title']}")
        lines.append(f"{'':{width}}  {paint('; '.join(facts), 'faint')}")
        if own := each["runs"]:
            runs = [paint(f"{own[word]} {word}", word) for word in (*WORDS, "published") if word in own]
            lines.append(f"{'':{width}}  runs: {', '.join(runs)}")
    return lines


def parameters(experiment: Experiment, profile: str) -> list[str]:
    """Return an experiment and its parameters: the paper's value, the profile's where it differs, unit, meaning."""
    lines = [f"{paint(experiment.name, 'name')}: {experiment.title}", experiment.section]
    lines += [f"paper: {with_numbers(experiment.claim)}", f"cost: {experiment.cost}"]
    lines += ["", f"parameters ({profile} profile where it differs from the paper's in brackets)"]
    changed = profiles.changes(profile, experiment)
    for name, row in records.parameters(experiment, profile)["parameters"].items():
        own = f" [{_plain(row[profile])}]" if name in changed else ""
        lines.append(f"  {paint(name, 'name')} = {_plain(row['paper'])}{own}")
        lines.append(paint(f"      {row['meaning']} ({row['takes']})", "faint"))
    return lines


def cell(experiment: Experiment) -> list[str]:
    """Return the lines of the parameters cell of the experiment's notebook, with all values the profile's.

    The experiment's own come first, then those that it shares with others, last the machine's under a comment.
    """
    names, kinds = " or ".join(profiles.PROFILES), experiment.parameters.kinds()
    lines = {f.name: f"{f.name} = ...  # [{_plain(f.default)}] {f.metadata['doc']}" for f in _ordered(experiment)}
    first = f'profile = "smoke"  # {names}: gives every value that is ... here; in brackets the paper\'s'
    machine = [line for name, line in lines.items() if name not in kinds]
    return [first, *(line for name, line in lines.items() if name in kinds), *[MACHINE] * bool(machine), *machine]


def _ordered(experiment: Experiment) -> list[Field]:
    """Return an experiment's parameters, those first that the fewest others have: of its own class, then its bases'."""
    held = {field.name: field for field in fields(experiment.parameters)}
    names = dict.fromkeys(name for each in experiment.parameters.__mro__ for name in get_annotations(each))
    return [held[name] for name in names if name in held]


def changed(run: Run) -> str:
    """Return in one line what the run's profile changes of the paper's parameters, and what was set besides."""
    own, usual = _changes(run)
    lines = [f"{run.profile}: {_pairs(usual) or 'the parameters of the paper'}"]
    return "; ".join(lines + [f"set besides: {_pairs(own)}"] * bool(own))


def shown(run: Run) -> str:
    """Return the run's parameters as HTML: what was set and what its profile changes; all others folded."""
    own, usual = _changes(run)
    rest = {name: value for name, value in run.params.values().items() if name not in {*own, *usual}}
    parts = {"Set for this run": own, f"Changed by the {run.profile} profile": usual}
    tables = [f"<p><b>{title}</b></p>{_table(run, values)}" for title, values in parts.items() if values]
    words = f"{'The other' if tables else 'All'} {len(rest)} parameters, as in the paper or of the machine"
    return f"{''.join(tables)}<details><summary>{words}</summary>{_table(run, rest)}</details>"


def _table(run: Run, values: Mapping[str, Any]) -> str:
    rows = [("parameter", "here", "profile paper", "")]
    for field in _ordered(find(run.experiment)):
        if field.name in values:
            given = (html.escape(_plain(value)) for value in (values[field.name], plain(field.default)))
            numbers = (text.replace(",", ",<wbr>") for text in given)  # so that a long list may be broken
            rows.append((field.name, *numbers, html.escape(field.metadata["doc"])))
    left = 'style="text-align: left"'  # JupyterLab lays cells out to the right
    tags = [["th"] * 4] + [["th", "td", "td", "td"]] * len(values)
    lines = [
        "".join(f"<{tag} {left}>{text}</{tag}>" for tag, text in zip(*row, strict=True))
        for row in zip(tags, rows, strict=True)
    ]
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    return f'<div class="table"><table><thead>{head}</thead><tbody>{"".join(body)}</tbody></table></div>'


def _changes(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was set besides the run's profile, and what identifies it and the profile changes of the paper's."""
    experiment = find(run.experiment)
    paper, own = experiment.parameters().values(), set_besides(experiment, run.profile, run.params)
    return own, {n: value for n, value in run.params.identity().items() if value != paper[n] and n not in own}


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_plain(value)}" for name, value in values.items())


def status() -> list[str]:
    """Return one line for every run directory: how far it is, about how long the rest takes, how long it took.

    The published runs, which are done, are only counted.
    """
    held = records.status()
    own = sorted((row for row in held["runs"] if not row["published"]), key=lambda row: ORDER.index(row["state"]))
    aside = [(word, name, why) for word in ("damaged", "not counted") for name, why in held[word].items()]
    width = max((len(name) for name in [*(row["name"] for row in own), *(name for _, name, _ in aside)]), default=0)
    lines = [
        f"{paint(row['state'].ljust(8), row['state'])}  {row['name']:{width}}  {_rest(row)}".rstrip() for row in own
    ]
    lines += [f"{paint(word.ljust(8), 'damaged')}  {name:{width}}  {why}" for word, name, why in aside]
    counts = Counter([row["state"] for row in own] + [word for word, *_ in aside])
    counts += Counter(published=sum(row["published"] for row in held["runs"]))
    total = ", ".join(f"{count} {word}" for word, count in counts.items())
    if not lines:
        return ["; ".join(filter(None, ["no run yet", total, "begin with: repro run bilevel-toy"]))]
    return [*lines, "", total]


def _rest(row: Mapping[str, Any]) -> str:
    """Return what there is to say beside a run's state: its epochs, or how long it took and what it found."""
    if row["state"] == "done":
        return ", ".join([f"took {duration(row['seconds'])}", *_numbers(row)])
    state = State(*(row[name] for name in ("state", "epochs", "of", "seconds_left", "message")))
    return str(state).removeprefix(state.word).lstrip(" ,")


def _numbers(row: Mapping[str, Any]) -> list[str]:
    """Return the first numbers that a finished run found, such as `test_error 2.76`."""
    numbers = {
        name: value
        for name, value in row["result"].items()
        if name not in row["parameters"] and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return [f"{name} {value:.4g}" for name, value in [*numbers.items()][:MOST]]


def _plain(value: Any) -> str:
    """Return a value as -p takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else "''" if value == "" else str(value)
