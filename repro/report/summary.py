"""The first table of the report: every figure and table of both papers, and how far it has been reproduced here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from repro.configs import profiles
from repro.configs.registry import EXPERIMENTS
from repro.errors import FOREIGN, is_number
from repro.report import tables
from repro.report.typeset import Link
from repro.results import compare, protocol, published
from repro.results.columns import COLUMNS, Column, heading
from repro.results.compare import Group
from repro.results.rows import ROWS
from repro.runs.states import state, survey


class Item(NamedTuple):
    """One figure or table: its heading in the report, and the experiments that make it or the table that it is."""

    heading: str
    experiments: tuple[str, ...] = ()
    table: str = ""
    row: str = ""  # the id of the one that the paper is about

    @property
    def link(self) -> Link:
        """The heading up to its colon, leading to it."""
        return Link(self.heading.split(":")[0], "#" + self.heading.replace(" ", "-"))


ITEMS = (
    Item("Figure 2: the bilevel problem in two numbers", ("bilevel-toy",)),
    Item("Figure 3, left: the convolutional cells during the search", ("cifar10-progress",)),
    Item("Figure 3, right: the recurrent cells during the search", ("ptb-progress",)),
    Item("Figures 4 and 5: the convolutional cells", ("cifar10-search", "cifar10-select")),
    Item("Figure 6: the recurrent cell", ("ptb-search", "ptb-select")),
    Item("Table 1: image classifiers on CIFAR-10", (), "darts_table1_cifar10", "darts-2nd"),
    Item("Search cost: the second order beside the first", ("cifar10-cost",)),
    Item("Section 3.3: alternatives to the bilevel search", (), "darts_ablations", "simultaneous-sgd"),
    Item("Table 2: language models on Penn Treebank", (), "darts_table2_ptb", "darts-2nd"),
    Item("Table 3: image classifiers on ImageNet", (), "darts_table3_imagenet", "darts"),
    Item("Table 4: language models on WikiText-2", (), "darts_table4_wikitext2", "darts"),
    Item("SPOS, building blocks: search and baselines", (), "spos_blocks", "found-blocks"),
    Item("SPOS, Figures 2 and 3: searches, iteration by iteration", ("spos-evolution",)),
    Item("SPOS, channels: search over blocks and channels", (), "spos_channels", "found-channels"),
    Item("SPOS, released cell: the authors' network", (), "spos_released", "released"),
    Item("SPOS, bits: mixed-precision quantisation", (), "spos_bits", "resnet18-within-2W2A"),
    Item("SPOS, correlation: do inherited weights rank networks?", ("spos-correlation",)),
    Item("SPOS, Table 5: ProxylessNAS's space, within ten limits", (), "spos_mobile", "at-proxyless-r-mult-adds"),
    Item("SPOS, latency: the sum of measured blocks", ("spos-latency",)),
    Item("SPOS, Table 7: one path beside two and the whole mixture", ("spos-cost",)),
)


def found(group: Group) -> str:
    """Say in words what runs found, of the first where they cannot be averaged: what the summary says of a figure."""
    run, result = group.first, group.first.result or {}
    if run.experiment == "bilevel-toy":
        ends = [f"({end['alpha']:.2f}, {end['weight']:.2f}) with xi = {end['xi']:g}" for end in result["ends"]]
        return f"descent ends at {', '.join(ends)}"
    if run.experiment.endswith("-progress"):
        snapshots = pd.DataFrame(run.load("snapshots.json"))
        measure = next(name for name in snapshots if name.startswith("valid_"))
        median = snapshots.groupby("epoch")[measure].median()
        said = [f"{median[epoch]:.1f} after epoch {epoch}" for epoch in (median.index[0], median.index[-1])]
        return f"median {heading(measure)}: {', '.join(said)}"
    if "values" in result and "seeds" in result:
        return f"the best of {len(result['values'])} cells: {_said(result, [*result][:1])}"
    named = [name for name in result if name in COLUMNS][:2]
    return _said({name: group.numbers(name).mean() for name in named}, named) or "see the notebook"


def _said(result: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return numbers of a result with their headings."""
    return "; ".join(f"{heading(name)}: {result[name]:.3g}" for name in names if is_number(result[name]))


