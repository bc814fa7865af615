"""The command that certifies a GPU, rehearsed on a CPU: kills, deadlines, what is missing, and every stage."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.certify import __main__ as door
from benchmarks.certify import correctness, profile, search, stages, steps, summary
from benchmarks.certify.stages import Settings, Stage, read
from repro.settings import ROOT
from repro.training import fit

PAGES = ("docs/gpu.md", "README.md", "docs/speed.md")

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


@pytest.fixture
def rehearse(tmp_path, monkeypatch):
    """A stage's measurements of two steps, on the CPU, in this process; it returns what was written."""
    narrow = {"takes": frozenset({"capture", "precision"}), "precisions": frozenset({"bf16"})}
    few = {name: steps.CASES[name]._replace(**narrow) for name in ("search, order 1", "recurrent evaluation")}
    for module in (steps, profile):
        monkeypatch.setattr(module, "CASES", few)

    def work(name):
        assert stages.work(name, Settings(tmp_path, "cpu", "tiny", time.time() + 100)) == stages.DONE
        held = read(tmp_path, name)
        assert held["finished"], held
        return held["rows"]

    return work


def test_every_stage_is_rehearsed_on_a_cpu(rehearse, tmp_path, monkeypatch):
    """From the facts to a real search in the variant that the steps chose, and the table of it all."""
    monkeypatch.setattr(correctness, "tested", lambda name: {"passed": True})
    monkeypatch.setenv("REPRO_RUNS", "")
    assert rehearse("facts")["launches"]["eager"] > 0
    assert rehearse("correctness")["rnn_darts_v2"]["passed"]
    assert len(rehearse("kernels")) == 5 * 2 * 3 + 3
    rows = rehearse("steps")
    assert all(row["passed"] for row in rows.values())
    assert rows["search, order 1: graph, bf16"]["cosine"] == pytest.approx(1)
    assert all(row["peak_mib"] > 0 for row in rows.values())
    assert len(rehearse("profile")["search, order 1"]["longest"]) == profile.LONGEST
    best = summary.fastest(tmp_path, "search, order 1")[1]["options"]
    found = rehearse("search")["cifar10-search"]
    assert found["epochs"] == search.TINY["epochs"]
    assert found["options"] == {**search.PLAIN, **best}
    assert "| search, order 1 |" in summary.write(tmp_path)


def test_a_search_that_is_cut_off_goes_on(tmp_path, monkeypatch):
    """Shortly before its deadline it ends by itself, and says how far it came; here after an epoch."""
    monkeypatch.setenv("REPRO_RUNS", "")
    work = lambda seconds: stages.work("search", Settings(tmp_path, "cpu", "tiny", time.time() + seconds))
    saved = fit.save
    monkeypatch.setattr(fit, "save", lambda *given: (saved(*given), signal.raise_signal(signal.SIGALRM)))
    assert work(60) == stages.DONE
    held = read(tmp_path, "search")
    assert (held["finished"], held["rows"]["cifar10-search"]["epochs"]) == (False, 1)
    began = time.monotonic()
    monkeypatch.setattr(fit, "save", lambda *_: time.sleep(60))
    work(1.0)
    assert time.monotonic() - began < 30
    monkeypatch.setattr(fit, "save", saved)
    work(60)
    held = read(tmp_path, "search")
    assert (held["finished"], held["rows"]["cifar10-search"]["epochs"]) == (True, search.TINY["epochs"])


@pytest.mark.parametrize("name", steps.CASES)
def test_every_variant_has_its_shapes_on_meta(name):
    """Memory, operations and bytes of the tiny steps; the options that are none of a CPU's compute other ones here."""
    variants = steps.CASES[name].variants()
    for variant in {"layout", "dense"} & variants.keys() or ["float32"]:
        row = steps.measured(name, variant, variants[variant], "tiny", "meta")
        assert row["peak_mib"] > 0
        assert row["counted"]["operations"] > 0


def test_wrong_numbers_and_a_wrong_direction_are_seen(monkeypatch):
    """A variant whose step computes something else does not pass, so that no search takes it."""
    case = steps.CASES["recurrent evaluation"]

    def scaled(options, size, device):
        step = case.make(options, size, device)
        if options:
            step.network.embedding.register_hook(lambda gradient: -gradient)
        return step

    monkeypatch.setitem(steps.CASES, "wrong", case._replace(make=scaled))
    assert steps.measured("wrong", "float32", {}, "tiny", "cpu")["passed"]
    row = steps.measured("wrong", "tf32", {"precision": "tf32"}, "tiny", "cpu")
    assert (row["loss_difference"], row["passed"]) == (pytest.approx(0, abs=1e-5), False)


