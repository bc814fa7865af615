"""A step as one CUDA graph: a GPU waits for the launches of many small kernels, and a graph launches them all at once.

A graph reads and writes the same memory every time, and holds numbers like the learning rate as constants. So batches
are copied to where it reads, there is a graph for each of their shapes, and where a rate or a switch of the network has
changed it is recorded anew. The first replay of every recording is compared with plain steps from the same state. A
step that cannot be recorded, or whose replay computes something else, is refused: plain from then on. Plain steps too
are taken on a stream of their own: autograd goes back on the streams it came by, and a recording cannot wait for the
default one.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
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

# Plain steps before the first recording: optimizers make their buffers, libraries choose their kernels. One of them is
# of the same shapes, rates and switches, as before every recording: what never comes again is not worth one
WARM_UP = 3
MOST = 64  # graphs at a time: windows of text have some fifty lengths
# Of the step's length; a step that reads a stale batch exceeds it. Two plain steps on a GPU may differ by the order of
# their sums, which bfloat16 and Eq. 8 amplify to some percent; where they do by more, the replay may too.
TOLERANCE, SPREADS = 0.3, 2.0
# Once a recording has failed, PyTorch before 2.13 draws no random number on a GPU any more, and until 2.14 its
# allocator goes on as if recording: it keeps what it should free
MENDED = 2, 14


def captured(asked: str, step: Step, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Step:
    """Return `step`, to be replayed from graphs if `asked` is auto and the network is on a GPU."""
    if asked == "off" or next(network.parameters()).device.type != "cuda":
        return step
    if parallel.size() > 1:
        progress.note("capture=auto: steps are launched one by one, because several processes share them")
        return step
    return Captured(step, network, optimizers)


@dataclass
class Recorded:
    """A graph that `replay` launches reads `batches`, moves what the step moves, and writes `results`."""

    replay: Callable[[], None]
    batches: Any
    results: Any
    constants: Hashable  # learning rates and switches that the graph holds

    def take(self, batches: Any) -> Any:
        """Take the step on other batches; return its results."""
        tree_map(Tensor.copy_, self.batches, batches)
        self.replay()
        return tree_map(Tensor.clone, self.results)


class Captured:
    """A step that moves a network by its optimizers, if any, replayed from a graph for each of the batches' shapes.

    All `graphs` use one pool of memory, since one is replayed at a time and its results are copied. They are dropped
    where an optimizer loads a state, which then lies elsewhere. `record` returns a replay and where its results lie.
    """

    def __init__(
        self,
        step: Step,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        record: Record | None = None,
    ) -> None:
        self.step, self.network, self.optimizers, self.record = step, network, optimizers, record or self._graph
        self.graphs: dict[Hashable, Recorded] = {}
        self.met: Counter[Hashable] = Counter()  # plain steps of each kind
        self.refused = False
        self.stream = torch.cuda.Stream() if record is None else None
        for optimizer in optimizers:
            optimizer.register_load_state_dict_post_hook(self._drop)

    def __call__(self, *batches: Any) -> Any:
        """Take a step; return its results."""
        with _aside(self.stream):
            return self._take(batches)

    def _take(self, batches: Any) -> Any:
        if self.refused:
            return self.step(*batches)
        shapes = tuple(tensor.shape for tensor in tree_leaves(batches))
        constants, graph = self._constants(), self.graphs.get(shapes)
        if graph is not None and graph.constants == constants:
            return graph.take(batches)
        self.met[shapes, constants] += 1
        new = self.met[shapes, constants] == 1 or self.met.total() <= WARM_UP
        if new or (graph is None and len(self.graphs) == MOST):
            return self.step(*batches)
        return self._first(batches, shapes, constants)

    def _drop(self, _: torch.optim.Optimizer) -> None:
        self.graphs.clear()
        self.met.clear()

    def _first(self, batches: Any, shapes: Hashable, constants: Hashable) -> Any:
        """Take the step from a new recording, if that moves everything as plain steps from the same state do."""
        random = devices.random_state()
        expected, moved = self._plainly(batches, random)
        try:
            self.graphs.pop(shapes, None)  # frees its memory
            self.graphs[shapes] = self._recorded(batches, constants)
            results = self.graphs[shapes].take(batches)
            reason = self._difference(moved, expected, results)
        except RuntimeError as error:
            reason = _line(error)
        if reason is None:
            return results
        self.graphs.clear()
        self.refused = True
        progress.note(f"capture=auto: steps are launched one by one, because {reason}")
        _copy(self._moving(), [before for before, *_ in moved])
        devices.restore_random_state(random)
        return self.step(*batches)

    def _recorded(self, batches: Any, constants: Hashable) -> Recorded:
        """Record the step, not yet taken; ReproError where plain steps would fail after a failure."""
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
        return Recorded(replay, batches, results, constants)

    def _graph(self, step: Step, batches: Any) -> tuple[Callable[[], None], Any]:
        """Record a step on `batches` without taking it; RuntimeError if something in it cannot be recorded."""
        graph, pool = torch.cuda.CUDAGraph(), self.pool if self.graphs else None  # a pool goes with its last graph
        with torch.cuda.graph(graph, pool, stream=torch.cuda.current_stream()):
            results = step(*batches)
        self.pool = graph.pool()
        return graph.replay, results

    def _plainly(self, batches: Any, random: dict[str, Any]) -> tuple[Any, list[tuple[Tensor, ...]]]:
        """Take the step plainly, twice, and take it back; `random` is the state it draws from.

        Return its results, and every tensor that it moves: before, after the first time, after the second time.
        """
        snapshots = [self._snapshot()]
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

    def _constants(self) -> Hashable:
        """Return what a graph holds: the learning rates, and what decides in Python what the network computes."""
        rates = tuple(group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups)
        return rates, tuple(pair for pair in vars(self.network).items() if isinstance(pair[1], (bool, int, float)))

    def _moving(self) -> tuple[Tensor, ...]:
        """Return every tensor that a step moves."""
        values = (value for each in self.optimizers for state in each.state.values() for value in state.values())
        moments = [value for value in values if isinstance(value, Tensor)]
        return *(p for each in self.optimizers for p in _parameters(each)), *self.network.buffers(), *moments


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


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum((x.detach().double() - y.double()).square().sum().item() for x, y in zip(a, b, strict=True)) ** 0.5
