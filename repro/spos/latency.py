"""Latency of any path as a sum of measured blocks (SPOS Sect. 4, Table 5), and how far the sum is from the whole.

Everything is timed once a round, blocks and whole networks in turn, each right after a run that is not timed; a time
is the median over the rounds. So other load on the machine affects all alike, and most of it not at all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repro.darts.cnn.depthwise import laid_out
from repro.spaces.space import Cost, Gene
from repro.spos.network import SinglePath
from repro.training import devices
from repro.training.acceleration import autocast

Calls = Mapping[Any, Callable[[], object]]


@torch.no_grad()
def block_calls(network: SinglePath, x: Tensor) -> dict[Any, Callable[[], object]]:
    """Return what runs each choice of each layer, by its place (layer, choice, ...), and stem and head, by name.

    x: images (N, C, H, W); each layer is given what the layers before it, at their first choices, make of them.
    """
    calls: dict[Any, Callable[[], object]] = {"stem": lambda x=x: network.stem(laid_out(x))}
    x = calls["stem"]()
    for index, layer in enumerate(network.features):
        for choice in np.ndindex(*network.space.at(index)):
            calls[(index, *choice)] = lambda layer=layer, x=x, choice=choice: layer(x, *choice)
        x = calls[(index, *[0] * len(network.space.kinds))]()
    return calls | {"head": lambda: network.head(x)}


def path_calls(network: SinglePath, x: Tensor, genes: Sequence[Gene]) -> Calls:
    """Return what runs the whole network along each gene, by the gene."""
    return {gene: lambda gene=gene: network(x, gene) for gene in genes}


@torch.no_grad()
def timed(calls: Calls, rounds: int, device: torch.device, bf16: bool = False) -> Iterator[dict[Any, float]]:
    """Yield, round by round, the milliseconds of each call; with `bf16` computed so where autocast does."""
    with autocast(bf16, device):
        for _ in range(rounds):
            row = {}
            for key, call in calls.items():
                call()
                row[key] = 1e3 * devices.timed(call, device)[1]
            yield row


def summed(network: SinglePath, times: Mapping[Any, float]) -> Cost:
    """Return the milliseconds of any path of a network, of the times of its blocks."""
    rows = [np.zeros(network.space.at(index)) for index in range(len(network.features))]
    for index, row in enumerate(rows):
        for choice in np.ndindex(*row.shape):
            row[choice] = times[(index, *choice)]
    return Cost.of_layers("milliseconds", times["stem"] + times["head"], rows)
