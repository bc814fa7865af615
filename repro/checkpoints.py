"""Checkpoints: the newest whole one counts, and a damaged one is noticed.

A checkpoint is written aside, synced and renamed; the one before it stays as `checkpoint.previous.pt`.
"""

import io
import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from repro.errors import ReproError, unreadable
from repro.files import plain, write_bytes
from repro.progress import note

NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
KIND = "file of tensors"


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors and plain values) as the newest checkpoint; ReproError on a full disk, nothing lost."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    fresh = folder / "checkpoint.next.pt"
    write_bytes(fresh, buffer.getvalue())
    if (folder / NEWEST).exists():
        os.replace(folder / NEWEST, folder / PREVIOUS)
    os.replace(fresh, folder / NEWEST)


def load(folder: Path) -> dict[str, Any] | None:
    """Return the newest whole checkpoint, on the CPU, or None; a damaged one is passed over with a note."""
    for name in (NEWEST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            return read(path)
        except ReproError as error:
            note(f"{error}; it is passed over")
    return None


def read(path: str | Path) -> Any:
    """Read the tensors and plain values of a file, to the CPU, and run nothing in it.

    ReproError says what the file is where it is damaged or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"), open(path, "rb", opener=plain) as file:  # they advise otherwise
            if zipfile.is_zipfile(file):  # files of today are: their CRC-32 sums notice any flipped bit
                with zipfile.ZipFile(file) as archive:
                    refuse_bomb(file, archive)
                    if archive.testzip() is not None:
                        raise zipfile.BadZipFile
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it is a pickle that names {named[1]}, and so could run code" if named else unreadable(error, KIND)
    except Exception as error:  # of many kinds: file, zip, zlib, header, value
        what = unreadable(error, KIND)
    raise ReproError(f"cannot read {path}: {what}; accepted is what torch.save makes of a state dict or plain values")


def refuse_bomb(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile where the members of a file of tensors claim more bytes than it has: PyTorch compresses none."""
    if sum(member.file_size for member in archive.infolist()) > os.fstat(file.fileno()).st_size:
        raise zipfile.BadZipFile
