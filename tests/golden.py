"""The numbers of every run of the smoke plan, cut in sizes, and of a few others: golden.json holds them.

`make golden` writes golden.json anew; a change of it is read as a diff. The runs compute in float64, where another
order of a sum, on another processor, changes nothing that is kept; and every rate, decay, clip, schedule, dropout and
rule of the papers that the smoke profile has stays in force.
"""

import argparse
import json
import math
import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from repro.configs import profiles
from repro.configs.registry import find, typed
from repro.data import text
from repro.execution import notebooks
from repro.runs.identity import resolve
from repro.runs.run import Run, open_run
from repro.spaces.space import Cost, Gene
from repro.spos import latency
from repro.spos.network import SinglePath
from repro.training import devices

FILE = Path(__file__).with_name("golden.json")
DIGITS = 9  # significant ones that are kept
MEASURED = ("seconds", "step_images_per_second", "input_images_per_second", "ratio", "seconds_ratio")
MEASURED += tuple(f"seconds_{kind}" for kind in ("first", "second", "path", "two_paths", "mixture"))
MEASURED += ("seconds_ratio_two_paths",)

SEARCH = {"images": 48, "batch": 12, "channels": 2, "epochs": 2, "grad_clip": 1.5}  # so small gradients pass 5
TRAINING = {"images": 40, "batch": 10, "channels": 2, "epochs": 2}
TEXT = {"tokens": 800, "bptt": 10, "batch": 8, "hidden_size": 8, "epochs": 2}
PATHS = {"images": 220, "batch": 32, "iterations": 8}
EVOLUTION = {"bn_images": 64, "generations": 3, "population": 6, "parents": 3, "mutation": 2, "crossover": 2}
# Experiment -> its parameters in place of the smoke profile's
SIZES = {
    **dict.fromkeys(("cifar10-search", "cifar10-joint"), SEARCH),
    "cifar10-select": TRAINING,
    "cifar10-eval": {**TRAINING, "epochs": 3},
    "cifar10-random": {**TRAINING, "samples": 2},
    "cifar10-progress": {**TRAINING, "snapshots": (1, 2)},
    "imagenet-eval": {"images": 16, "batch": 8, "channels": 4, "size": 32, "resize": 36, "epochs": 3},
    "ptb-search": {**TEXT, "tokens": 400, "nodes": 3},
    "ptb-select": TEXT,
    "ptb-eval": TEXT,
    "ptb-random": {**TEXT, "nodes": 3},
    "ptb-progress": TEXT,
    "wikitext2-eval": TEXT,
    "spos-supernet": {**PATHS, "valid_images": 50, "bn_images": 64, "evaluated_paths": 2},
    **dict.fromkeys(("spos-blocks", "spos-channels", "spos-bits", "spos-mobile"), EVOLUTION),
    "spos-latency": {"networks": 3},
    "spos-evolution": {**EVOLUTION, "search_seeds": (0,)},
    "spos-retrain": PATHS,
    "spos-correlation": {"networks": 3, "iterations": 4, "bn_images": 64},
    "cifar10-cost": {"images": 48, "batch": 12, "channels": 2, "steps": 3, "warm_up_steps": 1},
    "spos-cost": {"images": 220, "batch": 32, "paths": 2, "steps": 2, "warm_up_steps": 1},
    "nb201-search": {"images": 48, "batch": 12, "channels": 2, "epochs": 2, "grad_clip": 1.5},
    "nb201-paths": {"images": 220, "batch": 32, "channels": 2, "epochs": 2, "valid_images": 50, "bn_images": 64}
    | {"search_every": 2, "ranked": 4},
    "derivation": {"tune_steps": 1},
    "darts-evolution": {"ranked": 4},
    "ptb-paths": {**TEXT, "nodes": 3, "generations": 2},
    "hardware-front": {"images": 220, "batch": 32, "channels": 2, "epochs": 1, "cost": "multiply-adds"},
    "hypergradient-truth": {"hidden": 1, "repeats": 1},
    "hypergradient-search": SEARCH,
}
# What the plan leaves out: other rules of the papers and of their released code
OTHERS = (
    ("cifar10-search", {"order": "exact"}),
    ("cifar10-joint", {"strategy": "simultaneous-apart"}),
    ("imagenet-eval", {"warmup": 1.5, "drop_path_rate": 0.2}),
    ("ptb-search", {"frozen_masks": True, "moves_embedding": True}),
    ("ptb-eval", {"genotype": "DARTS_V2_RNN", "lr": 5.0, "epochs": 5}),  # long enough for averaging to begin
    ("spos-supernet", {"sampling": "uniform"}),
    ("spos-retrain", {"winner": "random"}),
    ("nb201-search", {"order": 2, "temperature": 0.1, "eigenvalue": "exact", "gap": True}),
    *(("nb201-search", {"order": order}) for order in ("implicit", "unrolled")),
    ("nb201-paths", {"sampling": "fair"}),
    ("derivation", {"search": "run:cifar10-search/order=1,nodes=1"}),
)
PLAN = [(experiment.name, changes) for experiment, changes in profiles.plan("smoke")]
RUNS = {" ".join([run[0], *(f"{key}={value}" for key, value in run[1].items())]): run for run in (*PLAN, *OTHERS)}


