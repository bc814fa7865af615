"""What the command line prints of experiments and runs: coloured in a terminal, plain in a pipe."""

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from repro.configs import hours, profiles
from repro.configs.parameters import expected
from repro.configs.record import Experiment
from repro.configs.registry import EXPERIMENTS, find
from repro.results.published import quoted
from repro.runs import provenance
from repro.runs.identity import differences
from repro.runs.run import Run
from repro.runs.states import WORDS, State, duration, state, survey

MOST = 3  # numbers of a result beside a run
COLOURS = {"done": "32", "running": "36", "stopped": "33", "failed": "31", "damaged": "31", "name": "1", "faint": "2"}
COLOURS["published"] = COLOURS["done"]


def paint(text: str, kind: str) -> str:
    """Return `text` in the colour of a kind where a person reads it: standard output is a terminal without NO_COLOR."""
    seen = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\033[{COLOURS[kind]}m{text}\033[0m" if seen else text


def experiments() -> list[str]:
    """Return two or three lines for every experiment: what it is, what it needs and cost, and the state of its runs."""
    width, found, lines = max(map(len, EXPERIMENTS)), counts(), []
    for experiment in EXPERIMENTS.values():
        needs = {reference.experiment for reference in experiment.needs(experiment.parameters())}
        facts = [experiment.section, f"published cost: {hours.told(experiment)}"]
        facts += [f"needs {', '.join(sorted(needs))}"] if needs else []
        lines.append(f"{paint(f'{experiment.name:{width}}', 'name')}  {experiment.title}")
        lines.append(f"{'':{width}}  {paint('; '.join(facts), 'faint')}")
        if own := found[experiment.name]:
            runs = [paint(f"{own[word]} {word}", word) for word in (*WORDS, "published") if own[word]]
            lines.append(f"{'':{width}}  runs: {', '.join(runs)}")
    return lines


def counts() -> dict[str, Counter]:
    """Return for every experiment how many of its runs are in which state, or published."""
    found = defaultdict(Counter)
    for run in survey().runs:
        found[run.experiment]["published" if run.published else state(run).word] += 1
    return found


def parameters(experiment: Experiment, profile: str) -> list[str]:
    """Return an experiment and its parameters: the paper's value, the profile's where it differs, unit, meaning."""
    changed, hints = profiles.changes(profile, experiment), get_type_hints(experiment.parameters)
    lines = [f"{paint(experiment.name, 'name')}: {experiment.title}", experiment.section]
    lines += [f"paper: {quoted(experiment.claim)}", f"cost: {hours.told(experiment)}"]
    lines += ["", f"parameters ({profile} profile where it differs from the paper's in brackets)"]
    for field in fields(experiment.parameters):
        own = f" [{_plain(changed[field.name])}]" if field.name in changed else ""
        lines.append(f"  {paint(field.name, 'name')} = {_plain(field.default)}{own}")
        lines.append(paint(f"      {field.metadata['doc']} ({expected(hints[field.name])})", "faint"))
    return lines


def cell(experiment: Experiment) -> list[str]:
    """Return the lines of the parameters cell of the experiment's notebook, with all values the profile's."""
    names = " or ".join(profiles.PROFILES)
    lines = [f"{f.name} = ...  # [{_plain(f.default)}] {f.metadata['doc']}" for f in fields(experiment.parameters)]
    return [f'profile = "smoke"  # {names}: gives every value that is ... here; in brackets the paper\'s', *lines]


def changed(run: Run) -> str:
    """Return in one line what the run's profile changes of the paper's parameters, and what was set besides."""
    experiment = find(run.experiment)
    paper, own = experiment.parameters().values(), differences(experiment, run.profile, run.params)
    usual = {n: value for n, value in run.params.identity().items() if value != paper[n] and n not in own}
    lines = [f"{run.profile}: {_pairs(usual) or 'the parameters of the paper'}"]
    return "; ".join(lines + [f"set besides: {_pairs(own)}"] * bool(own))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_plain(value)}" for name, value in values.items())


def status() -> list[str]:
    """Return one line for every run directory: how far it is, about how long the rest takes, how long it took.

    The published runs, which are done, are only counted.
    """
    runs, damaged, uncounted = survey()
    states = {run.name: (run, state(run)) for run in runs if not run.published}
    width = max(map(len, [*states, *damaged, *uncounted]), default=0)
    order = ("running", "failed", "stopped", "done")
    lines = [
        f"{paint(f'{found.word:8}', found.word)}  {name:{width}}  {_rest(run, found)}".rstrip()
        for name, (run, found) in sorted(states.items(), key=lambda item: order.index(item[1][1].word))
    ]
    lines += [f"{paint('damaged ', 'damaged')}  {name:{width}}  {reason}" for name, reason in damaged.items()]
    lines += [f"{paint('not counted', 'damaged')}  {name:{width}}  {reason}" for name, reason in uncounted.items()]
    counts = Counter([found.word for _, found in states.values()] + ["damaged"] * len(damaged))
    counts += Counter({"not counted": len(uncounted), "published": sum(run.published for run in runs)})
    total = ", ".join(f"{count} {word}" for word, count in counts.items())
    if not lines:
        return ["; ".join(filter(None, ["no run yet", total, "begin with: repro run bilevel-toy"]))]
    return [*lines, "", total]


def _rest(run: Run, found: State) -> str:
    """Return what there is to say beside a state's word."""
    facts = str(found).removeprefix(found.word).lstrip(" ,")
    done = [f"took {duration(provenance.seconds(run.path))}", *results(run)] if found.word == "done" else []
    return ", ".join(filter(None, [facts, *done]))


def results(run: Run) -> list[str]:
    """Return the first numbers that a finished run found, such as `test_error 2.76`."""
    known = run.params.values()
    numbers = {
        name: value
        for name, value in (run.result or {}).items()
        if name not in known and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return [f"{name} {value:.4g}" for name, value in [*numbers.items()][:MOST]]


def _plain(value: Any) -> str:
    """Return a value as -p takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else "''" if value == "" else str(value)
