"""A real search, killed with SIGKILL at random moments, mostly within epochs, ends bit-identical to one left alone."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from golden import untimed

from repro.files import read_lines
from repro.training import checkpoints

SEARCH = {"epochs": "9", "images": "96", "batch": "16", "channels": "1", "nodes": "1", "device": "cpu"}
LONG = {**SEARCH, "epochs": "20"}  # so that it has not ended when Ctrl-C comes
KILLS = 5  # `make faults` has more


@pytest.fixture(scope="module")
def processes():
    """Processes that start with everything imported, so that a kill costs moments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["repro.experiments.cifar10_search", "sklearn.datasets", "torch._dynamo"])
    return context


def search(folder, minutes, values=SEARCH):
    os.environ["REPRO_RUNS"] = str(folder)
    from repro.recipe import run_recipe

    run_recipe("cifar10-search", "smoke", {**values, "checkpoint_minutes": minutes})


def finish(processes, folder, values=SEARCH):
    process = processes.Process(target=search, args=(folder, "10", values))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    return next(folder.glob("cifar10-search/*"))


def lines(folder):
    return sum(path.read_text().count("\n") for path in folder.glob("*/*/metrics.jsonl"))


def newest(folder):
    return next((checkpoints.load(path.parent) for path in folder.glob("*/*/checkpoint.pt")), None)


def written(folder):
    return [path.stat().st_mtime_ns for path in folder.glob("*/*/checkpoint.pt")]


def test_killed_at_random_moments_ends_bit_identical(processes, tmp_path):
    whole, dice, within = finish(processes, tmp_path / "whole"), random.Random(5), 0
    for kill in range(KILLS):
        # after every step, or after whole epochs; a kill comes some checkpoints later, or at some moment of the start
        process = processes.Process(target=search, args=(tmp_path / "killed", "10" if kill == 2 else "1e-9"))
        process.start()
        for _ in range(dice.choice((0, 1, 3, 5))):
            before = written(tmp_path / "killed")
            while written(tmp_path / "killed") == before and process.is_alive():
                time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the search ended before it was killed: give it more epochs"
        within += "within" in (newest(tmp_path / "killed") or {})
    assert within
    killed = finish(processes, tmp_path / "killed")
    assert len(json.loads((killed / "provenance.json").read_text())["sessions"]) > KILLS / 2
    assert (killed / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    ours, theirs = (untimed(read_lines(run / "metrics.jsonl")) for run in (killed, whole))
    assert ours == theirs
    ours, theirs = checkpoints.load(killed), checkpoints.load(whole)
    for name, value in theirs["state"]["network"].items():
        assert torch.equal(value, ours["state"]["network"][name]), name


def test_interrupt_stops_cleanly_and_says_how_to_go_on(processes, tmp_path):
    command = [sys.executable, "-m", "repro.recipe", "cifar10-search", *(f"{k}={v}" for k, v in LONG.items())]
    environment = {**os.environ, "REPRO_RUNS": str(tmp_path)}
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    while not lines(tmp_path) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.rstrip().endswith("stopped; the same command goes on from the last checkpoint")
    assert "Traceback" not in error
    assert (finish(processes, tmp_path, LONG) / "result.json").exists()
