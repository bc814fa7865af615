"""Runs side by side on one machine: their results, order and share of it; what they say; Ctrl-C, once and twice."""

import io
import os
import signal
import time
from threading import Thread
from types import SimpleNamespace

import light
import pytest
from finished import existing_runs

from repro.cli import main
from repro.configs.registry import find
from repro.execution import pool, runner
from repro.recipe import run_recipe
from repro.runs import states

SEARCH, EVAL, TOY = (find(name) for name in ("cifar10-search", "cifar10-eval", "bilevel-toy"))

BESIDE = """
def others():
    return len([*run.path.parent.glob('*/began')])

(run.path / 'began').touch()
end = time.monotonic() + 120
while others() < 2 and time.monotonic() < end:
    time.sleep(0.05)
print('hello')
print('\\rsmoke:  50%|##', end='', file=sys.stderr)
print('\\rsmoke: 100%|####', file=sys.stderr)
run.finish({'valid_error': float(others()), 'run': os.environ['REPRO_RUN'], 'seed': run.params.seed})
"""


@pytest.fixture(autouse=True)
def _machine(tmp_path, monkeypatch):
    """Two cores, no GPU, and a Ctrl-C that is heard even where a shell's background jobs ignore it."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(pool, "cores", lambda: 2)
    monkeypatch.setattr(pool, "gpus", list)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_two_runs_work_at_a_time_and_what_they_say_is_told_apart(tmp_path, monkeypatch, capsys):
    light.notebook(tmp_path, monkeypatch, BESIDE)
    assert main(["run", "cifar10-search", "--seeds", "1,2"]) == 0
    for run in existing_runs():
        assert run.result == {"valid_error": 2.0, "run": str(run.path), "seed": run.params.seed}
    out, err = capsys.readouterr()
    for seed in (1, 2):
        assert f"cifar10-search/smoke,seed={seed}: hello\n" in out
        assert f"cifar10-search/smoke,seed={seed}: smoke: 100%|####\n" in err
        assert f"ran       cifar10-search/smoke,seed={seed} (" in out
    assert err.count("50%|##") == 0
    assert "runs: 100%" in err
    assert "REPRO_RUN" not in os.environ


def test_one_run_speaks_for_itself(tmp_path, monkeypatch, capsys):
    light.notebook(tmp_path, monkeypatch, BESIDE.replace("others() < 2", "others() < 1"))
    assert main(["run", "cifar10-search", "--seeds", "1,2", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "\nhello\n" in out
    assert "\rsmoke:  50%|##\rsmoke: 100%|####\n" in err
    assert "runs:" not in err


def test_results_are_those_of_runs_alone(tmp_path, monkeypatch):
    light.notebook(tmp_path, monkeypatch, "run.finish(notebooks.compute(run))", "bilevel-toy")
    jobs = runner.plan([(TOY, {"steps": steps}) for steps in (3, 4)], "smoke", with_needs=False)
    pool.run_all(jobs, "the command", 2)
    assert [job.outcome for job in jobs] == ["ran", "ran"]
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "alone"))
    for job in jobs:
        alone = run_recipe("bilevel-toy", "smoke", {"steps": str(job.run.params.steps)})
        for name in ("result.json", "trajectories.json", "params.json"):
            assert (job.run.path / name).read_bytes() == (alone.path / name).read_bytes()


# ---- which run when


def started(monkeypatch, requests, at_once=None, failing=()):
    """The names of the runs as they began (+) and ended (-), where each takes as long as others begin."""
    events = []

    def attempt(job, command, execution):
        events.append(f"+{job.run.path.name}")
        seen = 0
        while seen < len(events):  # others still begin
            seen = len(events)
            time.sleep(0.1)
        job.outcome = "failed" if job.run.path.name in failing else "ran"
        events.append(f"-{job.run.path.name}")

    monkeypatch.setattr(runner, "attempt", attempt)
    jobs = runner.plan(requests, "smoke", with_needs=True)
    pool.run_all(jobs, "the command", at_once)
    return events, {f"{job.experiment.name} {job.run.path.name}": job.outcome for job in jobs}


def most(events):
    """How many runs were at work at most."""
    sums = [sum(1 if event[0] == "+" else -1 for event in events[: count + 1]) for count in range(len(events))]
    return max(sums)


def seeds(count, **overrides):
    return [(SEARCH, {"seed": seed, **overrides}) for seed in range(count)]


@pytest.mark.parametrize(
    ("overrides", "at_once", "expected"),
    [
        ({}, None, 2),
        ({"threads": 2}, None, 1),
        ({"threads": 9}, None, 1),
        ({"threads": 0}, None, 1),
        ({"processes": 2}, None, 1),
        ({"device": "cuda"}, None, 1),
        ({"threads": 0}, 3, 3),
        ({"device": "cuda"}, 3, 3),
        ({}, 1, 1),
        ({}, 9, 5),
    ],
)
def test_runs_at_a_time_are_those_that_there_are_cores_for(monkeypatch, overrides, at_once, expected):
    events, _ = started(monkeypatch, seeds(5, **overrides), at_once)
    assert len(events) == 10
    assert most(events) == expected


def test_a_run_on_a_gpu_has_the_machine_for_itself(monkeypatch):
    monkeypatch.setattr(pool, "gpus", lambda: ["0"])
    assert most(started(monkeypatch, seeds(3))[0]) == 1
    assert most(started(monkeypatch, seeds(3, device="cpu", order=1))[0]) == 2


def test_the_longest_path_begins_first_and_needs_are_honoured(monkeypatch):
    events, outcomes = started(monkeypatch, [(TOY, {}), *seeds(3, order=1), (EVAL, {})], 1)
    order = [event[1:] for event in events if event[0] == "+"]
    needed = [name.split()[1] for name in outcomes if name.startswith("cifar10-search") and "order" not in name]
    assert set(order[: len(needed)]) == {*needed}  # then the selection, then the evaluation and what is alone
    assert {*outcomes.values()} == {"ran"}


def test_a_failure_skips_only_what_needs_it(monkeypatch):
    _, outcomes = started(monkeypatch, [(EVAL, {}), *seeds(2, order=1)], failing=["smoke,seed=1"])
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == {
        "cifar10-select smoke",
        "cifar10-eval smoke",
    }
    assert [outcome for name, outcome in outcomes.items() if "order" in name] == ["ran", "ran"]


# ---- what they say


def test_lines_come_whole_and_bars_are_states():
    told, stream = [], io.StringIO()
    lines = pool.Lines(SimpleNamespace(show=lambda name, state: told.append(state)), "toy/smoke", stream)
    for text in ("one ", "two\nthree\r\n\n", "\rsmoke:   5%|", "#   ", "\rsmoke:  41%|##", " x\n", "last"):
        lines.write(text)
    assert stream.getvalue() == "toy/smoke: one two\ntoy/smoke: three\ntoy/smoke: smoke:  41%|## x\n"
    assert [*dict.fromkeys(told)] == ["5%", "41%"]


# ---- Ctrl-C

BUSY = """
if run.params.seed == 2:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
with run.session():
    (run.path / 'began').write_text(str(os.getpid()))
    time.sleep(600)
"""


def press(folder, times):
    """Press Ctrl-C as soon as both runs are at work, and so many times."""
    end = time.monotonic() + 120
    while len([*folder.glob("*/*/began")]) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.5)


@pytest.mark.parametrize(("seeds", "times", "grace"), [("0,1", 1, 1000), ("1,2", 1, 1), ("1,2", 2, 1000)])
def test_ctrl_c_stops_all_runs_and_is_no_failure(tmp_path, monkeypatch, capsys, seeds, times, grace):
    light.notebook(tmp_path, monkeypatch, BUSY)
    monkeypatch.setattr(pool, "GRACE", grace)
    thread = Thread(target=press, args=(tmp_path / "runs", times))
    thread.start()
    assert main(["run", "cifar10-search", "--seeds", f"{seeds},3"]) == 130
    thread.join()
    assert capsys.readouterr().err.endswith("repro: stopped; the same command goes on from the last checkpoint\n")
    found = existing_runs()
    assert len(found) == 2
    for run in found:
        assert states.state(run).word == "stopped"
        assert not (run.path / "failure.txt").exists()
        with pytest.raises(ProcessLookupError):
            os.kill(int((run.path / "began").read_text()), 0)
