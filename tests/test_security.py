"""What strangers try: each attack as it was made, by the doors themselves, links, modes, special files and bombs."""

import subprocess
import sys
import time

import pytest
import torch
from hostile import malicious
from listeners import beyond_loopback, listeners

from repro import launcher, parallel
from repro.errors import ReproError
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
