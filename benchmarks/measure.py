"""Time formulations of one step in turns: each round gives one ratio, so that a noisy machine hits both alike.

Peak memory is that of a formulation alone, in the same process.
"""

import gc
import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import floors
from benchmarks.cases import FORMULATIONS, Step, cases
from repro.darts.complexity import peak_bytes
from repro.training import devices

FIRST = {"cpu": 1, "cuda": 5}  # steps before the first that counts; a captured step is recorded after three plain ones


def seconds(step: Callable[[], object], device: str) -> float:
    """Return the seconds that a step takes."""
    return devices.timed(step, torch.device(device))[1]


def compare(name: str, size: str, device: str, rounds: int, memory: bool) -> dict[str, Any]:
    """Return seconds, ratios, projected hours, floors and peak memory of a case's formulations."""
    case = cases()[name]
    formulations = list(FORMULATIONS)[: 4 if device == "cuda" and "bf16" in case.precisions else 2]
    make = lambda formulation: case.make(FORMULATIONS[formulation], size, device)
    steps = {formulation: make(formulation) for formulation in formulations}
    for step in steps.values():
        for _ in range(FIRST[device]):
            step()
    taken: dict[str, list[float]] = {formulation: [] for formulation in steps}
    rates = floors.peaks(device, seconds)
    for _ in range(rounds):
        for formulation, step in steps.items():
            taken[formulation].append(seconds(step, device))
    ratios = {
        formulation: [plain / ours for plain, ours in zip(taken["plain"], values, strict=True)]
        for formulation, values in taken.items()
        if formulation != "plain"
    }
    medians = {formulation: statistics.median(values) for formulation, values in taken.items()}
    counted = floors.count(steps["eager" if "eager" in steps else "ours"])  # a graph hides what it launches
    floor = floors.floor(counted, rates)
    found = {"case": name, "size": size, "seconds": taken, "median": medians, "ratios": ratios}
    found |= {"counted": counted, "peaks": rates, "floor": floor}
    found["fraction_of_floor"] = max(floor.values()) / medians[formulations[-1]]
    if size == "paper":
        found["hours"] = {formulation: value * case.protocol / 3600 for formulation, value in medians.items()}
    if memory:
        del steps, step
        found["peak_mib"] = {each: warmed(lambda each=each: make(each), device)[2] for each in formulations}
    return found


def warmed(make: Callable[[], Step], device: str) -> tuple[Step, list[float], float]:
    """Return a step after the first ones, their losses, and their peak memory in MiB.

    Elsewhere than on a GPU the memory of tensors is counted; on `meta` there are no losses.
    """
    if device == "cuda":
        gc.collect()  # what went before may hold itself
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    step = make()
    losses = []
    for number in range(FIRST.get(device, 1)):
        torch.manual_seed(number)
        losses.append(step())
    losses = [] if device == "meta" else [loss.item() for loss in losses]
    if device == "cuda":
        torch.cuda.synchronize()
        return step, losses, (torch.cuda.max_memory_allocated() - before) / 2**20
    for tensor in step.parameters():
        tensor.grad = None
    return step, losses, peak_bytes(step, step.moving(), torch.device(device)) / 2**20


def line(found: dict[str, Any]) -> str:
    """Return a comparison in words."""
    median, floor = found["median"], found["floor"]
    text = f"{found['case']}, {found['size']}: plain {median['plain']:.3g} s"
    for formulation, ratios in found["ratios"].items():
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        text += f"; {formulation} {median[formulation]:.3g} s, {statistics.median(ratios):.2f} times as fast ({spread})"
    text += f"; floors {floor['operations']:.2g} s (operations) and {floor['bytes']:.2g} s (bytes)"
    text += f", {found['fraction_of_floor']:.0%} reached; {found['counted']['launches']} operations launched"
    if "hours" in found:
        text += "; the paper's protocol " + ", ".join(f"{name} {value:.3g} h" for name, value in found["hours"].items())
    if "peak_mib" in found:
        peak = found["peak_mib"]
        text += "; peak memory " + ", ".join(f"{name} {value:.0f} MiB" for name, value in peak.items())
        text += f" ({peak['ours'] / peak['plain']:.2f})"
    return text
