"""Files that are whole or absent: everything is written aside, synced and renamed."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from repro.errors import ReproError


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically; on a full disk the old file stays and ReproError says so."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        reason = error.strerror or error
        raise ReproError(
            f"cannot write {path}: {reason}; make room or choose another folder, then run again"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; numbers must be finite or null."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file; ReproError names the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReproError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ReproError(f"{path} is not readable JSON ({error}); restore it or delete it and run again") from error


def make_folder(path: Path) -> Path:
    """Create `path` with its parents; ReproError names the folder when that is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReproError(
            f"cannot create the folder {path}: {error.strerror}; choose a writable one with --runs or REPRO_RUNS"
        ) from error
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
