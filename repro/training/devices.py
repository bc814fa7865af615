"""The device a run works on, and the random state it works from."""

import platform
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from repro.data.seeds import mixed_seed
from repro.errors import ReproError

T = TypeVar("T")


def pick(name: str, threads: int = 0) -> torch.device:
    """Return the device: `auto` takes the first GPU if there is one; ReproError if `cuda` cannot be had.

    threads: CPU threads from now on; 0 leaves PyTorch's choice. Results are bit-identical for the same number.
    """
    allow_tf32(False)
    if threads:
        torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise ReproError("device=cuda, but PyTorch finds no GPU here; take device=auto or device=cpu")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def allow_tf32(allowed: bool) -> None:
    """Let a GPU compute float32 in TF32, or not: PyTorch lets it convolve so, but here float32 is float32."""
    # not by `fp32_precision`: torch.compile reads `allow_tf32`, and that raises once the other one has been set
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


def describe(device: torch.device) -> str:
    """Return the device's name for people: the GPU's, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"


def machine(device: torch.device) -> str:
    """Return the name of what computes: the GPU's, or that of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # another system than Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on all devices: what initialises, and then drops, draws from these states.

    Whatever else is drawn has a generator of its own, of a `mixed_seed`.
    """
    seed = mixed_seed(seed, "initialisation")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from this state
    torch.manual_seed(seed)


def timed(
    step: Callable[[], T], device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> tuple[T, float]:
    """Take a step, and wait until the device has done it; return its result and the seconds that it took."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    began = clock()
    result = step()
    wait()
    return result, clock() - began


class Stopwatch:
    """Seconds that the device spends in blocks of code, without waiting for it; read after it has been waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.blocks, self.before = device, [], 0.0

    def __enter__(self) -> None:
        self.began = self._now()

    def __exit__(self, *error: object) -> None:
        self.blocks.append((self.began, self._now()))

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """Return the time in all blocks so far."""
        if self.device.type != "cuda":
            return self.before + sum(end - began for began, end in self.blocks)
        return self.before + sum(began.elapsed_time(end) for began, end in self.blocks) / 1000

    def state_dict(self) -> dict[str, Any]:
        """Return the time so far."""
        return {"seconds": self.seconds()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the time in `state`."""
        self.before = state["seconds"]


def random_state() -> dict[str, Any]:
    """Return every global random state as plain values and tensors, fit for a checkpoint read with weights_only."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
