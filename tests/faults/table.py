"""The page of the fault campaigns, made of results.json and of what the faults say they are."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import injections

NOTES = """## What was found and mended

What the campaigns and their writing stopped at; the short versions and the tests beside them keep it mended.

- Data that changed while a run was down were taken without a word: the run compares checksums when it goes on.
- The same for a genotype file, and for the choices of a SPOS network: the run compares what it began with.
- A damaged line in the middle of `metrics.jsonl` was a stack trace; a checkpoint with fewer rows than epochs went on.
- Two processes that began one run at the same moment could trip over the same half-written `params.json`.
- A checkpoint that is a whole file of something else, JSON that parses but is of another kind, notebooks without a
  cell's kind, numbers such as `1e999`: stack traces, each.
- A full disk was a stack trace where a row of metrics or a picture was written.
- A profile or a preset that is a list, whole numbers beyond 64 bits, texts with control characters or lone surrogates,
  cells of the other kind of network: stack traces.
- Folder names of many long parameters were longer than a file system takes; Papermill read braces in a path.
- A report's `contents.json` could name files outside of its folder, which the next report would have removed.
- Absurd numbers (`lr=1e300`, 10,000 threads, more channels than there is memory for) were stack traces of PyTorch, and
  so was a first-order search with one cell, which is a reduction: it has no use for the other alphas.
- `repro status` could fail over the folder of a group's logs while that was being removed.
- `kernel.log` stayed behind after Ctrl-C, half-made pictures after a kill, and what a group of processes had said
  where its starter was killed just after the result was written.
"""


HEAD = """# Faults and bad input

What `make faults` did to the package, and what became of it. The tables are made of `results.json`, which the command
adds to; a short version of every part is in `make test`. Each campaign stops at the first thing that goes wrong, so a
number in a table is a number of times that it went right.

```sh
make faults    # all of it
python tests/faults --only runs --count 100 --seed 1 --kinds search,evolution
```
"""

RUNS = """
## {total:,} faults in real runs

Every run is a recipe with the smallest parameters that it accepts, in a process of its own on the CPU, with a
checkpoint after every step: so a fault strikes within epochs. After it every file must be whole and nothing that was
finished may be lost: no step of a checkpoint, no judged candidate, no result. While the run works, all that `repro
status` reads is read again and again and must be whole. At its end all its files must be those of an undisturbed run,
bit for bit and no file more; only times and sessions may differ.
Seeds: {seeds}.
"""

BEYOND = """
A worker of a cluster that is lost: `tests/execution/test_cluster.py`. Two things are not noticed: a picture that is
replaced by another whole one of the same name, since a million files are not read for a checksum; and a changed digit
in a row of metrics or in a JSON file that is still valid.
"""

INPUTS = """
## {total:,} bad inputs refused

Each by one line of printable characters and exit status 1 or 2; no stack trace, and none of those that are code was
executed. Parameters come from Hypothesis: wrong types, bounds, unknown names, quotes, newlines, code. Files are cut,
flipped, holed, mixed, replaced by other kinds, by folders and by malicious pickles. *Harmless* are values that happen
to be right, and damage that changes nothing that is read or that the run mends itself, such as a checkpoint with an
older one beside it. Seeds: {seeds}.
"""

GROWTH = """
## Nothing grows

What a straight line through the samples after each epoch rises by over so many steps.
"""


DOORS = """
## No doors

Sockets at which a run and all that it starts listen while it works, looked for every 0.3 seconds. Loopback is for its
own processes; beyond it there must be none.
"""


def page(results: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    seeds = {part: ", ".join(map(str, each)) for part, each in results["seeds"].items()}
    runs = [tuple(row) for row in results["runs"]]
    inputs = [tuple(row) for row in results["inputs"]]
    refused = sum(times for _, outcome, times in inputs if outcome == "refused")
    parts = [HEAD, RUNS.format(total=sum(row[-1] for row in runs), seeds=seeds["runs"]), _runs(runs), BEYOND]
    parts += [INPUTS.format(total=refused, seeds=seeds["inputs"]), _inputs(inputs), GROWTH, _growth(results["growth"])]
    if "doors" in results:
        parts += [DOORS, _rows(("command", "on loopback", "beyond it"), results["doors"])]
    return "\n".join([*(part.strip("\n") + "\n" for part in parts), NOTES])


def _rows(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    names = [*names]
    lines = [names, ["---"] * len(names), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _runs(rows: list[tuple[str, str, str, int]]) -> str:
    found = defaultdict(list)
    for fault, kind, outcome, times in rows:
        found[fault].append((kind, outcome, times))
    lines = []
    for fault, parts in found.items():
        kinds = Counter()
        for kind, _, times in parts:
            kinds[kind] += times
        where = ", ".join(f"{kind} {times}" for kind, times in sorted(kinds.items()) if times)
        what = getattr(injections, fault).__doc__.rstrip(".")
        outcomes = sorted({outcome for _, outcome, times in parts if times})
        lines.append((what, kinds.total(), where, "; ".join(outcomes)))
    return _rows(("fault", "times", "in", "the runs"), sorted(lines, key=lambda line: -line[1]))


def _inputs(rows: list[tuple[str, str, int]]) -> str:
    found = defaultdict(Counter)
    for what, outcome, times in rows:
        found[what][outcome] += times
    lines = [(what, f"{t['refused']:,}", f"{t.total() - t['refused']:,}") for what, t in sorted(found.items())]
    return _rows(("input", "refused", "harmless"), lines)


def _growth(rows: list[dict[str, Any]]) -> str:
    lines = [
        [row["kind"], f"{row['steps']:,}", f"{row['blocks']:+,.0f}", f"{row['resident_bytes'] / 1e6:+.2f} MB"]
        + [f"{row[name] + 0.0:+.1f}" for name in ("tensors", "handles", "files")]
        for row in rows
    ]
    names = ("run", "steps", "Python's memory blocks", "resident memory", "tensors", "file handles", "files of the run")
    return _rows(names, lines)
