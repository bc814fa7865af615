"""What strangers try: each attack as it was made, by the doors themselves, links, modes, special files and bombs."""

import ast
import errno
import io
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import doors
import numpy as np
import pytest
import stand_ins
import torch
from hostile import malicious
from listeners import beyond_loopback, listeners, watched

from repro import files, recipe
from repro.cli import main
from repro.configs.registry import find
from repro.data import cifar10, folders, loader, text
from repro.errors import ReproError, UsageError
from repro.execution import engine, launcher, runner, tls, workers
from repro.originals import rnn, vectors
from repro.runs import merge
from repro.runs.locks import lock
from repro.runs.run import open_run
from repro.settings import ROOT
from repro.spaces import genotypes, nas_bench
from repro.training import checkpoints, parallel


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The runs folder."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


# ---- several processes


def test_a_group_of_processes_listens_on_loopback_alone():
    command = [sys.executable, "-m", *doors.KINDS["recipe in two processes"]]
    found = watched(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    assert found
    assert not beyond_loopback(found)


def test_a_group_meets_where_only_its_user_may_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(launcher, "_process", stand_ins.note_mode)
    with pytest.raises(ReproError):
        launcher.compute(open_run(find("cifar10-search"), "smoke", {**doors.SMALL, "processes": 2}))
    assert [(tmp_path / f"mode{rank}").read_text() for rank in (0, 1)] == ["700", "700"]


def test_what_a_process_is_told_is_not_executed(tmp_path):
    for program in malicious(tmp_path / "executed"):
        with pytest.raises(Exception, match="."):
            parallel._read(torch.frombuffer(bytearray(program), dtype=torch.uint8))
    assert not (tmp_path / "executed").exists()
    buffer = io.BytesIO()
    torch.save([{"order": torch.arange(3), "rows": [{"loss": 0.5}]}], buffer)
    (told,) = parallel._read(torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8))
    assert torch.equal(told["order"], torch.arange(3))
    assert told["rows"] == [{"loss": 0.5}]


# ---- Dask


def test_a_local_cluster_talks_to_none_without_its_certificate():
    from distributed import Client

    with workers.connected("local:1") as client:
        found = listeners(os.getpid())
        assert not beyond_loopback(found)
        port = int(client.scheduler.address.rpartition(":")[2])
        assert ("127.0.0.1", port) in found
        with pytest.raises(OSError, match="."):
            Client(f"tcp://127.0.0.1:{port}", timeout=0.5, set_as_default=False)
        with pytest.raises(OSError, match="."):
            Client(f"tls://127.0.0.1:{port}", timeout=0.5, set_as_default=False, security=tls.temporary())
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", port))
        with pytest.raises(ssl.SSLError), anyone.wrap_socket(plain) as talk:
            talk.recv(1)  # TLS 1.3 says only here that a certificate is wanted


def test_a_worker_listens_at_the_address_that_leads_to_its_scheduler():
    assert workers._leading_to("127.0.0.1:8786") == "tls://127.0.0.1"
    assert workers._leading_to("tls://[::1]:8786") == "tls://[::1]"


@pytest.mark.parametrize("command", ["worker", "run"])
def test_without_a_certificate_nothing_starts(command, folder, tmp_path, capsys):
    address = ["bilevel-toy", "--cluster", "192.0.2.1:8786"] if command == "run" else ["192.0.2.1:8786"]
    assert main([command, *address]) == 2
    assert "executes code as you" in capsys.readouterr().err
    assert main(["certificates", str(tmp_path / "tls")]) == 0
    assert capsys.readouterr().out.startswith("dask scheduler --protocol tls ")
    (tmp_path / "tls" / tls.KEY).chmod(0o640)
    assert main([command, *address, "--tls", str(tmp_path / "tls")]) == 2
    assert "may be read or written by other users (mode 640)" in capsys.readouterr().err
    assert not folder.exists()


def test_a_certificate_is_for_its_user_alone(tmp_path):
    tls.make(tmp_path / "tls")
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "tls", tmp_path / "tls" / tls.KEY)] == [
        "0o700",
        "0o600",
    ]
    with pytest.raises(UsageError, match="exists: name a new folder"):
        tls.make(tmp_path / "tls")
    (tmp_path / "tls" / tls.KEY).write_text("")
    with pytest.raises(UsageError, match="no certificate with its key"):
        tls.security(tmp_path / "tls")


