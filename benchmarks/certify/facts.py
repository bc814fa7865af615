"""What the machine is: card, versions, rates of copies and products, and what it costs to launch a kernel."""

import os
import platform
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks import floors
from benchmarks.certify.stages import Rows, Settings
from benchmarks.measure import seconds
from repro.runs import provenance
from repro.training import devices

OPTIONAL = ("pytest", "torchvision", "sklearn", "PIL", "scipy", "pandas", "matplotlib", "tqdm")
SIZES = {"tiny": {"cpu": (64, 2**12)}, "paper": {"cpu": (1024, 2**24), "cuda": (8192, 2**28)}}  # rows, float32 values
LAUNCHES = 1000


def rows(settings: Settings) -> Rows:
    """Return the measurements."""
    device = devices.pick(settings.device)
    rows, values = SIZES[settings.size].get(device.type, SIZES["paper"][device.type])
    return {
        "machine": lambda: machine(device),
        "rates": lambda: rates(device, rows, values),
        "launches": lambda: launches(device),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Return what computes, and with what."""
    found = {"machine": devices.machine(device), "cores": os.cpu_count(), "python": platform.python_version()}
    found |= {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    found |= {**provenance._commit(), "missing": [name for name in OPTIONAL if find_spec(name) is None]}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        found |= {"capability": f"{card.major}.{card.minor}", "processors": card.multi_processor_count}
        found |= {"memory_mib": round(card.total_memory / 2**20)}
    return found


def rates(device: torch.device, rows: int, values: int) -> dict[str, Any]:
    """Return the bytes a second of a copy, and the operations a second of products in three precisions."""
    found = {"copied bytes a second": floors.copy_rate(device.type, values, seconds)}
    for name, dtype in {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}.items():
        devices.allow_tf32(name == "tf32")
        found[f"{name} operations a second"] = floors.product_rate(device.type, dtype, rows, seconds)
    devices.allow_tf32(False)
    return found


def launches(device: torch.device) -> dict[str, Any]:
    """Return the seconds that a kernel takes which does next to nothing: launched alone, and replayed from a graph."""
    x = torch.zeros(1, device=device)

    def many() -> None:
        for _ in range(LAUNCHES):
            x.add_(1)

    best = lambda step: min(seconds(step, device.type) for _ in range(3)) / LAUNCHES
    found = {"eager": best(many)}
    if device.type == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            many()
        found["replayed"] = best(graph.replay)
    return found
