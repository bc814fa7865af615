"""Where the time of a step goes: its longest kernels, in the fastest variant whose numbers passed."""

from functools import partial
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from benchmarks.certify import summary
from benchmarks.certify.stages import Rows, Settings
from benchmarks.certify.steps import CASES
from benchmarks.measure import FIRST
from repro.training import devices

STEPS, LONGEST = {"tiny": 1, "paper": 3}, 25


def rows(settings: Settings) -> Rows:
    """Return a measurement for each case."""
    device = devices.pick(settings.device)
    return {name: partial(profiled, name, settings, device) for name in CASES}


def profiled(name: str, settings: Settings, device: torch.device) -> dict[str, Any]:
    """Return the longest kernels of a step, on a CPU the longest operations."""
    variant, row = summary.fastest(settings.folder, name) or ("float32", {"options": {}})
    step = CASES[name].make(row["options"], settings.size, device.type)
    for _ in range(FIRST[device.type]):
        step()
    on_gpu, count = device.type == "cuda", STEPS[settings.size]
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(count):
            step()
        if on_gpu:
            torch.cuda.synchronize()
    spent = lambda event: (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6 / count
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    events = sorted((event for event in profile.key_averages() if event.device_type == kind), key=spent, reverse=True)
    longest = [{"kernel": e.key, "seconds": spent(e), "times": e.count / count} for e in events[:LONGEST]]
    return {"variant": variant, "seconds": sum(map(spent, events)), "kernels": len(events), "longest": longest}
