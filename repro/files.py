"""Files that are whole or absent: everything is written aside, synced and renamed."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable
from functools import cache
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
    write_bytes(path, as_json(value))


def as_json(value: Any) -> bytes:
    """Return `value` as indented JSON; numbers must be finite or null."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """Read a JSON file; ReproError names the file when it is missing or damaged."""
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReproError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ReproError(f"{path} is not readable JSON ({error}); restore it or delete it and run again") from error


def read_object(path: Path, **kinds: Any) -> dict[str, Any]:
    """Read a JSON object that has the entries `kinds`, each of its type; ReproError names what is wrong."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ReproError(f"{path} is damaged: it holds no JSON object; restore it, or delete its folder and run again")
    for name, kind in kinds.items():
        if not isinstance(value.get(name), kind):
            raise ReproError(f"{path} is damaged: {name!r} is wrong or missing; restore it, or delete its folder")
    return value


def _parsed(text: str) -> Any:
    """Read JSON: ValueError for NaN, Infinity and 1e999, and for text that no file can hold (half a character)."""
    value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


def append(path: Path, text: str) -> None:
    """Add `text`, whole lines, to a file and sync it; ReproError on a full disk, which may leave a line cut short."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ReproError(f"cannot write {path}: {error.strerror or error}; make room, then run again") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line, none if it is missing; a last line without its end is left out.

    ReproError names a line that is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    except (OSError, ValueError) as error:
        raise ReproError(f"{path} is not readable ({error}); delete its folder and run again") from error
    return _rows(path, lines, 1)


def read_end(path: Path, last: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many lines a file has, as `read_lines` counts them, and the `last` of them; it may be of any size."""
    count, end = 0, b""
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(2**20), b""):
                count += block.count(b"\n")
                end += block
                if len(end) > 2**22 and end.count(b"\n") > last + 1:
                    end = b"\n".join(end.split(b"\n")[-last - 2 :])
        lines = end.decode(errors="replace").split("\n")[:-1][-last:]
    except FileNotFoundError:
        return 0, []
    except OSError as error:
        raise ReproError(f"{path} is not readable ({error}); delete its folder and run again") from error
    return count, _rows(path, lines, count - len(lines) + 1)


def _rows(path: Path, lines: list[str], first: int) -> list[dict[str, Any]]:
    """Return the objects that lines hold; ReproError names the one that holds none."""
    rows = []
    for number, line in enumerate(lines, first):
        try:
            rows.append(_parsed(line))
        except (ValueError, RecursionError) as error:
            raise ReproError(f"{path}, line {number} is damaged ({error}); delete its folder and run again") from error
        if not isinstance(rows[-1], dict):
            raise ReproError(f"{path}, line {number} is damaged: it is no JSON object; delete its folder and run again")
    return rows


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


def content_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder."""
    return sha256(path) if path.is_file() else _digest((name, sha256(file)) for name, file in _files(path))


@cache
def listing_of(path: Path) -> str:
    """Return the SHA-256 of the names and sizes of all files in a folder; looked at once in a process."""
    return _digest((name, file.stat().st_size) for name, file in _files(path))


def _files(folder: Path) -> list[tuple[str, Path]]:
    return sorted((str(file.relative_to(folder)), file) for file in folder.rglob("*") if file.is_file())


def _digest(rows: Iterable[tuple[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name, fact in rows:
        digest.update(f"{name}\0{fact}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
