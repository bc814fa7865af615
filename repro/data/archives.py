"""Archives of arrays (.npz), which anyone may have made: headers and sizes are read first, and no pickles."""

import errno
import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from repro.files import plain

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(path: str | Path, most: int) -> dict[str, np.ndarray]:
    """Return the arrays of an archive, of at most so many bytes in all.

    OSError, ValueError, BadZipFile or zlib.error for what is no such archive.
    """
    with open(path, "rb", opener=plain) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if (size := sum(member.file_size for member in members)) > most:
            raise OSError(errno.EFBIG, f"its arrays have {size:,} bytes, more than {most:,}", str(path))
        return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read one array; ValueError if its header claims more than the archive has, before there is memory for it."""
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"an array of version {version}")
        shape, _, kind = HEADERS[version](file)
        if math.prod(shape) * max(kind.itemsize, 1) > member.file_size:
            raise ValueError(f"{member.filename} claims the shape {shape}, and has {member.file_size:,} bytes")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
