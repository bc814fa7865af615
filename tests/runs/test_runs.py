"""Run directories: named by what differs, refused with other parameters, one writer at a time, done once."""

import json
import subprocess
import sys

import pytest

from repro import files
from repro.configs.registry import find
from repro.errors import ReproError
from repro.runs import provenance
from repro.runs import run as runs

pytestmark = pytest.mark.usefixtures("folder")


def test_name_tells_profile_and_what_differs(folder):
    run = runs.open_run(find("cifar10-search"), "smoke", {"seed": 3, "order": 1})
    assert run.path == folder / "cifar10-search" / "smoke,seed=3,order=1"
    held = json.loads((run.path / "params.json").read_text())
    assert held["profile"] == "smoke"
    assert held["parameters"] == run.params.values()
    assert runs.open_run(find("cifar10-search"), "smoke", {}).path.name == "smoke"


def test_name_of_a_hostile_value_stays_one_folder():
    run = runs.open_run(find("cifar10-eval"), "smoke", {"weights": "../../a b/{c}.json"})
    assert run.path.parent.name == "cifar10-eval"
    assert "/" not in run.path.name
    assert "{" not in run.path.name


def test_a_folder_that_holds_other_parameters_is_left_alone():
    run = runs.open_run(find("cifar10-search"), "smoke", {})
    held = json.loads((run.path / "params.json").read_text())
    held["parameters"]["lr"] = 0.5
    (run.path / "params.json").write_text(json.dumps(held))
    other = runs.open_run(find("cifar10-search"), "smoke", {})
    assert other.path.name.startswith("smoke~")
    assert runs.open_run(find("cifar10-search"), "smoke", {}).path == other.path
    assert runs.open_run(find("cifar10-search"), "smoke", {"lr": 0.5}).path == run.path


def test_long_names_of_two_runs_differ():
    paths = {runs.open_run(find("cifar10-eval"), "smoke", {"weights": "x" * 300 + end}).path for end in "ab"}
    assert len(paths) == 2


def test_result_comes_last_and_once():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    assert run.result is None
    with run.session():
        run.finish({"value": 1})
    run.finish({"value": 2})
    assert run.result == {"value": 1}
    facts = json.loads((run.path / "provenance.json").read_text())
    assert facts["versions"]["torch"]
    assert len(facts["sessions"]) == 1


def test_metrics_leave_out_a_line_cut_short():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    for epoch in range(3):
        run.log({"epoch": epoch})
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3')
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2]
    run.restart(run.metrics()[:2])
    assert [row["epoch"] for row in run.metrics()] == [0, 1]


def test_second_writer_is_told_who_holds_the_run(monkeypatch):
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    script = (
        "import sys, pathlib\nfrom repro.runs.locks import lock\n"
        "with lock(pathlib.Path(sys.argv[1]), 0):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(run.path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(ReproError, match=f"is in use by process {other.pid}"),
            runs.lock(run.path / ".lock", wait=0.2),
        ):
            pass
        other.stdin.close()
        other.wait()
    with run.session():
        pass


def test_a_process_believed_dead_writes_no_more():
    run, script = (
        runs.open_run(find("bilevel-toy"), "smoke", {}),
        "from repro.runs import provenance, run as runs\nfrom repro.configs.registry import find\n",
    )
    script += "run = runs.open_run(find('bilevel-toy'), 'smoke', {})\nprovenance.begin(run.path)"

    def lose():
        with run.session():
            run.log({"epoch": 0})
            subprocess.run([sys.executable, "-c", script], check=True)  # on a machine that does not see the lock
            run.log({"epoch": 1})

    with pytest.raises(ReproError, match="is worked on by another process since"):
        lose()
    assert [row["epoch"] for row in run.metrics()] == [0]
    with run.session():
        run.log({"epoch": 1})


def test_needed_run_names_the_command_that_makes_it():
    with pytest.raises(ReproError, match=r"repro run cifar10-search -p order=1 --profile smoke, or add --with-needs"):
        runs.find_needed("run:cifar10-search/order=1", "smoke")
    run = runs.open_run(find("cifar10-search"), "smoke", {"order": 1})
    run.finish({"valid_error": 1.0})
    assert runs.find_needed("run:cifar10-search/order=1", "smoke").path == run.path


def test_runs_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "file"))
    with pytest.raises(ReproError, match="cannot create the folder .* choose a writable one with --runs"):
        runs.open_run(find("bilevel-toy"), "smoke", {})


def test_older_sessions_keep_the_commit_that_they_were_made_of():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    session = {"command": "repro run", "start": "2026-11-26T10:22:27+00:00", "seconds": 1.0}
    files.write_json(
        run.path / "provenance.json", {"commit": "a" * 40, "dirty": False, "versions": {}, "sessions": [session]}
    )
    with run.session():
        pass
    first, second = provenance.commits(provenance.read(run.path)).items()
    assert first == ("a" * 40, False)
    assert second[0] != "a" * 40
