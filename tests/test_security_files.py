"""What strangers try with files: links, special files that block or never end, and archives that grow."""

import ast
import io
import os
import signal
import struct
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from repro import files
from repro.cli import main
from repro.configs.registry import find
from repro.data import cifar10, folders, loader, text
from repro.errors import ReproError
from repro.execution import engine
from repro.originals import rnn, vectors
from repro.runs.locks import lock
from repro.runs.run import open_run
from repro.settings import ROOT
from repro.spaces import genotypes, nas_bench
from repro.training import checkpoints

pytestmark = pytest.mark.usefixtures("folder")


# ---- links in shared folders


def victim(tmp_path):
    """A file that a stranger wants to be written to."""
    path = tmp_path / "victim"
    path.write_text("mine")
    return path


@pytest.mark.parametrize("name", [".lock", ".notebook.lock", ".processes.lock", ".brief.lock"])
def test_a_lock_follows_no_link(tmp_path, name):
    path = victim(tmp_path)
    (tmp_path / name).symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"), lock(tmp_path / name, wait=0):
        pass
    assert path.read_text() == "mine"


def test_writes_follow_no_link(tmp_path, monkeypatch):
    path = victim(tmp_path)
    names = iter(["planted", "free"])
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: next(names))
    os.symlink(path, tmp_path / "result.json.planted.partiaL")  # not swept, as one that appears later would not be
    monkeypatch.setattr(files, "PARTIAL", ".partiaL")
    monkeypatch.setattr(files.os, "listdir", lambda folder: [])
    with pytest.raises(ReproError, match="File exists"):
        files.write_json(tmp_path / "result.json", {"x": 1})
    (tmp_path / "result.json").symlink_to(path)
    files.write_json(tmp_path / "result.json", {"x": 1})  # takes the place of the link
    (tmp_path / "metrics.jsonl").symlink_to(path)
    with pytest.raises(ReproError, match="symbolic links"):
        files.append(tmp_path / "metrics.jsonl", "{}\n")
    assert path.read_text() == "mine"
    assert files.read_json(tmp_path / "result.json") == {"x": 1}


def test_a_killed_writer_leaves_nothing_for_ever(tmp_path):
    (tmp_path / "result.json.0123.partial").write_text("half")
    (tmp_path / "other.json.0123.partial").write_text("half")
    files.write_json(tmp_path / "result.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json.0123.partial", "result.json"]
    (tmp_path / ".notebook.ipynb.partial.killed").mkdir()
    with files.private(tmp_path / "notebook.ipynb") as aside:
        assert aside.stat().st_mode & 0o777 == 0o700
        assert not (tmp_path / ".notebook.ipynb.partial.killed").exists()
    assert not aside.exists()


