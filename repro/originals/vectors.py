"""Reference files: .npz archives of numbers that the original implementations computed in float64.

An archive holds `config` (and `genotype`) as JSON, `weight/<name>` under the released names, inputs, and results.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro.data import archives
from repro.errors import ReproError, unreadable

Archive = Mapping[str, np.ndarray]
MOST = 2**30  # bytes of a file's arrays
EXACT = 1e-9
FINITE_DIFFERENCE = 1e-6  # it amplifies rounding


class Finding(NamedTuple):
    """What came of one array: the largest relative difference, and the largest that passes."""

    name: str
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return self.difference <= self.tolerance


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read every array of an archive, none of them pickled; ReproError if the file is damaged or something else."""
    if not Path(path).is_file():
        raise ReproError(f"cannot read {path}: there is no such file")
    if not zipfile.is_zipfile(path):
        raise ReproError(f"cannot read {path}: it is no .npz archive")
    try:
        return archives.read(path, MOST)
    except Exception as error:  # of many kinds: zip, zlib, header, value
        reason = unreadable(error, "archive of numbers alone")
        raise ReproError(f"cannot read {path}: {reason}; accepted are arrays that hold no pickled objects") from error


def entry(archive: Archive, name: str) -> Any:
    """Return what an archive holds as JSON: its `config` or its `genotype`."""
    return json.loads(str(archive[name]))


def released_weights(archive: Archive) -> dict[str, Tensor]:
    """Return the state dict of an archive, under the released names."""
    prefix = "weight/"
    return {name.removeprefix(prefix): torch.as_tensor(archive[name]) for name in archive if name.startswith(prefix)}


def difference(value: Tensor, expected: np.ndarray | Tensor) -> float:
    """Return the largest relative difference, infinite if shapes differ or a number is missing.

    Elements below a thousandth of the largest are measured against that thousandth: they are sums that almost cancel.
    """
    value, expected = (torch.as_tensor(each).detach().double() for each in (value, expected))
    if value.shape != expected.shape or not (torch.isfinite(value).all() and torch.isfinite(expected).all()):
        return float("inf")
    scale = expected.abs().clamp(min=1e-3 * expected.abs().max().item())
    return ((value - expected).abs() / scale.clamp(min=torch.finfo(torch.float64).tiny)).max().item()


def compare(archive: Archive, name: str, value: Tensor, tolerance: float = EXACT) -> Finding:
    """Return the finding on one array of the archive."""
    return Finding(name, difference(value, archive[name]), tolerance)
