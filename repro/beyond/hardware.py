"""Hardware in the objective of a search in NAS-Bench-201's space: a cost for every operation of every edge.

SPOS limits a cost by discarding what exceeds it. DARTS can have it in its loss: under softmax(alpha) the expected cost
of a cell is the same weighted sum as Eq. 2, and alpha can be differentiated through it. All edges of a stage have the
same shapes, so an operation is measured as a sixth of a cell that has it on all edges, once for each stage. `none`, as
computed here, multiplies by zero.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from repro.beyond.cell_network import KERNELS, CellNetwork
from repro.spaces.nas_bench import EDGES_201, OPERATIONS_201
from repro.spaces.space import Cost, Gene
from repro.spos.latency import in_turn


@torch.no_grad()
def measure(
    network: CellNetwork, genes: Sequence[Gene], x: Tensor, rounds: int, follow: Callable[[], object]
) -> tuple[Cost, list[float]]:
    """Return the milliseconds of any cell's network by its measured operations, and of whole networks.

    x: images (N, C, H, W), on the network's device; `follow` is called after each of so many rounds.
    """
    network.eval()
    whole = {("whole", *gene): partial(network, x, gene) for gene in genes}
    times = in_turn(_parts(network, x) | whole, x.device, rounds, follow)
    middle = {key: float(np.median(values)) for key, values in times.items()}
    fixed = sum(value for key, value in middle.items() if key[0] == "fixed")
    row = [
        sum(len(cells) * middle["cell", stage, choice] for stage, cells in enumerate(network.stages)) / len(EDGES_201)
        for choice in range(len(OPERATIONS_201))
    ]
    return _alike("milliseconds", fixed, row), [middle["whole", *gene] for gene in genes]


def _parts(network: CellNetwork, x: Tensor) -> dict[tuple[object, ...], Callable[[], Tensor]]:
    """Return what runs all that is fixed, and in each stage a cell for each operation, which is on all of its edges."""
    calls: dict[tuple[object, ...], Callable[[], Tensor]] = {("fixed", "stem"): partial(network.stem, x)}
    x = network.stem(x)
    for stage, (cell, *_) in enumerate(network.stages):
        if stage:
            calls["fixed", stage] = partial(network.reductions[stage - 1], x)
            x = calls["fixed", stage]()
        for choice in range(len(OPERATIONS_201)):
            calls["cell", stage, choice] = partial(cell, x, (choice,) * len(EDGES_201))
    return calls | {("fixed", "head"): partial(network.head, x)}


def multiply_adds(network: CellNetwork, pixels: int) -> Cost:
    """Return the multiply-adds of any cell's network on images (in_channels, pixels, pixels), without poolings."""
    maps, cells = len(network.stem.weight) * pixels, sum(map(len, network.stages))
    # a reduction: 3x3 from C to 2C and from 2C to 2C, 1x1 from C to 2C, on a quarter of the pixels
    reductions = len(network.reductions) * (18 + 36 + 2) // 4 * maps**2
    fixed = maps * pixels * network.stem.weight[0].numel() + reductions + network.classifier.weight.numel()
    row = [cells * (KERNELS.get(choice, 0) * maps) ** 2 for choice in range(len(OPERATIONS_201))]
    return _alike("multiply-adds", fixed, row)


def _alike(name: str, fixed: float, row: Sequence[float]) -> Cost:
    """Return a cost whose operations are the same on all edges."""
    return Cost(name, fixed, np.tile(row, (len(EDGES_201), 1)))


def relative(cost: Cost) -> Cost:
    """Return where a cost lies between the cheapest network, which has 0, and the dearest, 1: on any machine."""
    least, most = cost.table.min(axis=1), cost.table.max(axis=1)
    table = cost.table / (most - least).sum()
    return Cost(f"of the way to the dearest network's {cost.name}", -table.min(axis=1).sum().item(), table)


def expected(network: CellNetwork, cost: Cost, weight: float) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return what maps alphas, [(6, 5)], to `weight` times the expected cost under the network's softmax(alpha / T)."""
    table = torch.as_tensor(cost.table).to(network.alpha)  # once: a captured step copies nothing from the host

    def term(alphas: Sequence[Tensor]) -> Tensor:
        shares = (alphas[0] / network.temperature).softmax(dim=1)
        return weight * (cost.fixed + (shares * table).sum())

    return term
