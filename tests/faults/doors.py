"""Where a run listens for connections while it works: alone, in a group, as a notebook, on a cluster of this machine.

Loopback is for the run's own processes: Gloo, the kernel's signed and encrypted channels, Dask by TLS. Any other
address is open to whoever reaches the machine: an AssertionError.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from listeners import beyond_loopback, watched

SMALL = {"images": 32, "batch": 16, "channels": 1, "nodes": 1, "epochs": 1, "device": "cpu"}
PAIRS = [f"{name}={value}" for name, value in SMALL.items()]
CHANGES = [part for pair in PAIRS for part in ("-p", pair)]
KINDS = {
    "recipe": ["repro.recipe", "cifar10-search", *PAIRS, "seed=1"],
    "recipe in two processes": ["repro.recipe", "cifar10-search", *PAIRS, "seed=2", "processes=2"],
    "notebook": ["repro.cli", "run", "cifar10-search", *CHANGES, "-p", "seed=3"],
    "notebook in two processes": ["repro.cli", "run", "cifar10-search", *CHANGES, "-p", "seed=4", "-p", "processes=2"],
    "cluster of this machine": ["repro.cli", "run", "cifar10-search", *CHANGES, "-p", "seed=5", "--cluster", "local:2"],
    "report": ["repro.cli", "report"],
}


def scan(folder: Path) -> list[list]:
    """Run each kind and return for it how many sockets listened on loopback, and how many elsewhere: none."""
    rows = []
    for kind, command in KINDS.items():
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, "REPRO_RUNS": str(folder / "doors")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        found = watched(process)
        assert not beyond_loopback(found), f"{kind} listens at {beyond_loopback(found)}"
        rows.append([kind, len(found), 0])
        print(f"{kind}: {dict(Counter(address for address, _ in found))}", flush=True)
    return rows