def is_unsafe(node):
    """Whether a call reads or writes a file by its path, whatever stands there."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id == "open" and not any(keyword.arg == "opener" for keyword in node.keywords)
    names = ("read_text", "read_bytes", "write_text", "copystat", "copy2", "copytree")
    return isinstance(node.func, ast.Attribute) and node.func.attr in names


def test_no_file_is_opened_but_by_the_functions_that_are_safe():
    """A new `open(path)`, `write_text` or `read_bytes` anywhere in the package would bring an attack back."""
    found = Counter()
    for path in sorted((ROOT / "repro").rglob("*.py")):
        found[path.stem] += sum(map(is_unsafe, ast.walk(ast.parse(path.read_text()))))
    own = {  # files of the package itself, of a private folder, or the null device
        "cli": 1,
        "cluster": 2,
        "devices": 1,
        "engine": 1,
        "published": 1,
        "style": 1,
        "tls": 1,
    }
    reports = {"pages", "report"}  # what a report reads of itself
    assert {name: count for name, count in found.items() if count and name not in reports} == own


# ---- special files


def special(tmp_path):
    """Files that block, never end, or claim what nobody has."""
    os.mkfifo(tmp_path / "fifo.json")
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(2**40)
    return [tmp_path / "fifo.json", Path("/dev/zero"), tmp_path / "huge.json", tmp_path]


READERS = {
    "json": files.read_json,
    "lines": files.read_lines,
    "bytes": files.read_bytes,
    "sha256": files.sha256,
    "genotype": genotypes.load,
    "checkpoint": checkpoints.read,
    "recurrent": rnn.read_model,
    "reference": vectors.read,
    "arrays": cifar10.read,
    "notebook": engine.read,
    "corpus": lambda path: text._read(path, "ptb", path.parent, 10**7),
    "table": lambda path: nas_bench._table("a table", nas_bench.MACRO_SPACE, path, lambda text: []),
}


@pytest.mark.parametrize("name", READERS)
def test_nothing_that_is_read_by_name_can_block_or_have_no_end(name, tmp_path):
    def late(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    try:
        for path in special(tmp_path):
            with pytest.raises((ReproError, OSError)):
                READERS[name](path)
        with suppress(ReproError, OSError):  # which says that it is a plain file, and blocks
            READERS[name](Path("/proc/kmsg"))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_run_of_special_files_is_named_and_passed_over(folder, capsys):
    open_run(find("bilevel-toy"), "smoke", {})
    for name in (
        "params.json",
        "failure.txt",
        "metrics.jsonl",
        "result.json",
        "notebook.ipynb",
        "provenance.json",
        ".lock",
    ):
        run = open_run(find("bilevel-toy"), "smoke", {"steps": 3 + len(name)})
        (run.path / name).unlink(missing_ok=True)
        os.mkfifo(run.path / name)
    assert main(["list"]) == 0
    assert main(["status"]) == 0
    assert "not a plain file" in capsys.readouterr().out


# ---- bombs


def bomb(shape, kind="<f8", content=b""):
    """An .npz whose one array claims a shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in cifar10.ARRAYS:
            file.writestr(f"{name}.npy", header.getvalue() + content)
    return archive.getvalue()


@pytest.mark.parametrize("module", [cifar10, vectors])
@pytest.mark.parametrize(
    ("shape", "content"), [((50_000, 50_000), b""), ((2**62, 2**62), b""), ((2**18,), bytes(2**21))]
)
def test_an_archive_is_believed_no_more_than_it_holds(module, shape, content, tmp_path, monkeypatch):
    (tmp_path / "bomb.npz").write_bytes(bomb(shape, content=content))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("memory was taken"))
    monkeypatch.setattr(module, "MOST", 2**20)
    with pytest.raises(ReproError, match="cannot"):
        (cifar10.read if module is cifar10 else vectors.read)(tmp_path / "bomb.npz")


@pytest.mark.parametrize("read", [checkpoints.read, rnn.read_model])
def test_a_compressed_checkpoint_is_none(read, tmp_path):
    torch.save({"weight": torch.zeros(2**20)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as there, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as here:
        for member in there.infolist():
            here.writestr(member.filename, there.read(member), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 2**16
    with pytest.raises(ReproError, match="damaged"):
        read(tmp_path / "bomb.pt")


def test_a_picture_is_judged_by_its_header(tmp_path):
    (tmp_path / "val" / "a").mkdir(parents=True)
    claimed = struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + claimed + struct.pack(">I", zlib.crc32(b"IHDR" + claimed))
    data = zlib.compress(bytes(9))
    chunk += struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    (tmp_path / "val" / "a" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    os.mkfifo(tmp_path / "val" / "a" / "fifo.png")
    batch = loader._Files(folders.scan(tmp_path / "val"), lambda picture: picture)[[(0, 0), (1, 0)]]
    assert "13000 x 13000 pixels" in batch.unreadable[0]
    assert "not a plain file" in batch.unreadable[1]


def test_a_corpus_of_one_line_is_not_read(tmp_path):
    (tmp_path / "ptb").mkdir()
    with open(tmp_path / "ptb" / "ptb.train.txt", "wb") as file:
        file.truncate(2**32)
    for part in ("valid", "test"):
        (tmp_path / "ptb" / f"ptb.{part}.txt").write_text("a b\n")
    with pytest.raises(ReproError, match=r"ptb.train.txt cannot be read \(it has more than the"):
        text.load_corpus("ptb", tmp_path)
