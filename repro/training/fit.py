"""The one training loop: epochs, metrics, checkpoints and resume for every experiment that trains.

A run that was killed goes on from its last checkpoint, after an epoch or within one, and ends with the numbers of one
that was not (bit for bit on the CPU), because everything that moves is saved together: `state`, the global random
states, and what the steps of the `Epoch` under way move beside them.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from repro import progress
from repro.errors import Diverged, ReproError
from repro.runs.run import Run
from repro.training import checkpoints, devices, parallel
from repro.training.clock import Clock

T = TypeVar("T")


class Stateful(Protocol):
    """Anything with a state that can be saved: modules, optimizers, schedules, batch iterators, sums."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take the state over."""
        ...


def fit(run: Run, state: Mapping[str, Stateful], epochs: int, epoch: Callable[["Epoch"], dict[str, Any]]) -> None:
    """Call `epoch` for each of so many epochs, from the last checkpoint on; log each returned row and checkpoint.

    What goes through data by `Epoch.steps` is checkpointed in between too, after `run.params.checkpoint_minutes`.
    """
    start, within = restore(run, state)
    seed, clock = torch.initial_seed(), Clock(60 * run.params.checkpoint_minutes)
    with progress.bar(run.path.name, start, epochs) as bar:
        for index in range(start, epochs):
            parallel.draw_apart(seed, index)
            this = Epoch(index, run, state, clock, within)
            row = epoch(this)
            _refuse_non_finite(run, index, row)
            run.log({"epoch": index, **row, "seconds": round(this.seconds(), 3)})
            if "genotype" in row:  # of a search: the cell so far
                run.save("genotype.json", row["genotype"])
            save(run, state, index + 1)
            clock.restart()
            within = None
            bar.n = index + 1
            bar.set_postfix({name: value for name, value in row.items() if name.endswith(("_error", "_perplexity"))})
    refuse_broken(run, state)


def refuse_broken(run: Run, state: Mapping[str, Stateful]) -> None:
    """Raise Diverged where the last step left a network with a number that is not finite."""
    for part in state.values():
        for name, value in part.state_dict().items() if isinstance(part, nn.Module) else ():
            if value.is_floating_point() and not value.isfinite().all():
                raise Diverged(
                    f"{run.path.name}: {name} is not finite after the last step: "
                    "take a smaller learning rate or a smaller clip"
                )


def save(run: Run, state: Mapping[str, Stateful], epochs: int, within: dict[str, Any] | None = None) -> None:
    """Checkpoint `state` and the random states after `epochs` whole epochs, in the first process of several.

    within: what the epoch after them holds, where the checkpoint is in the middle of it.
    """
    if not run.writes:
        return
    parts = {name: part.state_dict() for name, part in state.items()}
    content = {"epochs": epochs, "state": parts, "random": devices.random_state()}
    checkpoints.save(run.path, content | ({} if within is None else {"within": within}))


def restore(run: Run, state: Mapping[str, Stateful]) -> tuple[int, dict[str, Any] | None]:
    """Put back the newest whole checkpoint; return how many whole epochs it covers, and what the one after them held.

    0 and None if there is no checkpoint.
    """
    checkpoint, rows = parallel.from_leader(lambda: (checkpoints.load(run.path), run.metrics()))
    if checkpoint is None:
        run.restart([])
        return 0, None
    with _taken_over(run):
        for name, part in state.items():
            part.load_state_dict(checkpoint["state"][name])
        devices.restore_random_state(checkpoint["random"])
        epochs, within = int(checkpoint["epochs"]), checkpoint.get("within")
    if len(rows) < epochs:
        raise ReproError(f"{run.path}: metrics.jsonl lacks some of {epochs} epochs: restore it, or delete the folder")
    run.restart(rows[:epochs])
    return epochs, within


