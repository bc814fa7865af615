"""Time formulations of one step in turns: each round gives one ratio, so that a noisy machine hits both alike.

Peak memory comes from a process of its own for each formulation.
"""

import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import floors
from benchmarks.cases import ROOT, cases
from repro.training import devices

FIRST = {"cpu": 1, "cuda": 5}  # steps before the first that counts; a captured step is recorded after three plain ones


def seconds(step: Callable[[], object], device: str) -> float:
    """Return the seconds that a step takes."""
    return devices.timed(step, torch.device(device))[1]


def compare(name: str, size: str, device: str, rounds: int, memory: bool) -> dict[str, Any]:
    """Return seconds, ratios, projected hours, floors and peak memory of a case's formulations."""
    case = cases()[name]
    formulations = ("plain", "ours", *(("eager", "fast") if device == "cuda" and case.accelerated else ()))
    steps = {formulation: case.make(formulation, size, device) for formulation in formulations}
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
        del steps
        found["peak_mib"] = {formulation: peak_apart(name, size, formulation, device) for formulation in formulations}
    return found


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


def peak_apart(*case: str) -> float:
    """Measure `peak` in a process of its own."""
    call = f"from benchmarks.measure import peak; print(peak{case!r})"
    output = subprocess.run([sys.executable, "-c", call], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(output.stdout)


def peak(name: str, size: str, formulation: str, device: str) -> float:
    """Return the peak memory of the first steps in MiB, on a CPU beyond what the process held before them."""
    step = cases()[name].make(formulation, size, device)
    before = resident()
    for _ in range(FIRST[device] + 1):
        step()
    return torch.cuda.max_memory_reserved() / 2**20 if device == "cuda" else resident() - before  # graphs reserve


def resident() -> float:
    """Return the largest size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in bytes where there is no /proc
    (largest,) = (text.split()[1] for text in status.read_text().splitlines() if text.startswith("VmHWM"))
    return int(largest) / 2**10
