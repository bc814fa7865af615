"""A real search, killed with SIGKILL at twenty random moments, ends bit-identical to one that was left alone."""

import json
import random
import signal
import subprocess
import sys
import time

import torch

from repro import checkpoints

SEARCH = ["cifar10-search", "epochs=8", "images=96", "batch=16", "channels=2", "nodes=1", "device=cpu"]
KILLS = 20


def start(folder):
    command = [sys.executable, "-m", "repro.recipe", *SEARCH]
    environment = {"REPRO_RUNS": str(folder), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(folder):
    process = start(folder)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return next(folder.glob("cifar10-search/*"))


def without_times(run):
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (run / "metrics.jsonl").open()]


def test_killed_twenty_times_ends_bit_identical(tmp_path):
    began = time.monotonic()
    whole = finish(tmp_path / "whole")
    seconds = time.monotonic() - began
    dice = random.Random(20)
    kills = 0
    for _ in range(KILLS):
        process = start(tmp_path / "killed")
        # a run starts up in about half of its seconds; kill across that and the training
        try:
            process.wait(timeout=dice.uniform(0.4, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    killed = finish(tmp_path / "killed")
    assert kills >= 5
    assert (killed / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    assert without_times(killed) == without_times(whole)
    ours, theirs = checkpoints.load(killed), checkpoints.load(whole)
    for name, value in theirs["state"]["network"].items():
        assert torch.equal(value, ours["state"]["network"][name]), name


def test_interrupt_stops_cleanly_and_says_how_to_go_on(tmp_path):
    process = start(tmp_path)
    metrics = None
    while process.poll() is None and not metrics:
        metrics = [path for path in tmp_path.glob("*/*/metrics.jsonl") if path.stat().st_size]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    if process.returncode == 0:
        return  # it finished first
    assert process.returncode == 130
    assert error.rstrip().endswith("stopped; the same command goes on from the last whole epoch")
    assert "Traceback" not in error
    finish(tmp_path)
