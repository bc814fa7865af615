"""The one training loop: epochs, metrics, checkpoints and resume for every experiment that trains.

A run that was killed goes on after its last whole epoch and ends with the numbers of one that was not (bit for bit on
the CPU), because everything that moves is in `state` or in the global random states, which are saved with it.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from repro import checkpoints, devices, parallel, progress
from repro.errors import ReproError
from repro.runs import Run


class Stateful(Protocol):
    """Anything with a state that can be saved: modules, optimizers, schedules, batch iterators."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take the state over."""
        ...


def fit(run: Run, state: Mapping[str, Stateful], epochs: int, epoch: Callable[[int], dict[str, Any]]) -> None:
    """Run `epoch(0)` to `epoch(epochs - 1)`, from the last checkpoint on; log each returned row and checkpoint."""
    start, seed = restore(run, state), torch.initial_seed()
    with progress.bar(run.path.name, start, epochs) as bar:
        for index in range(start, epochs):
            began = time.perf_counter()
            parallel.diverge(seed, index)
            row = epoch(index)
            _refuse_non_finite(run, index, row)
            run.log({"epoch": index, **row, "seconds": round(time.perf_counter() - began, 3)})
            save(run, state, index + 1)
            bar.n = index + 1
            bar.set_postfix({name: value for name, value in row.items() if name.endswith(("_error", "_perplexity"))})


def save(run: Run, state: Mapping[str, Stateful], epochs: int) -> None:
    """Checkpoint `state` and the random states after `epochs` whole epochs, in the first process of several."""
    if not run.writes:
        return
    parts = {name: part.state_dict() for name, part in state.items()}
    checkpoints.save(run.path, {"epochs": epochs, "state": parts, "random": devices.random_state()})


def restore(run: Run, state: Mapping[str, Stateful]) -> int:
    """Put back the newest whole checkpoint and return how many epochs it covers; 0 if there is none."""
    held, rows = parallel.from_leader(lambda: (checkpoints.load(run.path), run.metrics()))
    if held is None:
        run.restart([])
        return 0
    try:
        for name, part in state.items():
            part.load_state_dict(held["state"][name])
        devices.restore_random_state(held["random"])
        epochs = int(held["epochs"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ReproError(f"{run.path} holds another run's checkpoint ({error}): delete it and run again") from error
    if len(rows) < epochs:
        raise ReproError(f"{run.path}: metrics.jsonl lacks some of {epochs} epochs: restore it, or delete the folder")
    run.restart(rows[:epochs])
    return epochs


def _refuse_non_finite(run: Run, index: int, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ReproError(
                f"{run.path.name}: {name} is {value} in epoch {index}; the checkpoint before it is kept: "
                "take a smaller learning rate or a smaller clip"
            )
