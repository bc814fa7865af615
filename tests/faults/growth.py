"""What must not grow in a long run: Python's memory, tensors, the process's memory, file handles, threads, and files.

A run is looked at from inside after every epoch; the first third of the epochs may still fill caches.
"""

import gc
import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scene import Scene

from repro.runs.run import Run

# Kind of run -> experiment, parameters, steps in an epoch
KINDS = {
    "search": ("cifar10-search", {"images": "640", "batch": "16"}, 20),
    "evaluation": ("cifar10-eval", {"images": "320", "batch": "16", "dataset": "digits"}, 20),
    "language search": ("ptb-search", {"tokens": "800"}, 10),
    "language model": ("ptb-eval", {"tokens": "800"}, 10),
    "supernet": ("spos-supernet", {"batch": "15"}, 20),
}


def watch(file: Path) -> None:
    """Add a sample of this process to `file` after every epoch."""
    log = Run.log

    def sampled(run: Run, row: Any) -> None:
        log(run, row)
        with open(file, "a", encoding="utf-8") as samples:
            samples.write(json.dumps(sample(run)) + "\n")

    Run.log = sampled


def sample(run: Run) -> dict[str, float]:
    """Measure this process, and the folder of its run."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    files = [path for path in run.path.rglob("*") if path.suffix in (".pt", ".json")]
    return {
        "blocks": sys.getallocatedblocks(),
        "tensors": len(tensors),
        "tensor_bytes": sum(each.numel() * each.element_size() for each in tensors),
        "resident_bytes": resident,
        "handles": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "files": len(files),
    }


def grown(samples: list[dict[str, float]]) -> dict[str, float]:
    """Return what a straight line through the last two thirds of the samples rises by, for each measure."""
    rest = samples[len(samples) // 3 :]
    place = np.arange(len(rest))
    return {name: float(np.polyfit(place, [row[name] for row in rest], 1)[0] * len(rest)) for name in rest[0]}


def follow(folder: Path, kind: str, steps: int) -> dict[str, Any]:
    """Run so many steps of a kind, and more for the first third; return what grew, and by how much."""
    name, changes, each = KINDS[kind]
    epochs = max(6, round(1.5 * steps / each))
    length = {"iterations" if name == "spos-supernet" else "epochs": str(epochs * (each if "spos" in name else 1))}
    scene = Scene(folder / kind.replace(" ", "-"), name, {**changes, **length})
    scene.patience = 10.0 + steps
    scene.finish(scene.start(watch, folder / f"{kind}.jsonl"))
    samples = [json.loads(line) for line in (folder / f"{kind}.jsonl").read_text().splitlines()]
    assert len(samples) == epochs, f"{len(samples)} samples of {epochs} epochs"
    return {"kind": kind, "steps": round(epochs * each / 1.5), **{k: round(v, 1) for k, v in grown(samples).items()}}


def check(row: dict[str, Any]) -> None:
    """AssertionError names what grew.

    Python's own caches fill for a while and resident memory is rough, so these have room: a number kept in every step
    is a block in each, a tensor of a thousand weights 4,000 bytes. A supernet has gradients where paths were drawn.
    """
    steps = row["steps"]
    bounds = {"handles": 0.5, "threads": 0.5, "files": 0.5, "tensors": 0.5 + 0.01 * steps}
    bounds |= {"tensor_bytes": 100 * steps, "blocks": 500 + 0.5 * steps, "resident_bytes": 1e6 + 2000 * steps}
    assert not (bad := [name for name, most in bounds.items() if row[name] > most]), (bad, row)


def measure(folder: Path, steps: int, kinds: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Follow kinds of runs over so many steps."""
    for kind in kinds:
        row = follow(folder, kind, steps)
        print(row, flush=True)
        check(row)
        yield row


def record(file: Path, row: dict[str, Any]) -> None:
    """Put a row into results.json."""
    held = json.loads(file.read_text()) if file.exists() else {}
    rows = {each["kind"]: each for each in held.get("growth", [])} | {row["kind"]: row}
    held["growth"] = [rows[kind] for kind in KINDS if kind in rows]
    file.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n")
