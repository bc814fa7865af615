"""Time the search, evaluation and recurrent steps against plain formulations.

    python -m benchmarks [--cases "search, order 1" evaluation ...] [--sizes small paper] [--rounds 3] [--to FOLDER]

Formulations take the same steps in turns, in one process. Prints a line for each case; writes JSON, then a figure.
"""

import argparse
import os
import platform
from pathlib import Path

import torch

from benchmarks import measure
from benchmarks.cases import cases
from repro.files import write_json
from repro.training import devices


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=list(cases()), default=list(cases()), metavar="CASE")
    parser.add_argument("--sizes", nargs="+", choices=("small", "paper"), default=["small", "paper"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    parser.add_argument("--memory", action="store_true", help="measure the peak memory of tensors too, after the times")
    parser.add_argument("--to", type=Path, default=Path("build/benchmarks"), help="folder for the JSON and the figure")
    arguments = parser.parse_args()
    device = devices.pick(arguments.device, arguments.threads)
    results = []
    for size in arguments.sizes:
        for name in arguments.cases:
            results.append(measure.compare(name, size, device.type, arguments.rounds, arguments.memory))
            print(measure.line(results[-1]), flush=True)
    write(arguments.to, results, device)


def write(folder: Path, results: list, device: torch.device) -> None:
    """Write what was measured, and on what."""
    machine = devices.describe(device)
    facts = {"machine": machine, "processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    facts["load_average"] = [round(load, 2) for load in os.getloadavg()]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{device.type}.json", {**facts, "results": results})
    try:
        from benchmarks import figure
        from repro.report import style
    except ModuleNotFoundError as error:
        print(f"wrote {folder}/{device.type}.json, and no figure: {error.name.partition('.')[0]} is not installed")
        return
    style.save(figure.compared(results, machine), folder / device.type, None)
    print(f"wrote {folder}/{device.type}.json, .svg, .pdf and .png")


if __name__ == "__main__":
    main()
