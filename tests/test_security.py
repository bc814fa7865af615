"""What strangers try: each attack as it was made, by the doors themselves, links, modes, special files and bombs."""

import os
import socket
import ssl
import subprocess
import sys
import time

import pytest
import torch
from hostile import malicious
from listeners import beyond_loopback, listeners

from repro import launcher, parallel, tls, workers
from repro.cli import main
from repro.errors import ReproError, UsageError
from repro.experiments import find
from repro.runs import open_run

SMALL = {"images": 32, "batch": 16, "channels": 1, "nodes": 1, "epochs": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The runs folder."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def watched(*command):
    """Every address and port at which a command or what it starts listens before it ends, which it must do well."""
    process, found = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL), set()
    while process.poll() is None:
        found |= listeners(process.pid)
        time.sleep(0.3)
    assert process.returncode == 0
    return found


# ---- several processes


def test_a_group_of_processes_listens_on_loopback_alone():
    found = watched("repro.recipe", "cifar10-search", *(f"{k}={v}" for k, v in SMALL.items()), "processes=2")
    assert found
    assert not beyond_loopback(found)


def test_a_group_meets_where_only_its_user_may_go(tmp_path, monkeypatch):
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\nstat -c %a ${{REPRO_GROUP%/*}} > {tmp_path}/mode\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(launcher.sys, "executable", str(script))
    with pytest.raises(ReproError):
        launcher.compute(open_run(find("cifar10-search"), "smoke", {**SMALL, "processes": 2}))
    assert (tmp_path / "mode").read_text() == "700\n"


def test_what_a_process_is_told_is_not_executed(tmp_path):
    for program in malicious(tmp_path / "executed"):
        with pytest.raises(Exception, match="."):
            parallel._unpacked(torch.frombuffer(bytearray(program), dtype=torch.uint8))
    assert not (tmp_path / "executed").exists()
    value = {"order": torch.arange(3), "rows": [{"loss": 0.5}]}
    told = parallel._unpacked(parallel._packed(value))
    assert torch.equal(told["order"], value["order"])
    assert told["rows"] == value["rows"]


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