@contextmanager
def resized(sizes: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Let the smoke profile change these parameters too."""
    with ExitStack() as stack:
        for name, changes in sizes.items():
            known = find(name).sizes
            stack.enter_context(mock.patch.dict(known, smoke={**known.get("smoke", {}), **changes}))
        yield


@contextmanager
def cut(sizes: dict[str, dict[str, Any]], folder: Path) -> Iterator[None]:
    """Let runs lie in `folder` and the smoke profile have these sizes; English and latency be the same everywhere."""
    environment = {"REPRO_RUNS": str(folder), "REPRO_DATA": str(folder / "data")}
    with (
        mock.patch.dict(os.environ, environment),
        resized(sizes),
        mock.patch.object(text, "_paragraphs", paragraphs),
        mock.patch.object(latency, "measure", counted),
        mock.patch.object(devices, "machine", return_value="any"),
        mock.patch.object(os, "fsync"),  # hundreds of small files that nobody keeps
    ):
        yield


@contextmanager
def float64() -> Iterator[None]:
    """Compute in float64, on one thread."""
    kept = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(kept[0])
        torch.set_num_threads(kept[1])


def counted(
    networks: Mapping[str, SinglePath], paths: Mapping[str, Sequence[Gene]], x: Tensor, *_: Any
) -> dict[str, latency.Measured]:
    """Return as milliseconds the multiply-adds of all images, in millions and a little more for each block."""
    found = {}
    for name, network in networks.items():
        cost = network.costs()["multiply-adds"]
        cost = Cost("milliseconds", len(x) * cost.fixed / 1e6, len(x) * cost.table / 1e6 + 1e-6)
        found[name] = latency.Measured(cost, cost, {gene: 1 + cost(gene) for gene in paths[name]})
    return found


def paragraphs() -> Iterator[list[str]]:
    """Yield paragraphs in which few words are frequent, but not in the last, which validate and test: overfitting."""
    dice, words = random.Random(0), [f"word{number}" for number in range(40)]
    for number in range(300):
        places = [dice.randrange(40)]
        while len(places) < 12:
            place = dice.randrange(40)
            places.append(dice.choice([0, 1, 2, places[-1] * 3 % 40, place]) if number < 240 else place)
        yield [words[place] for place in places]


def computed(name: str, changes: dict[str, Any]) -> Run:
    """Return the run of an experiment, finished."""
    run = prepared(name, changes)
    run.finish(notebooks.compute(run))
    return run


def prepared(name: str, changes: dict[str, Any]) -> Run:
    """Return the run of an experiment, with those that it needs finished."""
    experiment = find(name)
    for reference in experiment.needs(resolve(experiment, "smoke", changes)):
        needed, values = typed(reference)
        computed(needed.name, values)
    return open_run(experiment, "smoke", changes)


def numbers(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Return the metrics of a run and of its parts, and its result, without what was measured by a clock."""
    found = {}
    for path in sorted(run.path.glob("**/metrics.jsonl")):
        part = Run(path.parent, run.experiment, run.profile, run.params)
        found[str(path.parent.relative_to(run.path))] = part.metrics()
    found["result"] = [run.result]
    return {
        part: [{name: value for name, value in row.items() if name not in MEASURED} for row in rows]
        for part, rows in found.items()
    }


class Untimed(Run):
    """A run as if each time that a clock measured were 1: what is said of it is the same on every machine."""

    @property
    def result(self) -> dict[str, Any] | None:
        """The result, without times."""
        return untimed(super().result)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows, without times."""
        return untimed(super().metrics())


def untimed(value: Any, measured: bool = False) -> Any:
    """Return JSON's value with 1 in place of every number below a name of MEASURED."""
    if isinstance(value, dict):
        return {name: untimed(entry, measured or name in MEASURED) for name, entry in value.items()}
    if isinstance(value, list):
        return [untimed(entry, measured) for entry in value]
    return 1.0 if measured and isinstance(value, float) else value


def rounded(value: Any) -> Any:
    """Return JSON's value with the digits that are kept."""
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{round(value, 12):.{DIGITS}g}") if isinstance(value, float) else value


def differences(found: Any, kept: Any, place: str = "", nearly: float = 1e-7) -> Iterator[str]:
    """Yield where two values differ by more than rounding."""
    if isinstance(found, dict) and isinstance(kept, dict) and found.keys() == kept.keys():
        for name in found:
            yield from differences(found[name], kept[name], f"{place}/{name}", nearly)
    elif isinstance(found, list) and isinstance(kept, list) and len(found) == len(kept):
        for index, pair in enumerate(zip(found, kept, strict=True)):
            yield from differences(*pair, f"{place}/{index}", nearly)
    elif isinstance(found, float) and isinstance(kept, float):
        if not math.isclose(found, kept, rel_tol=nearly, abs_tol=1e-12):
            yield f"{place}: {found}, kept {kept}"
    elif found != kept:
        yield f"{place}: {found}, kept {kept}"


def page(found: dict[str, dict[str, list[Any]]]) -> str:
    """Return the numbers of all runs as JSON with a line for each row, so that a diff shows which changed."""
    runs = []
    for run, parts in found.items():
        rows = {part: ",\n   ".join(map(json.dumps, rounded(each))) for part, each in parts.items()}
        held = ",\n".join(f"  {json.dumps(part)}: [\n   {text}]" for part, text in rows.items())
        runs.append(f" {json.dumps(run)}: {{\n{held}}}")
    return "{\n" + ",\n".join(runs) + "}\n"


def main() -> None:
    """Compute every run and write golden.json."""
    with tempfile.TemporaryDirectory() as folder, cut(SIZES, Path(folder)), float64():
        FILE.write_text(page({key: numbers(computed(*run)) for key, run in RUNS.items()}))


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python tests/golden.py", description=__doc__).parse_args()  # it takes nothing
    main()
