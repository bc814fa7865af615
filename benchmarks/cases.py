"""What is timed: a step in two formulations, at the paper's size and at a small one.

A case makes a step from a formulation, a size and a device. `plain` and `ours` compute the same from the same weights;
tests/ compares them number by number. `plain` is that of `repro.darts`, but for evaluation. On a GPU there are two
more: `eager` is ours in the arithmetic and the layout that `auto` takes, and `fast` replays it from a graph.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from repro.training import acceleration

ROOT = Path(__file__).resolve().parent.parent


def accelerate(formulation: str, network: nn.Module, device: str) -> tuple[acceleration.Prepare, bool]:
    """Give a network the layout and the arithmetic of a formulation; return what lays images out, and whether in bf16.

    `plain` and `ours` compute in float32.
    """
    fast, place = formulation in ("eager", "fast"), torch.device(device)
    bf16 = acceleration.precision("auto" if fast else "float32", place) == "bf16"
    return acceleration.lay_out("auto" if fast else "off", network, lambda images: images, place), bf16


class Case(NamedTuple):
    """A step that is timed."""

    make: Callable[[str, str, str], Callable[[], object]]  # formulation, size, device -> a step
    protocol: int  # steps of the paper's protocol
    accelerated: bool = True  # has the formulations for a GPU


def cases() -> dict[str, Case]:
    """Return every case by its name."""
    from benchmarks import evaluation, recurrent, search

    return {**search.CASES, **evaluation.CASES, **recurrent.CASES}
