"""Files that are whole or absent: everything is written aside, synced and renamed.

Folders may be shared with strangers, and runs may come from them: what is written follows no link that stands in its
place, and what is read is a plain file of a bounded size, which cannot be waited for and ends.
"""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from repro.errors import ReproError

MOST = 2**26  # bytes of a text or JSON file that are read
LARGEST = 2**36  # bytes of any file
PARTIAL = ".partial"  # in the names of what is not whole yet


def plain(path: str | os.PathLike, flags: int) -> int:
    """Open a plain file of at most LARGEST bytes without waiting: an opener for `open`. OSError for any other kind."""
    number = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    held = os.fstat(number)
    if stat.S_ISREG(held.st_mode) and held.st_size <= LARGEST:
        return number
    os.close(number)
    if stat.S_ISREG(held.st_mode):
        raise OSError(errno.EFBIG, f"it has {held.st_size:,} bytes, more than {LARGEST:,}", str(path))
    raise OSError(errno.EINVAL, "it is not a plain file", str(path))


def own(path: str | os.PathLike, flags: int) -> int:
    """Open a plain file and no link to one, as `plain` does: for writing."""
    return plain(path, flags | os.O_NOFOLLOW)


def read_bytes(path: str | os.PathLike, most: int = MOST) -> bytes:
    """Return the content of a plain file; OSError for any other kind, and beyond `most` bytes."""
    with open(path, "rb", opener=plain) as file:
        held = os.fstat(file.fileno()).st_size
        content = (file.read(most + 1) or b"") if held <= most else b""  # None where it would be waited for
    if max(held, len(content)) > most:
        raise OSError(errno.EFBIG, f"it has more than the {most:,} bytes that are read of such a file", str(path))
    return content


def read_text(path: str | os.PathLike) -> str:
    """Return the content of a plain UTF-8 file; OSError as `read_bytes`, and UnicodeDecodeError."""
    return read_bytes(path).decode("utf-8")


@contextmanager
def aside(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes the place of `path`, synced, with the end of the block; on an error the old one stays."""
    stem = path.name if len(os.fsencode(path.name)) < 200 else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    for name in os.listdir(path.parent):  # of processes that were killed
        if name.startswith(f"{stem}.") and name.endswith(PARTIAL):
            with suppress(OSError):
                (path.parent / name).unlink()
    partial = path.with_name(f"{stem}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        with open(partial, "xb", opener=own) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def private(path: Path) -> Iterator[Path]:
    """Make a folder of mode 0700 beside `path`, for what is made in it and moved to `path`; gone with the block."""
    for stale in path.parent.glob(f".{path.name}{PARTIAL}.*"):  # of processes that were killed
        shutil.rmtree(stale, ignore_errors=True)
    with TemporaryDirectory(
        prefix=f".{path.name}{PARTIAL}.", dir=make_folder(path.parent), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically; on a full disk the old file stays and ReproError says so."""
    try:
        with aside(path) as file:
            file.write(content)
    except OSError as error:
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
        return _parsed(read_text(path))
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
        with open(path, "a", encoding="utf-8", opener=own) as file:
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
        lines = read_text(path).split("\n")[:-1] if path.exists() else []
    except (OSError, ValueError) as error:
        raise ReproError(f"{path} is not readable ({error}); delete its folder and run again") from error
    return _rows(path, lines, 1)


def read_end(path: Path, last: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many lines a file has, as `read_lines` counts them, and the `last` of them; it may be of any size."""
    count, end = 0, b""
    try:
        with open(path, "rb", opener=plain) as file:
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
    digest = hashlib.sha256()
    with open(path, "rb", opener=plain) as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


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
