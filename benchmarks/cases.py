"""What is timed: a step in the plain formulation and in ours, at the paper's size and at a small one.

Plain and ours compute the same from the same weights; tests/ compares them number by number. `plain` is that of
`repro.darts` and `repro.spos`, but for evaluation. Variants of ours are what the experiments' parameters ask for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from repro.training import acceleration
from repro.training.cuda_graph import captured

ROOT = Path(__file__).resolve().parent.parent

Options = Mapping[str, Any]  # parameters of experiments: precision, channels_last, capture, compile, dense
GRAPH, LAYOUT, DENSE = {"capture": "auto"}, {"channels_last": "auto"}, {"dense": True}
TF32, BF16 = {"precision": "tf32"}, {"precision": "bf16"}
VARIANTS: Mapping[str, Options] = {  # one at a time, then together; what is compiled takes minutes: last
    "float32": {},
    "graph": GRAPH,
    "tf32": TF32,
    "bf16": BF16,
    "layout": LAYOUT,
    "dense": DENSE,
    "layout, bf16": {**LAYOUT, **BF16},
    "graph, tf32": {**GRAPH, **TF32},
    "graph, bf16": {**GRAPH, **BF16},
    "graph, layout, bf16": {**GRAPH, **LAYOUT, **BF16},
    "graph, dense, tf32": {**GRAPH, **DENSE, **TF32},
    "graph, dense, bf16": {**GRAPH, **DENSE, **BF16},
    "graph, layout, dense, bf16": {**GRAPH, **LAYOUT, **DENSE, **BF16},
    "compile": {"compile": "auto"},
    "layout, bf16, compile": {**LAYOUT, **BF16, "compile": "auto"},
}
# What is timed beside the plain one: on a GPU ours in the arithmetic of `auto`, and replayed from a graph
FORMULATIONS: Mapping[str, Options | None] = {
    "plain": None,
    "ours": {},
    "eager": {"precision": "auto"},
    "fast": {"precision": "auto", **GRAPH},
}


@dataclass(frozen=True)
class Step:
    """A step that returns its loss, alone or first of all, and what it moves."""

    take: Callable[[], Any]
    network: nn.Module | None  # whose buffers move too
    optimizers: Sequence[torch.optim.Optimizer]

    def __call__(self) -> Tensor:
        """Take the step; return the loss."""
        found = self.take()
        return found[0] if isinstance(found, tuple) else found

    def parameters(self) -> list[Tensor]:
        """Return what the optimizers move."""
        return [p for each in self.optimizers for group in each.param_groups for p in group["params"]]

    def moving(self) -> list[Tensor]:
        """Return every tensor that the step moves, in an order that equal steps have alike."""
        buffers = self.network.buffers() if self.network else ()
        states = (each.state[p].values() for each in self.optimizers for p in self.parameters() if p in each.state)
        return [*self.parameters(), *buffers, *(v for v in chain(*states) if isinstance(v, Tensor))]


class Case(NamedTuple):
    """A step that is timed, of an experiment with these parameters."""

    make: Callable[[Options | None, str, str], Step]  # options or the plain formulation, size, device
    protocol: int  # steps of the paper's protocol
    experiment: str
    where: Mapping[str, Any]
    takes: frozenset[str]  # options that it has
    precisions: frozenset[str] = frozenset({"tf32", "bf16"})

    def variants(self) -> dict[str, Options]:
        """Return the variants that it has, by their names."""
        may = lambda each: each.keys() <= self.takes and each.get("precision", "tf32") in self.precisions
        return {name: each for name, each in VARIANTS.items() if may(each)}


def accelerate(options: Options | None, network: nn.Module, device: str) -> tuple[Callable[[Tensor], Tensor], bool]:
    """Let a network compute as the options ask; return what lays images out, and whether it computes in bf16."""
    options, place = options or {}, torch.device(device)
    bf16 = acceleration.precision(options.get("precision", "float32"), place) == "bf16"
    acceleration.compile_network(options.get("compile", "off"), network, place)
    asked = options.get("channels_last", "off")
    if device == "meta" and asked == "auto":
        place = torch.device("cuda")  # whose shapes are rehearsed
    return acceleration.lay_out(asked, network, lambda images: images, place), bf16


def replayed(options: Options, step: Callable[..., Any], network: nn.Module, *optimizers: torch.optim.Optimizer) -> Any:
    """Return the step, replayed from a graph where the options ask for it."""
    return captured(options.get("capture", "off"), step, network, optimizers)


def cases() -> dict[str, Case]:
    """Return every case that a CPU can compute at the paper's size, by its name."""
    from benchmarks import evaluation, recurrent, search

    return {**search.CASES, **evaluation.CASES, **recurrent.CASES}
