"""Runs on a cluster: what one machine does, on two workers of which one is killed; bad addresses; Ctrl-C."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from threading import Thread
from types import SimpleNamespace

import pytest
from distributed import KilledWorker
from finished import existing_runs
from listeners import beyond_loopback, listeners
from prose import blocks, commands, section

from repro.cli import main
from repro.configs.registry import find
from repro.errors import ReproError, UsageError
from repro.execution import cluster, runner, tls, workers
from repro.recipe import run_recipe
from repro.runs import run as runs
from repro.runs import states

TINY = {"images": 32, "batch": 16, "channels": 1, "nodes": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The runs folder."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "no data"))
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def patience():
    """No test waits for ever."""

    def give_up(*_):
        raise TimeoutError("400 seconds are over")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(400)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def wait_until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def rows(run):
    """The run's metrics, without times."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.metrics()]


def kill_worker_of(run, killed):
    """Kill the worker that executes the run's notebook as soon as it has made some epochs."""
    wait_until(lambda: len(run.metrics()) > 3)
    killed.append(int((run.path / ".notebook.lock").read_text().split()[1]))
    os.kill(killed[0], signal.SIGKILL)


def test_a_worker_is_killed_and_all_runs_end_as_on_one_machine(folder, tmp_path, monkeypatch, capsys):
    search, elsewhere = {**TINY, "epochs": 24}, "run:cifar10-search/dataset=cifar10"
    requests = [
        (find("cifar10-search"), search),
        (find("cifar10-select"), {"search": elsewhere, "search_seeds": (0,)}),
        (find("bilevel-toy"), {"steps": 7}),
    ]
    jobs = runner.plan(requests, "smoke", with_needs=True)
    long = next(job.run for job in jobs if job.run.params.values().get("epochs") == 24)
    killed = []
    killer = Thread(target=kill_worker_of, args=(long, killed))
    killer.start()
    cluster.run_all(jobs, "the command", "local:2")
    killer.join()
    states_of = {run.path.name: states.state(run).word for run in existing_runs("cifar10-search")}
    assert states_of == {long.path.name: "done"}  # what lacks its data was refused by the worker, and left nothing
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "alone"))
    alone = run_recipe("cifar10-search", "smoke", {name: str(value) for name, value in search.items()})
    toy = run_recipe("bilevel-toy", "smoke", {"steps": "7"})
    assert long.result == alone.result
    assert rows(long) == rows(alone)
    assert json.loads((folder / "bilevel-toy" / toy.path.name / "result.json").read_text()) == toy.result
    assert {job.run.name: (job.outcome, job.message.partition(" in ")[0]) for job in jobs} == {
        long.name: ("ran", ""),
        "cifar10-search/smoke,dataset=cifar10": ("failed", "CIFAR-10 is not"),
        "cifar10-select/smoke,search=run:cifar10-search%2Fdataset=cifar10,search_seeds=0": (
            "skipped",
            "it needs cifar10-search/smoke,dataset=cifar10",
        ),
        f"bilevel-toy/{toy.path.name}": ("ran", ""),
    }
    assert "is lost; what it ran starts again from its checkpoint" in capsys.readouterr().err
    sessions = json.loads((long.path / "provenance.json").read_text())["sessions"]
    assert len(sessions) == 2
    assert {session["command"] for session in sessions} == {"the command"}


def test_a_run_that_kills_every_worker_has_failed(folder):
    run = runs.open_run(find("cifar10-search"), "smoke", TINY)
    (job,) = runner.plan([(find("cifar10-search"), TINY)], "smoke", with_needs=False)
    getting_on = iter([True, False])

    def die():
        if next(getting_on):
            (run.path / "checkpoint.pt").touch()
        raise KilledWorker("the run", None, workers.DEATHS)

    asked = []
    task = SimpleNamespace(result=die)
    client = SimpleNamespace(submit=lambda *what, **options: asked.append(what) or task, status="running")
    cluster.Board([job], "the command", None, [], client=client).work(job)
    assert len(asked) == 2  # once more after a new checkpoint
    assert job.outcome == "failed"
    assert str(states.state(run)) == f"failed, {job.message}"


def scheduler(command, port):
    """Start a scheduler on loopback, by the command that `repro certificates` prints."""
    _, _, *options = shlex.split(command)
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    started = subprocess.Popen([*dask, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: ("127.0.0.1", port) in listeners(started.pid))
    return started


def restart(schedulers, command, port, run):
    """Kill the scheduler as soon as the run has made some epochs, and start another one at its address."""
    wait_until(lambda: len(run.metrics()) > 3)
    schedulers[-1].kill()
    schedulers[-1].wait()
    schedulers.append(scheduler(command, port))


def test_the_scheduler_is_restarted_and_the_run_ends_as_on_one_machine(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "tls"
    start = tls.make(folder)
    schedulers = [scheduler(start, port)]
    command = [sys.executable, "-m", "repro.cli", "worker", f"127.0.0.1:{port}", "--tls", str(folder)]
    worker = subprocess.Popen(command, start_new_session=True)
    search = {**TINY, "epochs": 14}
    (job,) = runner.plan([(find("cifar10-search"), search)], "smoke", with_needs=False)
    restarter = Thread(target=restart, args=(schedulers, start, port, job.run))
    try:
        restarter.start()
        cluster.run_all([job], "the command", f"127.0.0.1:{port}", str(folder))
        found = listeners(worker.pid) | listeners(schedulers[-1].pid)
        restarter.join()
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        schedulers[-1].kill()
    assert len(schedulers) == 2
    assert len(found) > 3
    assert not beyond_loopback(found)
    assert (job.outcome, job.message) == ("ran", "")
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "alone"))
    alone = run_recipe("cifar10-search", "smoke", {name: str(value) for name, value in search.items()})
    assert job.run.result == alone.result
    assert rows(job.run) == rows(alone)


