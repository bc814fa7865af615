"""Seconds and memory that a search step takes, against the plain formulation: one module for every edge and operation.

    python benchmarks/search_step.py [--sizes small paper] [--orders 1 2] [--rounds 5] [--device cpu] [--json FILE]

A step moves alpha on one batch, then w on another. Both formulations take the same steps in turns, in one process; the
ratio of each round is one sample. Peak memory comes from a process of its own for each formulation.
"""

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from plain_supernet import PlainSearchNetwork  # noqa: E402

from repro.image_search import ImageSearch  # noqa: E402
from repro.supernet import SearchNetwork  # noqa: E402

SIZES = {  # channels, cells, nodes, batch, image size, image channels
    "small": (4, 3, 2, 64, 8, 1),
    "paper": (16, 8, 4, 64, 32, 3),
}
STEPS = 50 * (25_000 // 64)  # of the paper's search
RATE, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0


class Plain:
    """The released search step: whole backward passes, and for the second order a second network built in each step."""

    def __init__(self, network: PlainSearchNetwork, order: int) -> None:
        self.network, self.order = network, order
        self.weights = list(network.parameters())
        self.optimizer = torch.optim.SGD(self.weights, RATE, MOMENTUM, weight_decay=DECAY)
        self.alpha_optimizer = torch.optim.Adam(network.alphas, 3e-4, (0.5, 0.999), weight_decay=1e-3)

    def step(self, train, valid):
        self.alpha_optimizer.zero_grad()
        if self.order == 1:
            self.loss(self.network, valid).backward()
        else:
            self.second_order(train, valid)
        self.alpha_optimizer.step()
        self.optimizer.zero_grad()
        self.loss(self.network, train).backward()
        torch.nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.optimizer.step()

    @staticmethod
    def loss(network, batch):
        images, labels = batch
        return cross_entropy(network(images), labels)

    def second_order(self, train, valid):
        """Leave the gradient of Eq. 7 in the alphas, with the finite difference of Eq. 8."""
        network, alphas = self.network, self.network.alphas
        slope = torch.autograd.grad(self.loss(network, train), self.weights)
        unrolled = copy.deepcopy(network)
        with torch.no_grad():
            for ahead, weight, part in zip(unrolled.parameters(), self.weights, slope, strict=True):
                buffer = self.optimizer.state[weight].get("momentum_buffer", 0)
                ahead.sub_(RATE * (MOMENTUM * buffer + part + DECAY * weight))
        self.loss(unrolled, valid).backward()
        vector = [weight.grad for weight in unrolled.parameters()]
        eps = 0.01 / torch.cat([part.flatten() for part in vector]).norm()
        sides = []
        for shift in (eps, -2 * eps, eps):
            with torch.no_grad():
                for weight, part in zip(self.weights, vector, strict=True):
                    weight.add_(shift * part)
            if len(sides) < 2:
                sides.append(torch.autograd.grad(self.loss(network, train), alphas))
        for alpha, ahead, plus, minus in zip(alphas, unrolled.alphas, *sides, strict=True):
            alpha.grad = ahead.grad - RATE * (plus - minus) / (2 * eps)


def ours(order: int, channels: int, cells: int, nodes: int, in_channels: int, device: str):
    network = SearchNetwork(channels, 10, cells, nodes, in_channels=in_channels).to(device)
    optimizer = torch.optim.SGD(network.weights(), RATE, MOMENTUM, weight_decay=DECAY)
    alpha_optimizer = torch.optim.Adam(network.alphas, 3e-4, (0.5, 0.999), weight_decay=1e-3)
    return ImageSearch(network, optimizer, alpha_optimizer, order=order, clip=CLIP).step


def plain(order: int, channels: int, cells: int, nodes: int, in_channels: int, device: str):
    network = PlainSearchNetwork(channels, 10, cells, nodes, in_channels=in_channels).to(device)
    network.alphas = [alpha.detach().to(device).requires_grad_() for alpha in network.alphas]
    return Plain(network, order).step


FORMULATIONS = {"plain": plain, "ours": ours}


def prepare(name: str, size: str, order: int, device: str):
    """Return a step of this formulation."""
    channels, cells, nodes, batch, pixels, in_channels = SIZES[size]
    torch.manual_seed(0)
    step = FORMULATIONS[name](order, channels, cells, nodes, in_channels, device)
    batches = [
        (torch.randn(batch, in_channels, pixels, pixels, device=device), torch.randint(10, (batch,), device=device))
        for _ in range(2)
    ]
    return lambda: step(*batches)


def seconds(step, device: str, clock) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    began = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def peak(name: str, size: str, order: int, device: str) -> float:
    """Return the peak memory of two steps in MiB, beyond that of a process that only imports."""
    step = prepare(name, size, order, device)
    before = resident()
    for _ in range(2):
        step()
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else resident() - before


def resident() -> float:
    """Return the largest size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in bytes where there is no /proc
    (peak,) = (text.split()[1] for text in status.read_text().splitlines() if text.startswith("VmHWM"))
    return int(peak) / 2**10


def peak_apart(name: str, size: str, order: int, device: str) -> float:
    """Measure `peak` in a process of its own."""
    call = f"import benchmarks.search_step as b; print(b.peak({name!r}, {size!r}, {order}, {device!r}))"
    output = subprocess.run([sys.executable, "-c", call], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(output.stdout)


def compare(size: str, order: int, arguments) -> dict:
    """Time both formulations in turns, after one step each to warm up."""
    steps = {name: prepare(name, size, order, arguments.device) for name in FORMULATIONS}
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    taken = {name: [] for name in steps}
    for round_ in range(arguments.rounds + 1):
        for name, step in steps.items():
            passed = seconds(step, arguments.device, clock)
            if round_:
                taken[name].append(passed)
    ratios = [a / b for a, b in zip(taken["plain"], taken["ours"], strict=True)]
    found = {"size": size, "order": order, "seconds": taken, "ratio": statistics.median(ratios)}
    found |= {"ratios": ratios, "hours": {name: statistics.median(t) * STEPS / 3600 for name, t in taken.items()}}
    if arguments.memory:
        found["peak_mib"] = {name: peak_apart(name, size, order, arguments.device) for name in FORMULATIONS}
    return found


def line(found: dict) -> str:
    medians = {name: statistics.median(taken) for name, taken in found["seconds"].items()}
    text = (
        f"search, {found['size']:5} size, order {found['order']}: plain {medians['plain']:.3f} s, "
        f"ours {medians['ours']:.3f} s, {found['ratio']:.2f} times as fast "
        f"({min(found['ratios']):.2f} to {max(found['ratios']):.2f})"
    )
    if found["size"] == "paper":
        text += f"; 50 epochs {found['hours']['plain']:.1f} h and {found['hours']['ours']:.1f} h"
    if "peak_mib" in found:
        memory = found["peak_mib"]
        text += (
            f"; peak memory {memory['plain']:.0f} and {memory['ours']:.0f} MiB, {memory['ours'] / memory['plain']:.2f}"
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=tuple(SIZES), default=list(SIZES))
    parser.add_argument("--orders", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action="store_true", help="measure peak memory too")
    parser.add_argument(
        "--cpu-time", action="store_true", help="seconds of CPU instead of the clock's, on a busy machine"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = []
    for size in arguments.sizes:
        for order in arguments.orders:
            results.append(compare(size, order, arguments))
            print(line(results[-1]), flush=True)
    if arguments.json:
        facts = {"torch": torch.__version__, "threads": arguments.threads, "device": arguments.device}
        arguments.json.write_text(json.dumps({**facts, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
