"""What strangers try with processes, clusters and runs: each attack as it was made."""

import errno
import io
import os
import socket
import ssl
import subprocess
import sys
import tempfile

import doors
import pytest
import stand_ins
import torch
from hostile import malicious
from listeners import beyond_loopback, listeners, watched

from repro import files, recipe
from repro.cli import main
from repro.configs.registry import find
from repro.errors import ReproError, UsageError
from repro.execution import launcher, runner, tls, workers
from repro.runs import merge
from repro.runs.run import open_run
from repro.training import parallel

pytestmark = pytest.mark.usefixtures("folder")


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
