"""CIFAR-10 as files (DARTS Sect. 3.1): `<folder>/cifar10.npz`, or torchvision's `cifar-10-batches-py` beside it.

The md5 sums of the latter are checked, and the archive is then made from it.
"""

import hashlib
import os
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np

from repro.data import archives
from repro.errors import ReproError, unreadable
from repro.files import aside, make_folder
from repro.presence import require_cifar10, what_to_put
from repro.progress import note

Arrays = dict[str, np.ndarray]  # x_train, x_test: (N, H, W, C) uint8; y_train, y_test: (N,) int64
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MOST = 2**30  # bytes of a data set


def load(folder: Path) -> Arrays:
    """Return CIFAR-10 from a data folder, in either form; ReproError says what is missing or damaged."""
    path = folder / "cifar10.npz"
    if path.exists():
        return read(path)
    require_cifar10(folder)
    arrays = _from_torchvision(folder)
    try:
        write(path, arrays)
    except OSError as error:  # only a cache: a folder that may not be written still serves
        note(f"{path} cannot be written ({error}): CIFAR-10 will load slowly every time")
    return arrays


def fetch(folder: str | os.PathLike) -> None:
    """Download CIFAR-10 through torchvision into `folder`, check its md5 sums and make an archive of it.

    Raises ReproError when it cannot be had or its md5 sum is wrong.
    """
    from torchvision.datasets import CIFAR10

    path = make_folder(Path(folder)) / "cifar10.npz"
    try:
        CIFAR10(folder, download=True)
        write(path, _from_torchvision(path.parent))
    except (OSError, RuntimeError, HTTPException) as error:
        raise ReproError(f"CIFAR-10 could not be downloaded ({error}): {what_to_put(path.parent)}") from error


def _from_torchvision(folder: Path) -> Arrays:
    """Read `cifar-10-batches-py` after torchvision has compared its md5 sums."""
    from torchvision.datasets import CIFAR10

    try:
        train, test = CIFAR10(folder, train=True), CIFAR10(folder, train=False)
    except RuntimeError as error:  # torchvision's word for a missing file or a wrong md5 sum
        raise ReproError(
            f"{folder / 'cifar-10-batches-py'} is incomplete or has a wrong md5 sum: "
            "delete it and run `repro data fetch cifar10`"
        ) from error
    y_train, y_test = (np.asarray(part.targets, dtype=np.int64) for part in (train, test))
    return {"x_train": train.data, "y_train": y_train, "x_test": test.data, "y_test": y_test}


def read(path: Path) -> Arrays:
    """Read a prepared archive; its zip CRCs, and the sha256 the package put into its own, find any damage."""
    try:
        content = archives.read(path, MOST)
        stored = str(content["checksum"]) if "checksum" in content else None
        arrays = {name: content[name] for name in ARRAYS}
    except KeyError as error:
        raise ReproError(f"{path} lacks an array ({error.args[0]}): it needs {', '.join(ARRAYS)}") from error
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        reason = unreadable(error, "archive of numbers alone")
        raise ReproError(f"{path} cannot be read: {reason}; delete it and run `repro data fetch cifar10`") from error
    if stored and stored != checksum(arrays):
        raise ReproError(f"{path} has a wrong checksum: delete it and run `repro data fetch cifar10`")
    return arrays


def write(path: Path, arrays: Arrays) -> None:
    """Write the archive beside its place, then move it there, so that nobody ever reads half of one."""
    with aside(path) as file:
        np.savez(file, **arrays, checksum=np.array(checksum(arrays)))


def checksum(arrays: Arrays) -> str:
    """Return the sha256 of the arrays' types, shapes and bytes, whatever file they came in (0.1 s for CIFAR-10)."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