def test_ctrl_c_ends_everything_here_and_can_go_on(folder):
    command = [sys.executable, "-m", "repro.cli", "run", "cifar10-search", "--cluster", "local:1"]
    command += [part for name, value in {**TINY, "epochs": 999}.items() for part in ("-p", f"{name}={value}")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    wait_until(lambda: list(folder.glob("*/*/metrics.jsonl")) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "repro: stopped; the same command goes on from the last checkpoint"
    assert "Traceback" not in error
    (run,) = existing_runs()
    wait_until(lambda: states.state(run).word == "stopped", 60)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tcp://127.0.0.1:9",
        "127.0.0.1:9",
        "local:0",
        "local:x",
        "somewhere",
        "tcp://",
        "host:port",
        "a b:1",
        "local:2\n",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_starts(folder, address, capsys):
    assert main(["run", "bilevel-toy", "--cluster", address]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not folder.exists()


def test_a_worker_is_for_a_scheduler_elsewhere(capsys):
    assert main(["worker", "local:2"]) == 2
    assert main(["worker", "nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch, capsys):
    tls.make(tmp_path / "tls")
    monkeypatch.setattr(workers, "ANSWER", 0.3)
    assert main(["run", "bilevel-toy", "--cluster", "127.0.0.1:9", "--tls", str(tmp_path / "tls")]) == 1
    error = capsys.readouterr().err
    assert "no Dask scheduler with this certificate answers at 127.0.0.1:9" in error
    assert error.count("\n") == 1


def test_without_dask_the_command_that_installs_it_is_told(monkeypatch, capsys):
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    assert main(["run", "bilevel-toy", "--cluster", "local:2"]) == 1
    assert capsys.readouterr().err.endswith("need: pip install -r requirements.lock -e '.[cluster]'\n")


@pytest.mark.parametrize(
    ("answer", "threads", "message"),
    [
        (("other", True), 1, "the worker tcp://w has another version of this package"),
        ((None, False), 1, "the worker tcp://w does not see"),
        ((None, True), 4, "the worker tcp://w has 4 threads"),
        ((None, True), 1, None),
    ],
)
def test_workers_that_would_give_other_numbers_are_refused(folder, answer, threads, message):
    class Client:
        def run(self, function, token):
            code, sees = function(token)
            assert sees
            return {"tcp://w": (answer[0] or code, answer[1])}

        def nthreads(self):
            return {"tcp://w": threads}

    folder.mkdir()
    if message:
        with pytest.raises(ReproError, match=message):
            cluster.check_workers(Client())
    else:
        cluster.check_workers(Client())
    assert not list(folder.iterdir())


def test_a_worker_of_another_version_runs_nothing(folder):
    with pytest.raises(ReproError, match="package is not that of the one who asked"):
        cluster.work("bilevel-toy", "smoke", {}, "", {}, "other")
    assert not folder.exists()


def test_each_worker_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert workers.environments() == [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    assert workers.environments(1) == [{"CUDA_VISIBLE_DEVICES": "3"}]
    with pytest.raises(UsageError, match="3 workers, but 2 GPUs here"):
        workers.environments(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert workers.environments() == [{}]
    assert workers.environments(2) == [{}, {}]


def test_gpus_are_asked_of_the_driver(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert workers.gpus() == ["0", "1"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert workers.gpus() == []


def test_the_commands_for_clusters_are_ones_that_there_are():
    from repro.execution.arguments import parse

    (block,) = blocks("console", section("docs/cluster.md", "## Many runs, with Dask"))
    found = commands(block)
    assert [command[0] for command in found] == ["pip", "repro", "repro", "repro"]
    for command in found[1:]:
        options = parse(command[1:])
        if address := getattr(options, "address", None) or getattr(options, "cluster", None):
            with pytest.raises(UsageError, match="no certificate with its key"):
                workers.check(address, options.tls + "-that-is-not-there")


def test_the_plan_with_other_seeds(capsys):
    from repro.execution.arguments import whole_plan

    plan = whole_plan("smoke", "5,6")
    assert {changes["seed"] for _, changes in plan if "seed" in changes} == {5, 6}
    assert sum(experiment.name == "bilevel-toy" for experiment, _ in plan) == 1
    jobs = runner.plan(plan, "smoke", with_needs=False)
    assert len({job.run.path for job in jobs}) == len(jobs)
    assert main(["run", "--all", "--seeds", "x"]) == 2
