"""Checkpoints: the newest whole one counts, and a damaged one is noticed.

A checkpoint is written aside, synced and renamed; the one before it stays as `checkpoint.previous.pt`.
"""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from repro.files import write_bytes
from repro.progress import note

NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


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
        if (content := _read(path)) is not None:
            return content
        note(f"{path} is damaged and is passed over")
    return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with zipfile.ZipFile(path) as archive:  # a checkpoint is a zip file: its CRC-32 sums notice any flipped bit
            if archive.testzip() is not None:
                return None
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of many kinds: zip, zlib, pickle, header, value
        return None
