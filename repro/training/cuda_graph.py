"""A step as one CUDA graph: a GPU waits for the launches of many small kernels, and a graph launches them all at once.

A graph reads and writes the same memory every time, and holds numbers like the learning rate as constants. So batches
are copied to where it reads, and when a rate changes it is recorded anew; when a switch of the network does, steps warm
up again. The first replay after warming up is compared with plain steps from the same state. A step that cannot be
recorded, or whose replay computes something else, is refused: plain from then on. Plain steps too are taken on a stream
of their own: autograd goes back on the streams it came by, and a recording cannot wait for the default one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from repro import progress
from repro.errors import ReproError
from repro.training import devices, parallel

Step = Callable[..., Any]  # (nested) tuples of tensors -> a tuple of tensors; moves what it trains
Record = Callable[[Step, Any], tuple[Callable[[], None], Any]]

WARM_UP = 3  # plain steps first: optimizers make their buffers, libraries choose their kernels
# Of the step's length; a step that reads a stale batch exceeds it. Two plain steps on a GPU may differ by the order of
# their sums, which bfloat16 and Eq. 8 amplify to some percent; where they do by more, the replay may too.
TOLERANCE, SPREADS = 0.3, 2.0
MENDED = 2, 14  # before, PyTorch draws no random number on a GPU any more once a recording has failed


def captured(asked: str, step: Step, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Step:
    """Return `step`, to be replayed from a graph if `asked` is auto and the network is on a GPU."""
    if asked == "off" or next(network.parameters()).device.type != "cuda":
        return step
    if parallel.size() > 1:
        progress.note("capture=auto: steps are launched one by one, because several processes share them")
        return step
    return Captured(step, network, optimizers)


@dataclass
class WarmingUp:
    """So many steps were taken plainly; after WARM_UP of them one is recorded."""

    steps: int = 0


@dataclass
class Recorded:
    """A graph that `replay` launches reads `batches`, moves what the step moves, and writes `results`."""

    replay: Callable[[], None]
    batches: Any
    results: Any
    rates: list[float]  # learning rates, constants of the graph

    def fits(self, batches: Any) -> bool:
        """Whether the batches have the shapes that were recorded; the last one of an epoch may not."""
        return _shapes(batches) == _shapes(self.batches)

    def take(self, batches: Any) -> Any:
        """Take the step on other batches; return its results."""
        tree_map(Tensor.copy_, self.batches, batches)
        self.replay()
        return tree_map(Tensor.clone, self.results)


class Refused:
    """The step could not be recorded, or its graph computed something else: all steps are plain from now on."""


class Captured:
    """A step that moves a network by its optimizers, if any, replayed.

    It is warming up, recorded or refused: `state`. `record` returns a replay and where its results lie.
    """

    def __init__(
        self,
        step: Step,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        record: Record | None = None,
    ) -> None:
        self.step, self.network, self.optimizers, self.record = step, network, optimizers, record or record_graph
        self.state: WarmingUp | Recorded | Refused = WarmingUp()
        self.switches = self._switches()
        self.stream = torch.cuda.Stream() if record is None else None

    def __call__(self, *batches: Any) -> Any:
        """Take a step; return its results."""
        with _aside(self.stream):
            return self._take(batches)

    def _take(self, batches: Any) -> Any:
        if isinstance(self.state, Refused):
            return self.step(*batches)
        if self.switches != self._switches():
            self.switches, self.state = self._switches(), WarmingUp()
        if isinstance(self.state, WarmingUp):
            self.state.steps += 1
            return self.step(*batches) if self.state.steps <= WARM_UP else self._first(batches)
        if self.state.rates != self._rates():
            return self._at_other_rates(batches)
        return self.state.take(batches) if self.state.fits(batches) else self.step(*batches)

    def _first(self, batches: Any) -> Any:
        """Take the step from a first recording, if that moves everything as plain steps from the same state do."""
        expected, moved = self._plainly(batches)
        try:
            results = self._record(batches)
            reason = self._difference(moved, expected, results)
        except RuntimeError as error:
            reason = _line(error)
        if reason is None:
            return results
        self._refuse(reason)
        _copy(self._moving(), [after for *_, after in moved])
        return expected

    def _at_other_rates(self, batches: Any) -> Any:
        """Take the step from a recording that holds the learning rates of now."""
        try:
            return self._record(batches)
        except RuntimeError as error:
            self._refuse(_line(error))
            return self.step(*batches)

    def _record(self, batches: Any) -> Any:
        """Record the step, and take it by a first replay; ReproError where plain steps would fail after a failure."""
        self.state = WarmingUp(WARM_UP)  # frees the memory of the last recording
        batches = tree_map(Tensor.clone, batches)
        try:
            replay, results = self.record(self.step, batches)
        except RuntimeError as error:
            if torch.__version__ >= MENDED:
                raise
            raise ReproError(
                f"capture=auto: a step cannot be recorded ({_line(error)}), and PyTorch {torch.__version__} cannot go "
                f"on after that: run again with capture=off, or with PyTorch {MENDED[0]}.{MENDED[1]} or later"
            ) from error
        self.state = Recorded(replay, batches, results, self._rates())
        return self.state.take(batches)

    def _refuse(self, reason: str) -> None:
        self.state = Refused()
        progress.note(f"capture=auto: steps are launched one by one, because {reason}")

    def _plainly(self, batches: Any) -> tuple[Any, list[tuple[Tensor, ...]]]:
        """Take the step plainly, twice, and take it back.

        Return its results, and every tensor that it moves: before, after the first time, after the second time.
        """
        snapshots, random = [self._snapshot()], devices.random_state()
        for _ in range(2):
            expected = self.step(*batches)
            snapshots.append(self._snapshot())
            _copy(self._moving(), snapshots[0])
            devices.restore_random_state(random)
        return expected, list(zip(*snapshots, strict=True))

    def _snapshot(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self._moving()]

    def _difference(self, moved: list[tuple[Tensor, ...]], expected: Any, results: Any) -> str | None:
        """Return what is wrong with the first replay, or None: its results and each optimizer's step are compared."""
        whole = dict(zip(map(id, self._moving()), moved, strict=True))
        groups = [(results, [torch.zeros_like(result) for result in expected], expected, expected)]
        for optimizer in self.optimizers:
            now = _parameters(optimizer)
            groups.append((now, *zip(*(whole[id(tensor)] for tensor in now), strict=True)))
        for now, before, first, second in groups:
            off, length, spread = _distance(now, second), _distance(before, second), _distance(first, second)
            if not off <= max(TOLERANCE * length, SPREADS * spread):
                return f"the recorded step went astray by {off:.2g}, where a plain one goes {length:.2g}"
        return None

    def _rates(self) -> list[float]:
        return [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]

    def _switches(self) -> dict[str, Any]:
        """Return what decides in Python what the network computes."""
        return {name: value for name, value in vars(self.network).items() if isinstance(value, (bool, int, float))}

    def _moving(self) -> tuple[Tensor, ...]:
        """Return every tensor that a step moves."""
        values = (value for each in self.optimizers for state in each.state.values() for value in state.values())
        moments = [value for value in values if isinstance(value, Tensor)]
        return *(p for each in self.optimizers for p in _parameters(each)), *self.network.buffers(), *moments


def record_graph(step: Step, batches: Any) -> tuple[Callable[[], None], Any]:
    """Record a step on `batches` without taking it; RuntimeError if something in it cannot be recorded."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        results = step(*batches)
    return graph.replay, results


@contextmanager
def _aside(stream: torch.cuda.Stream | None) -> Iterator[None]:
    """Work on `stream` after all that came before, and before all that comes after."""
    if stream is None:
        yield
        return
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _line(error: RuntimeError) -> str:
    return str(error).partition("\n")[0]


def _shapes(batches: Any) -> list[torch.Size]:
    return [tensor.shape for tensor in tree_leaves(batches)]


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum((x.detach().double() - y.double()).square().sum().item() for x, y in zip(a, b, strict=True)) ** 0.5
