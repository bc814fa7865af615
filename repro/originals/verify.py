"""`repro verify`: this package against numbers that the original implementations computed, in float64 on the CPU.

A GPU computes search networks by another formulation than a CPU, so what holds on one is to be verified on the other.
A checker knows one kind of network: it takes an archive and yields a finding on each of its arrays. `CHECKERS` finds it
by a key that only the config of that kind has.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from repro.errors import ReproError, line
from repro.originals import verify_rnn, verify_spos
from repro.originals.vectors import Archive, Finding, entry, read
from repro.originals.verify_cnn import check_evaluation, check_search
from repro.training import devices

Checker = Callable[[Archive], Iterable[Finding]]
CHECKERS: dict[str, Checker] = {
    "kind": check_evaluation,
    "nodes": check_search,
    "ntoken": verify_rnn.check,
    "stage_channels": verify_spos.check,
}


def main(files: Sequence[str], device: str = "cpu") -> int:
    """Print one line for every array of every file; 0 if all hold, 1 if one does not, 2 if a file cannot be read."""
    status, place = 0, devices.pick(device)
    for file in files:
        try:
            found = verify(file, place)
        except ReproError as error:
            print(f"repro: {line(error)}", file=sys.stderr)
            status = 2
            continue
        print(table(file, found))
        status = max(status, int(not all(row.ok for row in found)))
    return status


def verify(path: str | Path, device: torch.device | str = "cpu") -> list[Finding]:
    """Run this package on a reference file and compare each of its arrays; ReproError if it is not such a file."""
    archive = read(path)
    try:
        with torch.device(device):  # networks are made there, and the archive's arrays become tensors there
            return list(checker(archive)(archive))
    except ReproError as error:
        raise ReproError(f"cannot check {path}: {error}") from error
    except KeyError as error:
        raise ReproError(f"cannot check {path}: it has no {error.args[0]!r}") from error
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ReproError(f"cannot check {path}: its arrays do not fit together: {reason}") from error


def table(path: str | Path, found: Iterable[Finding]) -> str:
    """Return one line for each array, under the name of the file."""
    lines = [
        f"  {row.name:28} {row.difference:9.1e}  (at most {row.tolerance:.0e})  {'ok' if row.ok else 'NOT OK'}"
        for row in found
    ]
    return "\n".join([str(path), *lines])


def checker(archive: Archive) -> Checker:
    """Return the checker for the kind of network that the archive's config describes."""
    config = entry(archive, "config")
    for key, check in CHECKERS.items():
        if key in config:
            return check
    raise ReproError(f"its config has the keys {', '.join(config)}: expected one of {', '.join(CHECKERS)} among them")