# ---- runs of others


def test_merge_takes_no_modes_and_leaves_holes(folder, tmp_path):
    with pytest.MonkeyPatch.context() as there:
        there.setenv("REPRO_RUNS", str(tmp_path / "there"))
        run = open_run(find("bilevel-toy"), "smoke", {})
    big = 2**32
    with open(run.path / "program", "wb") as file:
        file.write(b"#!/bin/sh\n")
        file.seek(2**20)
        file.write(b"end")
        file.truncate(big)
    (run.path / "program").chmod(0o6777)
    os.utime(run.path / "program", (1, 2))
    assert [merged.word for merged in merge.merge(tmp_path / "there")] == ["copied"]
    held = (folder / "bilevel-toy" / "smoke" / "program").stat()
    mask = os.umask(0)
    os.umask(mask)
    assert held.st_mode & 0o7777 == 0o666 & ~mask
    assert (held.st_size, held.st_mtime) == (big, 2)
    assert held.st_blocks * 512 < 2**22
    with open(folder / "bilevel-toy" / "smoke" / "program", "rb") as file:
        assert file.read(10) == b"#!/bin/sh\n"
        file.seek(2**20)
        assert file.read(4) == b"end\0"


def test_merge_refuses_files_of_absurd_sizes_and_a_link_in_its_way(folder, tmp_path):
    with pytest.MonkeyPatch.context() as there:
        there.setenv("REPRO_RUNS", str(tmp_path / "there"))
        run = open_run(find("bilevel-toy"), "smoke", {})
    with open(run.path / "program", "wb") as file:
        file.truncate(files.LARGEST + 1)
    assert [merged.word for merged in merge.merge(tmp_path / "there")] == ["refused"]
    (run.path / "program").unlink()
    deep = os.open(run.path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=deep)
        deep, above = os.open("d", os.O_RDONLY, dir_fd=deep), deep
        os.close(above)
    os.close(deep)
    assert [merged.word for merged in merge.merge(tmp_path / "there")] == ["refused"]
    subprocess.run(["rm", "-rf", run.path / "d"], check=True)  # deeper than Python follows
    (tmp_path / "elsewhere" / "old" / "bilevel-toy" / "smoke").mkdir(parents=True)
    (folder / merge.ASIDE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a symbolic link, and merge would write there"):
        list(merge.merge(tmp_path / "there"))
    assert (tmp_path / "elsewhere" / "old" / "bilevel-toy" / "smoke").exists()


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


# ---- what machines lack


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EMFILE, "Too many open files"),
        RuntimeError("unable to mmap: Too many open files (24)"),
        MemoryError(),
        RuntimeError("can't allocate memory"),
    ],
    ids=repr,
)
def test_what_a_machine_lacks_is_one_line_and_the_next_run_is_tried(error, folder, monkeypatch, capsys):
    tried = []

    def execute(job, command, execution):
        tried.append(job.run.name)
        raise error

    monkeypatch.setattr(runner, "execute", execute)
    assert main(["run", "bilevel-toy", "cifar10-search", "--jobs", "1"]) == 1
    assert len(tried) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("repro: ")]
    assert said.startswith("repro: bilevel-toy/smoke and 1 other failed: ")
    if getattr(error, "errno", 0) == errno.ENOSPC:
        assert f"No space left on device in {folder}" in said
    monkeypatch.setattr(
        recipe, "find", lambda name: execute(runner.Job(None, {}, open_run(find("bilevel-toy"), "smoke", {})), "", None)
    )
    assert recipe.main(["bilevel-toy"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "genotype", ["nothing", "x" * 300, "DARTS_V2_RNN", "{}/missing.json", "{}/empty.json", "/dev/zero"]
)
def test_a_refused_genotype_leaves_no_folder(genotype, folder, tmp_path, capsys):
    (tmp_path / "empty.json").write_text("{}")
    pair = f"genotype={genotype.format(tmp_path)}"
    assert main(["run", "cifar10-eval", "-p", pair]) in (1, 2)
    assert recipe.main(["imagenet-eval", pair]) in (1, 2)
    assert recipe.main(["ptb-eval", "genotype=DARTS_V2"]) == 2
    assert capsys.readouterr().err.count("\n") == 3
    assert not folder.exists()