def test_without_pytest_the_vectors_are_compared(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest", None)
    assert stages.work("correctness", Settings(tmp_path, "cpu", "tiny", time.time() + 60)) == stages.DONE
    held = read(tmp_path, "correctness")
    assert held["rows"]["rnn_darts_v2"]["passed"]
    assert held["rows"]["test_a_compiled_network_trains"]["unfinished"] == "pytest is not installed"
    assert "  test_a_compiled_network_trains: pytest is not installed" in summary.line(held, 1.0, 0)


def test_what_promises_the_most_is_measured_first(tmp_path):
    names = [*steps.rows(Settings(tmp_path, "cpu", "tiny", 0.0))]
    assert [name.partition(": ")[0] for name in names[: len(steps.CASES)]] == [*steps.CASES]
    assert {name.partition(": ")[2] for name in names[: len(steps.CASES)]} == {"float32"}
    compiled = [name for name in names if "compile" in name]
    assert names[-len(compiled) :] == compiled


def test_the_page_of_gpus_tells_what_was_measured():
    """A line of its table for each step, and its other numbers."""
    folder = ROOT / "benchmarks" / "measured" / "nvidia-h200"
    page, readme, speed = (" ".join((ROOT / path).read_text().split()) for path in PAGES)
    rows = read(folder, "steps")["rows"]
    for case in steps.CASES:
        eager, graph = (rows.get(f"{case}: {variant}") for variant in ("float32", "graph"))
        best = graph or eager
        sped = f"{graph['seconds']:.3g} | {eager['seconds'] / graph['seconds']:.2g}" if graph else "|"
        cells = f"| {case} | {eager['seconds']:.3g} | {sped} | {best['hours']:.2g} | {best['peak_mib']:,.0f} |"
        assert f"{cells} {summary._limit(folder, case, best):.0%} |" in page
    plain, found = (rows[f"search, order 1: {variant}"]["seconds"] for variant in ("plain", "graph"))
    assert f"takes {plain:.2g} s, {plain / found:.1f} times as long as the replayed step" in page
    vectors = [row for row in read(folder, "correctness")["rows"].values() if "arrays" in row]
    assert f"all {sum(row['arrays'] for row in vectors)} arrays" in page
    assert f"largest relative difference of {max(row['largest'] for row in vectors):.1e};" in page
    (cosine,) = {f"{row['cosine']:.2f}" for row in rows.values() if "layout" in row.get("variant", "")}
    assert f"a cosine of {cosine} with" in page
    for variant in ("bf16", "tf32"):
        row = rows[f"search, order 1: graph, {variant}"]
        assert re.search(rf"\({row['seconds']:.3f} s;[^)]*{row['cosine']:.3f}", page)
    assert all(f"{found:.3g} " in text and f"{plain:.2g} s" in text for text in (page, readme, speed))


BARE = """
import sys
spare = "PIL distributed graphviz hypothesis matplotlib nbconvert nbformat pandas papermill"
sys.modules.update(dict.fromkeys([*spare.split(), "scipy", "seaborn", "sklearn", "torchvision", "tqdm"]))
from pathlib import Path
from benchmarks import __main__
from benchmarks.certify import facts, kernels, profile, search, stages, steps
import pytest
assert stages.work("correctness", stages.Settings(Path(sys.argv[1]), "cpu", "tiny", 1e10)) == stages.DONE
"""


def test_torch_numpy_and_pytest_are_enough(tmp_path):
    """For everything but drawing, the tests that need a GPU included: on a CPU they are collected and skipped."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run([sys.executable, "-c", BARE, str(tmp_path)], check=True, cwd=ROOT, env=variables)
    held = read(tmp_path, "correctness")
    assert held["finished"]
    assert held["rows"]["test_float32_agrees_with_the_cpu"]["skipped"] > 1


def test_make_gpu_takes_the_python_it_is_given():
    make = ["make", "--no-print-directory", "-n", "gpu"]
    words = lambda *given: subprocess.run([*make, *given], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert words("PYTHON=/a/python3") == "/a/python3 -m pytest -m gpu tests/test_gpu.py\n"
    assert words("VENV=/nowhere") == "python3 -m pytest -m gpu tests/test_gpu.py\n"


def test_wrong_vectors_fail_the_command_and_coarse_variants_do_not(tmp_path, capsys, monkeypatch):
    for name, well in (("correctness", False), ("steps", True)):
        held = {"stage": name, "rows": {"one": {"passed": False}}, "finished": False}
        stages.write(tmp_path, held)
        monkeypatch.setattr(door, "_process", lambda *_: stages.DONE)
        assert door._call(Stage(name, 0, 9), Settings(tmp_path, "cpu", "tiny", time.time() + 60)) is well
        assert "  one: did not pass" in capsys.readouterr().out
