"""`make faults`: faults in real runs, bad input, growth, and doors, in numbers; a result is added to results.json.

    python tests/faults --count 200 --inputs 10000 --seed 0
    python tests/faults --only runs --count 100 --seed 1 --kinds search,evolution
    python tests/faults --only table

Stops with a stack trace at the first run that does not end as it should, and names how to repeat it.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import absurd
import bad_parameters
import damaged_files
import doors
import growth
import injections as faults
import table
from scene import Scene, new_dice, remove
from tiny import make_data, small_data

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
FILE = "{data}/cell.json"

# What a kind of run is called -> experiment and changes to its smallest parameters
KINDS = {
    "search": ("cifar10-search", {}),
    "joint search": ("cifar10-joint", {}),
    "selection": ("cifar10-select", {}),
    "random search": ("cifar10-random", {}),
    "evaluation": ("cifar10-eval", {"dataset": "cifar10", "images": "32", "genotype": FILE}),
    "evaluation on pictures": ("imagenet-eval", {}),
    "language search": ("ptb-search", {}),
    "language model": ("ptb-eval", {"corpus": "ptb", "tokens": "0", "genotype": "{data}/recurrent.json"}),
    "supernet": ("spos-supernet", {}),
    "evolution": ("spos-blocks", {}),
    "retraining": ("spos-retrain", {}),
    "correlation": ("spos-correlation", {}),
    "data-parallel training": ("cifar10-search", {"processes": "2"}),
}
EVERYWHERE = (
    faults.killed,
    faults.full,
    faults.small_disk,
    faults.cut,
    faults.broken,
    faults.wrong_clock,
    faults.company,
)
CHECKPOINTS = (faults.damaged, faults.lost)
WITH_FILES = (faults.other_data, faults.changing_data, faults.other_cell)


def applicable(kind: str) -> list[faults.Fault]:
    """The faults that make sense for a kind of run."""
    if kind == "data-parallel training":
        return [faults.member, faults.member]
    found = [*EVERYWHERE, *(CHECKPOINTS if kind != "evolution" else ())]
    found += WITH_FILES if kind in ("evaluation", "language model") else ()
    return found + ([faults.lost_picture] if kind == "evaluation on pictures" else [])


def break_runs(folder: Path, kinds: list[str], count: int, seed: int, seconds: float) -> Iterator[Counter]:
    """Put so many faults into runs, each kind of run in turn, or until the time is up for another kind.

    Yields for each how often (fault, kind, outcome) was; every kind has its turn before any has a second one.
    """
    total, began, data, scenes = 0, time.monotonic(), folder / "data", {}
    with small_data():
        make_data(data)
    for turn in itertools.count():
        kind = kinds[turn % len(kinds)]
        if (total >= count and turn >= len(kinds)) or time.monotonic() - began > seconds:
            return
        if kind not in scenes:
            name, changes = KINDS[kind]
            named = {key: value.format(data=data) for key, value in changes.items()}
            scenes[kind] = Scene(folder / kind.replace(" ", "-"), name, named, data).undisturbed()
        tally = Counter()
        for number, fault in enumerate(applicable(kind)):
            twin, dice = scenes[kind].copy(folder / "twin"), new_dice(seed, turn, number)
            try:
                times, outcome = fault(twin, scenes[kind].run, dice)
            except BaseException as error:
                error.add_note(f"{fault.__name__} of {kind}: seed {seed}, turn {turn}")
                raise
            tally[fault.__name__, kind, outcome] += times
            remove(twin.folder)
        yield tally
        total += tally.total()
        print(f"{total} faults in {time.monotonic() - began:.0f} s, the last in {kind}", flush=True)


def give_bad_input(folder: Path, count: int, seed: int, files: int) -> Counter:
    """Give bad parameters until so many were refused, and damage so many files; return the tally."""
    tally, rounds = Counter(), 0
    os.environ["REPRO_RUNS"] = str(folder)
    damaged_files.explore(tally, folder / "files", files, seed)
    while sum(times for (_, outcome), times in tally.items() if outcome == "refused") < count:
        for explore in (bad_parameters.command_line, bad_parameters.recipe_entry, bad_parameters.by_hand):
            explore(tally, folder / "parameters", 1000, 1000 * seed + rounds)
        rounds += 1
        print(f"{tally.total()} bad inputs", flush=True)
    return tally


def add(part: str, tally: Counter, seed: int) -> None:
    """Add a tally to results.json."""
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows = Counter({tuple(row[:-1]): row[-1] for row in held.get(part, [])}) + tally
    held[part] = sorted([*key, times] for key, times in rows.items())
    held["seeds"] = {**held.get("seeds", {}), part: sorted({*held.get("seeds", {}).get(part, []), seed})}
    RESULTS.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="faults in runs")
    parser.add_argument("--inputs", type=int, default=10_000, help="bad inputs that are refused")
    parser.add_argument("--files", type=int, default=1000, help="damaged files")
    parser.add_argument("--absurd", type=int, default=300, help="absurd numbers in real runs")
    parser.add_argument("--steps", type=int, default=1000, help="steps over which nothing grows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin with no other kind of run after so many")
    parser.add_argument("--only", choices=["runs", "inputs", "absurd", "growth", "doors", "table"])
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of runs: all by default")
    options = parser.parse_args()
    wanted = [options.only] if options.only else ["runs", "inputs", "absurd", "growth", "doors", "table"]
    kinds = options.kinds.split(",")
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        if "runs" in wanted:
            for tally in break_runs(folder, kinds, options.count, options.seed, options.seconds):
                add("runs", tally, options.seed)
        if "inputs" in wanted:
            add("inputs", give_bad_input(folder, options.inputs, options.seed, options.files), options.seed)
        if "absurd" in wanted:
            tally = Counter()
            absurd.explore(tally, folder / "absurd", options.absurd, options.seed)
            add("inputs", tally, options.seed)
        if "growth" in wanted:
            for row in growth.measure(folder, options.steps, [kind for kind in growth.KINDS if kind in kinds]):
                growth.record(RESULTS, row)
        if "doors" in wanted:
            held = json.loads(RESULTS.read_text())
            held["doors"] = doors.scan(folder)
            RESULTS.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n")
    if "table" in wanted:
        (HERE / "README.md").write_text(table.page(json.loads(RESULTS.read_text())))
        print(table.page(json.loads(RESULTS.read_text())))