class Epoch:
    """An epoch under way: one or several passes over data, each a loop over `steps`.

    A checkpoint within it holds how far each pass is and what its steps move beside the state; with `within`, the epoch
    goes on from such a checkpoint. Without a run it is never checkpointed.
    """

    def __init__(
        self,
        index: int,
        run: Run | None = None,
        state: Mapping[str, Stateful] | None = None,
        clock: Clock | None = None,
        within: dict[str, Any] | None = None,
    ) -> None:
        self.index, self.run, self.state, self.clock = index, run, state, clock
        self.counts: dict[str, int] = {}  # steps of each pass
        self.ended: set[str] = set()
        self.parts: dict[str, Mapping[str, Stateful]] = {}
        self.found: dict[str, dict[str, Any]] = {}  # states of parts that are not there yet
        self.began = time.perf_counter()
        if within is not None:
            with _taken_over(run):
                self._resume(within)

    def steps(self, name: str, batches: Iterable[T], **parts: Stateful) -> Iterator[T]:
        """Yield `batches`, the rest of the pass `name`; checkpoint between two of them when the time has come.

        parts: what the steps move beside the state of the run, such as sums; restored from a checkpoint. Where it was
        made by another number of processes, the first one gets the sum of their numbers and lists.
        """
        self.hold(name, **parts)
        if name in self.ended:
            return
        whole = len(batches) if isinstance(batches, Sized) else 0
        if self.clock:
            self.clock.restart_count()
        for batch in batches:
            yield batch
            self.counts[name] = self.done(name) + 1
            if name == "train" and whole:
                progress.reach(self.index + min(self.counts[name] / whole, 1))
            if self.clock and self.clock.is_time():
                self._checkpoint()
        self.ended.add(name)

    def done(self, name: str) -> int:
        """Return how many steps of the pass `name` are done."""
        return self.counts.get(name, 0)

    def hold(self, name: str, **parts: Stateful) -> None:
        """Let checkpoints within this epoch hold `parts`, by their names; restore them where it goes on from one."""
        self.parts[name] = parts
        if name in self.found:
            with _taken_over(self.run):
                for key, state in self.found.pop(name).items():
                    parts[key].load_state_dict(state)

    def forget(self, *names: str) -> None:
        """Let the passes `names` begin again."""
        for name in names:
            for known in (self.counts, self.parts, self.found):
                known.pop(name, None)
            self.ended.discard(name)

    def seconds(self) -> float:
        """Return how long this epoch has taken, in all sessions."""
        return time.perf_counter() - self.began

    def _checkpoint(self) -> None:
        """Checkpoint, in all processes together, unless a sum is not finite: the checkpoint before it is kept then."""
        states = {name: {key: part.state_dict() for key, part in parts.items()} for name, parts in self.parts.items()}
        processes = parallel.gathered([{"parts": states, "random": devices.random_state()}])
        if all(map(_is_finite, processes)):
            self.run.record()
            passes = {"steps": self.counts, "ended": sorted(self.ended), "seconds": self.seconds()}
            save(self.run, self.state, self.index, {**passes, "processes": processes})
        self.clock.restart()

    def _resume(self, within: dict[str, Any]) -> None:
        # where the first epoch has no step left to train, its schedule moves before an optimizer has
        warnings.filterwarnings("ignore", r"Detected call of .lr_scheduler\.step")
        self.counts, self.ended = dict(within["steps"]), set(within["ended"])
        self.began -= within["seconds"]
        processes, rank = within["processes"], parallel.rank()
        if rank < len(processes):
            devices.restore_random_state(processes[rank]["random"])
        if len(processes) == parallel.size():
            self.found = processes[rank]["parts"]
        elif rank == 0:
            self.found = _added([process["parts"] for process in processes])


class Values:
    """Values that steps replace, as attributes that a checkpoint can hold."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def state_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the values; tensors go to the device of those that they replace."""
        for name, value in state.items():
            now = getattr(self, name)
            setattr(self, name, value.to(now.device) if isinstance(now, Tensor) else value)


def _taken_over(run: Run) -> AbstractContextManager[None]:
    return checkpoints.fitting(run.path, "holds another run's checkpoint", "delete it and run again")


def _added(states: Sequence[Any]) -> Any:
    """Return the sums of the numbers, tensors and lists of several processes, by their names."""
    if isinstance(states[0], dict):
        return {name: _added([state[name] for state in states]) for name in states[0]}
    return sum(states[1:], states[0])


def _is_finite(process: Mapping[str, Any]) -> bool:
    """Whether every number that a process holds of its passes is finite."""
    values = [value for parts in process["parts"].values() for part in parts.values() for value in part.values()]
    numbers = [value for value in values if isinstance(value, float) or (isinstance(value, Tensor) and not value.ndim)]
    return all(map(math.isfinite, numbers))


def _refuse_non_finite(run: Run, index: int, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Diverged(
                f"{run.path.name}: {name} is {value} in epoch {index}; the checkpoint before it is kept: "
                "take a smaller learning rate or a smaller clip"
            )
