"""Latency of any path as a sum of measured blocks (SPOS Sect. 4, Table 5), and of whole networks to check it by.

Everything is timed once a round, blocks and whole networks in turn, each right after a run that is not timed; a time
is the median over the rounds. On one thread of a CPU it is the thread's own time, which does not count how long other
programs had the processor; else it is what has passed.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, thread_time
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro.darts.cnn.depthwise import laid_out
from repro.spaces.space import Cost, Gene
from repro.spos.network import SinglePath
from repro.training import devices

Times = Mapping[tuple[Any, ...], float]
QUARTILES = 75, 25


class Measured(NamedTuple):
    """Milliseconds of a network: of any path by its blocks, their distances of the quartiles, and of whole paths."""

    cost: Cost
    spread: Cost
    whole: Mapping[Gene, float]


@torch.no_grad()
def measure(
    networks: Mapping[str, SinglePath],
    paths: Mapping[str, Sequence[Gene]],
    x: Tensor,
    rounds: int,
    follow: Callable[[], object] = lambda: None,
) -> dict[str, Measured]:
    """Measure the blocks of each network, in evaluation mode, and the whole of it along its `paths`.

    x: images (N, C, H, W), on the networks' device; `follow` is called after each round.
    """
    calls = {}
    for name, network in networks.items():
        network.eval()
        whole = {("whole", *gene): lambda network=network, gene=gene: network(x, gene) for gene in paths[name]}
        calls |= {(name, *key): call for key, call in (_blocks(network, x) | whole).items()}
    times = in_turn(calls, x.device, rounds, follow)
    return {name: _of(network, name, times) for name, network in networks.items()}


@torch.no_grad()
def in_turn(
    calls: Mapping[tuple[Any, ...], Callable[[], object]],
    device: torch.device,
    rounds: int,
    follow: Callable[[], object] = lambda: None,
) -> dict[tuple[Any, ...], list[float]]:
    """Return the milliseconds of every call in each round; `follow` is called after each."""
    clock = thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else perf_counter
    times = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            call()  # what is run again is warm
            times[key].append(1e3 * devices.timed(call, device, clock)[1])
        follow()
    return times


def _blocks(network: SinglePath, x: Tensor) -> dict[tuple[Any, ...], Callable[[], object]]:
    """Return what runs the stem, each choice of each layer, by its place (layer, choice, ...), and the head.

    Each layer is given what the layers before it, at their first choices, make of the images.
    """
    calls: dict[tuple[Any, ...], Callable[[], Any]] = {("stem",): lambda x=x: network.stem(laid_out(x))}
    x = calls["stem",]()
    for index, layer in enumerate(network.features):
        for choice in np.ndindex(*network.space.at(index)):
            calls[index, *choice] = lambda layer=layer, x=x, choice=choice: layer(x, *choice)
        x = calls[index, *[0] * len(choice)]()
    return calls | {("head",): lambda: network.head(x)}


def _of(network: SinglePath, name: str, times: Mapping[tuple[Any, ...], Sequence[float]]) -> Measured:
    """Return what was measured of one of the networks."""
    own = {key[1:]: values for key, values in times.items() if key[0] == name}
    middle = {key: float(np.median(values)) for key, values in own.items()}
    spread = {key: float(np.subtract(*np.percentile(values, QUARTILES))) for key, values in own.items()}
    whole = {key[1:]: value for key, value in middle.items() if key[0] == "whole"}
    return Measured(_summed(network, middle), _summed(network, spread), whole)


def _summed(network: SinglePath, times: Times) -> Cost:
    """Return the sum over the blocks of any path."""
    rows = [np.zeros(network.space.at(index)) for index in range(len(network.features))]
    for index, row in enumerate(rows):
        for choice in np.ndindex(*row.shape):
            row[choice] = times[index, *choice]
    return Cost.of_layers("milliseconds", times["stem",] + times["head",], rows)
