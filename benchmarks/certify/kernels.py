"""The kernels that steps are made of, each in two layouts and three precisions: seconds and bytes a second.

Sizes are those of the groups of edges in the first cells of the search: so many channels of 32 x 32 pixels.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import floors
from benchmarks.certify.stages import Rows, Settings
from benchmarks.measure import seconds
from repro.training import devices


class Convolution(NamedTuple):
    """Square kernels over all groups alike; stride 1, and the images stay as large."""

    inp: int
    out: int
    kernel: int
    dilation: int
    groups: int


SIZES = {"tiny": (2, 4, 2, 8), "paper": (64, 16, 8, 32)}  # images, channels of a cell, mixed operations, pixels
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
ROUNDS = {"cpu": 1, "cuda": 10}


def rows(settings: Settings) -> Rows:
    """Return a measurement for each kernel, layout and precision."""
    device = devices.pick(settings.device).type
    batch, channels, mixed, pixels = SIZES[settings.size]
    all_channels = channels * mixed
    kinds = {
        "depthwise 3x3": Convolution(all_channels, all_channels, 3, 1, all_channels),
        "depthwise 5x5": Convolution(all_channels, all_channels, 5, 1, all_channels),
        "depthwise 5x5, dilated": Convolution(all_channels, all_channels, 5, 2, all_channels),
        "grouped 1x1": Convolution(all_channels, all_channels, 1, 1, mixed),
        "dense 5x5": Convolution(channels, all_channels, 5, 1, 1),
    }
    images = batch, pixels
    found = {
        f"{kind}, {layout}, {precision}": partial(convolved, device, shape, images, layout, precision)
        for (kind, shape), layout, precision in product(kinds.items(), LAYOUTS, PRECISIONS)
    }
    sizes = mixed, channels, batch * pixels**2
    return found | {f"batched product, {name}": partial(multiplied, device, sizes, name) for name in PRECISIONS}


def convolved(device: str, shape: Convolution, images: tuple[int, int], layout: str, precision: str) -> dict[str, Any]:
    """Measure a convolution forwards, and its two gradients."""
    (batch, pixels), dtype, memory = images, PRECISIONS[precision], LAYOUTS[layout]
    make = lambda *sizes: torch.randn(*sizes, device=device, dtype=dtype).contiguous(memory_format=memory)
    x, slope = make(batch, shape.inp, pixels, pixels), make(batch, shape.out, pixels, pixels)
    weight = make(shape.out, shape.inp // shape.groups, shape.kernel, shape.kernel)
    pads = shape.dilation * (shape.kernel // 2)
    how = [1, 1], [pads, pads], [shape.dilation] * 2, False, [0, 0], shape.groups
    forward = lambda: torch.ops.aten.convolution(x, weight, None, *how)
    backward = lambda *which: torch.ops.aten.convolution_backward(slope, x, weight, None, *how, [*which, False])
    parts = {"forward": forward, "of x": lambda: backward(True, False), "of weights": lambda: backward(False, True)}
    return timed(parts, device, precision)


def multiplied(device: str, sizes: tuple[int, int, int], precision: str) -> dict[str, Any]:
    """Measure the grouped 1x1 convolution as a batched product, and its two gradients."""
    groups, channels, places = sizes
    make = lambda *sizes: torch.randn(groups, *sizes, device=device, dtype=PRECISIONS[precision])
    weight, x, slope = make(channels, channels), make(channels, places), make(channels, places)
    parts: dict[str, Callable[[], Tensor]] = {
        "forward": lambda: weight @ x,
        "of x": lambda: weight.mT @ slope,
        "of weights": lambda: slope @ x.mT,
    }
    return timed(parts, device, precision)


def timed(parts: dict[str, Callable[[], Any]], device: str, precision: str) -> dict[str, Any]:
    """Return the seconds of each part, the best of some rounds, and the bytes a second that it moves."""
    torch.backends.cudnn.benchmark = True  # as in steps: the fastest algorithm for each shape
    devices.allow_tf32(precision == "tf32")
    found: dict[str, Any] = {}
    for name, part in parts.items():
        part()
        taken = min(seconds(part, device) for _ in range(ROUNDS[device]))
        found[name] = {"seconds": taken, "bytes a second": floors.count(part)["bytes"] / taken}
    devices.allow_tf32(False)
    return found