def rows(profile: str) -> list[dict[str, Any]]:
    """Return for each item what the paper has, what was run here, and what is missing in `profile`."""
    return [_of_table(item, profile) if item.table else _of_figure(item, profile) for item in ITEMS]


def table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as cells."""
    names = ("figure or table", "here", "in the paper", "runs", "not finished")
    return pd.DataFrame([{name: row[name] for name in names} for row in found], dtype=object)


def sentence(found: list[dict[str, Any]]) -> str:
    """Say how many figures and tables have all their runs at the paper's size, how many others, how many none."""
    complete = sum(row["complete"] for row in found)
    part = [row for row in found if row["profiles"] and not row["complete"]]
    counts = Counter(name for row in part for name in row["profiles"])
    some = ", ".join(f"{counts[name]} `{name}`" for name in profiles.PROFILES if counts[name])
    none = len(found) - complete - len(part)
    return (
        f"Of {len(found)} figures and tables, all runs at the paper's size are there for **{complete}**, others "
        f"for **{len(part)}**{f' ({some})' if some else ''}; for **{none}** there is none yet."
    )


def _of_figure(item: Item, profile: str) -> dict[str, Any]:
    groups = [group for name in item.experiments for group in compare.groups(name)]
    begun = [run for run in survey()[0] if run.experiment in item.experiments and run.result is None]
    counts = Counter(run.profile for group in groups for run in group.runs)
    states = "; ".join(f"{run.name}: {state(run)}" for run in begun)
    experiment = EXPERIMENTS.get(item.experiments[-1])
    return {
        "figure or table": item.link,
        "in the paper": published.with_numbers(experiment.claim) if experiment else None,
        "here": _found(item.experiments[-1]) if item.experiments else None,
        "runs": _number_of_runs(counts),
        "not finished": states or (None if counts[profile] else f"no {profile} run"),
        "profiles": set(counts),
        "complete": any(protocol.as_published(group.first) for group in groups),
    }


def _found(experiment: str) -> str | None:
    """Say what the runs of the largest profile found, with their mark; nothing where there are none."""
    sizes = [*profiles.PROFILES]
    for group in sorted(compare.groups(experiment, False), key=lambda each: -sizes.index(each.first.profile)):
        try:
            run = group.first
            size = ", ".join(filter(None, [run.profile, protocol.data(run)]))
            mark = "" if protocol.as_published(run) else f" ({size})"
            return found(group) + mark
        except FOREIGN:
            continue  # its section says what its files lack
    return None


def _of_table(item: Item, profile: str) -> dict[str, Any]:
    lines, column = compare.compare(item.table, profile).to_dict("records"), tables.subject(item.table)
    mine = [line for line in lines if line["id"] == item.row]
    made = [line for line in lines if tables.kind(line) == "ours"]
    counts: Counter[str] = Counter()
    for line in made:
        counts[line["profile"].split(",")[0]] += int(line["runs"])
    wanted, missing = len(ROWS[item.table]), sum(isinstance(line["command"], str) for line in lines)
    complete = {line["id"] for line in made if line["as_published"] and _has_all_seeds(item.table, line)}
    return {
        "figure or table": item.link,
        "in the paper": f"{column.heading}: {_quoted(mine[0], column)}",
        "here": "; ".join(filter(None, (tables.here(line, column) for line in mine))) or None,
        "runs": _number_of_runs(counts),
        "not finished": f"{missing} of {wanted} rows have no {profile} run" if missing else None,
        "profiles": set(counts),
        "complete": complete >= ROWS[item.table].keys(),
    }


def _quoted(line: dict[str, Any], column: Column) -> str:
    """Return the paper's number, and of which architecture it is."""
    return f"{tables.paper(line, column)} ({published.spaced(line['architecture'])})"


def _has_all_seeds(table: str, line: dict[str, Any]) -> bool:
    return line["runs"] >= max(1, len(ROWS[table][line["id"]].seeds("paper")))


def _number_of_runs(counts: Counter[str]) -> str | None:
    return ", ".join(f"{count}\u00a0{profile}" for profile, count in counts.items()) or None
