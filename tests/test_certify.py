"""The command that certifies a GPU, rehearsed on a CPU: kills, deadlines, what is missing, and every stage."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.certify import __main__ as door
from benchmarks.certify import stages
from benchmarks.certify.stages import Settings, Stage, read
from repro.settings import ROOT

# A stage without torch, of three measurements; what the second one does differs from test to test
FAKE = """
import os, signal, sys, threading, time, types
sys.modules["torch"] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: True))
from pathlib import Path
from benchmarks.certify import __main__ as door, stages
from repro.errors import ReproError
threading.Thread(target=door.end_with_starter, daemon=True).start()
module = sys.modules["benchmarks.certify.facts"] = types.ModuleType("facts")
def second():
    {second}
module.rows = lambda settings: {{"first": lambda: {{"pid": os.getpid()}}, "second": second, "third": dict}}
sys.exit(stages.work("facts", stages.Settings(Path(sys.argv[1]), "cpu", "tiny", float(sys.argv[2]))))
"""


def call(folder, second, seconds=30, least=0.0, most=30.0):
    """Work on the stage FAKE; return whether that went well, and its file."""
    script = FAKE.format(second=second)
    with pytest.MonkeyPatch.context() as patch:
        words = lambda stage, settings: [sys.executable, "-c", script, str(folder), str(settings.until)]
        patch.setattr(door, "command", words)
        patch.setattr(door, "LEAST", least or 0.1)
        settings = Settings(folder, "cpu", "tiny", time.time() + seconds)
        well = door._call(Stage("facts", least, most), settings)
    return well, read(folder, "facts")


def test_a_stage_writes_every_measurement_and_is_finished_once(tmp_path, capsys):
    well, held = call(tmp_path, "return {'value': 1}")
    assert (well, held["finished"], [*held["rows"]]) == (True, True, ["first", "second", "third"])
    before = stages.file_of(tmp_path, "facts").stat().st_mtime_ns
    call(tmp_path, "raise RuntimeError('not called')")
    assert stages.file_of(tmp_path, "facts").stat().st_mtime_ns == before
    assert capsys.readouterr().out.splitlines()[-1] == "facts: finished before"


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("raise RuntimeError('CUDA error')", "RuntimeError: CUDA error"),
        ("return {'value': float('nan')}", "ValueError: Out of range float values are not JSON compliant"),
        ("os._exit(7)", "its process ended: 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "its process ended: -11"),
    ],
)
def test_a_failure_is_noted_and_a_new_process_goes_on(tmp_path, second, reason):
    well, held = call(tmp_path, second)
    assert not well
    assert held["rows"]["second"]["error"].startswith(reason)
    assert (held["finished"], [*held["rows"]][-1]) == (True, "third")


def test_a_deadline_ends_a_stage_and_the_next_call_goes_on(tmp_path, capsys):
    began = time.monotonic()
    well, held = call(tmp_path, "time.sleep(60)", most=3.0)
    assert time.monotonic() - began < 20
    assert (well, held["finished"]) == (True, False)
    assert held["rows"]["second"] == {"unfinished": "it was cut off at the deadline of its stage"}
    first = held["rows"]["first"]
    _, held = call(tmp_path, "return {'value': 1}")
    assert (held["finished"], held["rows"]["first"]) == (True, first)
    assert "third" in held["rows"]


def test_nothing_begins_that_does_not_fit(tmp_path, capsys):
    assert call(tmp_path, "pass", seconds=2, least=3.0)[0]
    assert not stages.file_of(tmp_path, "facts").exists()
    assert capsys.readouterr().out == "facts: not begun, it needs 3 s and 2 are left\n"


def test_a_user_can_bring_what_is_missing(tmp_path, capsys):
    _, held = call(tmp_path, "raise ReproError('no CIFAR-10')")
    assert (held["finished"], held["rows"]["second"]["unfinished"]) == (False, "no CIFAR-10")
    assert call(tmp_path, "return {}")[1]["finished"]


def test_another_device_needs_another_folder(tmp_path, capsys):
    call(tmp_path, "return {}")
    settings = Settings(tmp_path, "cuda", "paper", time.time() + 60)
    with pytest.raises(door.UsageError, match="was measured with --device cpu --small, not --device cuda"):
        door._call(Stage("facts", 0, 9), settings)


def test_a_kill_leaves_no_process_and_costs_one_measurement(tmp_path):
    script = "import sys; sys.path.insert(0, 'tests'); from pathlib import Path; import test_certify; "
    script += f"test_certify.call(Path({str(tmp_path)!r}), 'time.sleep(600)')"
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    file = stages.file_of(tmp_path, "facts")
    until(lambda: file.exists() and json.loads(file.read_text()).get("running") == "second")
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    first = read(tmp_path, "facts")["rows"]["first"]
    until(lambda: not os.path.exists(f"/proc/{first['pid']}"))
    held = call(tmp_path, "return {'value': 1}")[1]
    assert (held["finished"], held["rows"]["first"], held["rows"]["second"]["value"]) == (True, first, 1)


def until(reached):
    """Wait for something that happens within seconds."""
    for _ in range(1200):
        if reached():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in a minute")
