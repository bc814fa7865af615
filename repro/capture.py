"""A training step as one CUDA graph: a GPU waits for the launches of many small kernels, and a graph launches them all.

A graph reads and writes the same memory every time, and holds numbers like the learning rate as constants. So batches
are copied to where it reads, and when such a number changes it is recorded anew. Its first replay is compared with the
plain step from the same state. A step that cannot be recorded, or computes something else, is taken plainly from then
on. Plain steps too are taken on a stream of their own: autograd goes back on the streams it came by, and a recording
cannot wait for the default one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from repro import devices, parallel, progress

Step = Callable[..., Any]  # (nested) tuples of tensors -> a tuple of tensors; moves what it trains
Record = Callable[[Step, Any], tuple[Callable[[], None], Any]]

WARM_UP = 3  # plain steps first: optimizers make their buffers, libraries choose their kernels
TOLERANCE = 0.05  # of the step's length; two plain steps on a GPU differ by the order of their sums


def captured(asked: str, step: Step, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Step:
    """Return `step`, to be replayed from a graph if `asked` is auto and the network is on a GPU."""
    if asked == "off" or next(network.parameters()).device.type != "cuda":
        return step
    if parallel.size() > 1:
        progress.note("capture=auto: steps are launched one by one, because several processes share them")
        return step
    return Captured(step, network, optimizers)


class Captured:
    """A step that moves a network and its optimizers, replayed; `record` returns a replay and where its results lie."""

    def __init__(
        self,
        step: Step,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        record: Record | None = None,
    ) -> None:
        self.step, self.network, self.optimizers, self.record = step, network, optimizers, record or record_graph
        self.steps, self.checked, self.given_up = 0, False, False
        self.replay: Callable[[], None] | None = None
        self.results: Any = None
        self.stream = torch.cuda.Stream() if record is None else None

    def __call__(self, *batches: Any) -> Any:
        """Take a step; return its results."""
        with _aside(self.stream):
            return self._take(batches)

    def _take(self, batches: Any) -> Any:
        self.steps += 1
        if self.given_up or self.steps <= WARM_UP:
            return self.step(*batches)
        if self.replay is None or self.constants != self._constants():
            return self._first(batches)
        if _each(lambda tensor: tensor.shape, batches) != self.shapes:  # the last batch of an epoch
            return self.step(*batches)
        return self._again(batches)

    def _first(self, batches: Any) -> Any:
        """Record the step and take it."""
        expected, moved = (None, []) if self.checked else self._plainly(batches)
        try:
            self.constants, self.shapes = self._constants(), _each(lambda tensor: tensor.shape, batches)
            self.batches = _each(Tensor.clone, batches)
            self.replay = self.results = None  # frees the memory of the last recording
            self.replay, self.results = self.record(self.step, self.batches)
            results = self._again(batches)
            reason = None if self.checked else self._difference(moved)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
        if reason is None:
            self.checked = True
            return results
        self.given_up, self.replay = True, None
        progress.note(f"capture=auto: steps are launched one by one, because {reason}")
        if expected is None:
            return self.step(*batches)
        _copy(self._state(), [after for _, after in moved])
        return expected

    def _plainly(self, batches: Any) -> tuple[Any, list[tuple[Tensor, Tensor]]]:
        """Take the step plainly and take it back; return its results and every moved tensor before and after it."""
        before, random = self._snapshot(), devices.random_state()
        expected = self.step(*batches)
        after = self._snapshot()
        _copy(self._state(), before)
        devices.restore_random_state(random)
        return expected, list(zip(before, after, strict=True))

    def _snapshot(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self._state()]

    def _again(self, batches: Any) -> Any:
        _each(Tensor.copy_, self.batches, batches)
        self.replay()
        return _each(Tensor.clone, self.results)

    def _difference(self, moved: list[tuple[Tensor, Tensor]]) -> str | None:
        """Return what is wrong with the first replay, or None: each optimizer's step is compared by itself."""
        whole = dict(zip(map(id, self._state()), moved, strict=True))
        for optimizer in self.optimizers:
            steps = [(tensor, *whole[id(tensor)]) for tensor in _parameters(optimizer)]
            off = sum(_distance(now, after) for now, _, after in steps)
            length = sum(_distance(before, after) for _, before, after in steps)
            if not off <= TOLERANCE**2 * length:
                return f"the recorded step went astray by {(off / length).sqrt():.0%} of its length"
        return None

    def _constants(self) -> list[Any]:
        """Return the rates, and the network's own switches."""
        rates = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]
        return rates + [value for value in vars(self.network).values() if isinstance(value, (bool, int, float))]

    def _state(self) -> tuple[Tensor, ...]:
        """Return every tensor that a step moves."""
        held = (value for each in self.optimizers for state in each.state.values() for value in state.values())
        moments = [value for value in held if isinstance(value, Tensor)]
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


def _each(function: Callable[..., Any], *trees: Any) -> Any:
    """Apply a function to the tensors of nested tuples of one shape."""
    if isinstance(trees[0], Tensor):
        return function(*trees)
    return tuple(_each(function, *branches) for branches in zip(*trees, strict=True))


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance."""
    return (a.detach().double() - b.double()).square().sum().cpu()
