"""Why a run failed: kept wherever that was, told by every face, and gone as soon as the run goes on."""

import json
import os
import shutil
import subprocess
import sys

import light
import nbformat
import pytest
from finished import existing_runs
from interruptions import interrupted

from repro import recipe
from repro.cli import main
from repro.configs.registry import find
from repro.errors import ReproError
from repro.experiments import toy
from repro.report import report
from repro.runs import directory, failure, states
from repro.runs import run as runs

SEARCH = find("cifar10-search")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The runs folder; there are no data."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "no data"))
    return tmp_path / "runs"


def opened(**overrides):
    return runs.open_run(SEARCH, "smoke", overrides)


def failed(**overrides):
    """A run whose session ended by an error."""

    def fail():
        with run.session():
            run.log({"epoch": 0})
            raise RuntimeError("planted")

    run = opened(**overrides)
    with pytest.raises(RuntimeError, match="planted"):
        fail()
    return run


def elsewhere(run, within):
    """Begin a session in another process, which does this within it."""
    script = "import os, pathlib\nfrom repro.runs import provenance, run as runs\n"
    script += f"run = runs.read_run(pathlib.Path({str(run.path)!r}))"
    return subprocess.run([sys.executable, "-c", f"{script}\n{within}"], check=False).returncode


def kept(run):
    return (run.path / "failure.txt").read_text()


# ---- a run without a notebook


def test_a_recipe_that_fails_is_told_by_status_and_goes_on(folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path))
    (tmp_path / "cifar10.npz").write_bytes(b"no arrays")
    arguments = ["cifar10-search", "dataset=cifar10"]
    assert recipe.main(arguments) == 1
    said = capsys.readouterr().err.removeprefix("repro: ").strip()
    (run,) = existing_runs()
    assert kept(run).startswith(f"{said}\n\nTraceback (most recent call last):\n")
    assert "in compute" in kept(run)
    assert main(["status"]) == 0
    assert f"failed    {run.name}  {said}\n" in capsys.readouterr().out
    with run.session():
        assert not (run.path / "failure.txt").exists()
    assert str(states.state(run)) == "stopped"


def test_what_lacks_runs_or_data_is_refused_before_it_begins_and_leaves_nothing(folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path))
    for arguments in (["cifar10-eval"], ["cifar10-search", "dataset=cifar10"]):
        assert recipe.main(arguments) == 1
    said = capsys.readouterr().err
    assert "cifar10-select/smoke is needed and not finished" in said
    assert f"CIFAR-10 is not in {tmp_path}" in said
    assert not [*existing_runs()]


def test_ctrl_c_is_no_failure(folder):
    with interrupted(toy, "descend", 1):
        recipe.run_recipe("bilevel-toy", "smoke", {"steps": "2"})
    (run,) = existing_runs()
    assert str(states.state(run)) == "stopped"
    assert not (run.path / "failure.txt").exists()


def test_a_run_that_another_process_works_on_has_not_failed(folder, monkeypatch):
    run, lock = opened(), runs.lock
    monkeypatch.setattr(directory, "lock", lambda path, wait: lock(path, wait=0))
    with lock(run.path / ".lock", wait=0):
        assert recipe.main(["cifar10-search"]) == 1
    assert not (run.path / "failure.txt").exists()

    def lose():
        with run.session():
            assert elsewhere(run, "provenance.begin(run.path)") == 0  # on a machine that does not see the lock
            run.log({"epoch": 0})

    with pytest.raises(ReproError, match="is worked on by another process"):
        lose()
    assert not (run.path / "failure.txt").exists()


def test_the_error_is_shown_where_it_cannot_be_kept(folder, capsys, monkeypatch):
    monkeypatch.setattr(failure, "clear", lambda path: (path / "failure.txt").mkdir(exist_ok=True))
    assert recipe.main(["cifar10-search", "dataset=cifar10"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("repro: CIFAR-10 is not in")
    assert error.count("\n") == 1


def test_a_failure_file_that_cannot_be_removed_is_named(folder, capsys):
    (opened().path / "failure.txt").mkdir()
    assert recipe.main(["cifar10-search"]) == 1
    error = capsys.readouterr().err
    assert "failure.txt: " in error
    assert "remove it, then run again" in error
    assert error.count("\n") == 1


# ---- states come from content


def test_a_session_that_is_killed_after_a_failure_was_stopped(folder):
    run = failed()
    assert str(states.state(run)).endswith("RuntimeError: planted")
    assert elsewhere(run, "with run.session(): os.kill(os.getpid(), 9)") == -9
    assert states.state(run).word == "stopped"


def test_a_finished_run_has_no_failure(folder):
    run = failed()
    run.finish({"valid_error": 1.0})
    assert not (run.path / "failure.txt").exists()
    run.fail(RuntimeError("its notebook, executed again"))
    assert not (run.path / "failure.txt").exists()


def with_notebook(run, executed):
    """Put a notebook with an error beside the run, executed at this time, as before failures were kept."""
    error = nbformat.v4.new_output("error", ename="RuntimeError", evalue="planted\nmore", traceback=[])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0", outputs=[error])])
    notebook.metadata["papermill"] = {"end_time": executed}
    nbformat.write(notebook, run.path / "notebook.ipynb")


def test_copies_have_the_states_of_what_they_are_copies_of(folder, tmp_path, monkeypatch):
    failed(seed=1)
    for seed, executed in ((2, "2999-01-01T00:00:00.5+00:00"), (3, "1999-01-01T00:00:00.5+00:00")):
        run = opened(seed=seed)
        with_notebook(run, executed)
        with run.session():
            run.log({"epoch": 0})
    before = {run.name: str(states.state(run)) for run in existing_runs()}
    assert [state.split()[0] for state in before.values()] == ["failed", "failed", "stopped"]
    for order in (sorted, lambda names: sorted(names, reverse=True)):
        target = tmp_path / order.__name__
        for path in folder.glob("*/*"):
            (target / path.relative_to(folder)).mkdir(parents=True)
            for time, name in enumerate(order(file.name for file in path.iterdir())):
                shutil.copyfile(path / name, target / path.relative_to(folder) / name)
                os.utime(target / path.relative_to(folder) / name, (time, time))
        monkeypatch.setenv("REPRO_RUNS", str(target))
        assert {run.name: str(states.state(run)) for run in existing_runs()} == before


@pytest.mark.parametrize("content", [b"", b"\n\nTraceback", b"\xff\x00\n", b"\x1b[2Jx\n", b"x" * 10**5])
def test_a_damaged_failure_file_is_told_in_one_line(folder, content, capsys):
    (failed().path / "failure.txt").write_bytes(content)
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("failed ")
    assert out.count("\n") == 3
    assert out.replace("\n", "").isprintable()
    assert len(out) < 2000


def test_the_report_is_made_again_of_a_failure(folder):
    run = opened()
    before = report.fingerprint("smoke")
    run.fail(RuntimeError("planted"))
    assert report.fingerprint("smoke") != before


# ---- in kernels

ENDS = """
if run.params.seed == 0:
    with run.session():
        raise RuntimeError('planted')
if run.params.seed == 1:
    with run.session():
        raise ReproError('the data are gone')
if run.params.seed == 2:
    1 / 0
if run.params.seed == 3:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_end_of_a_notebook_is_kept(tmp_path, monkeypatch, capsys):
    light.notebook(tmp_path, monkeypatch, ENDS)
    assert main(["run", "cifar10-search", "--seeds", "0,1,2,3,4", "--jobs", "3"]) == 1
    summary = capsys.readouterr().err
    found = {run.params.seed: (run, states.state(run)) for run in existing_runs()}
    lines = ["RuntimeError: planted", "the data are gone", ".ipynb failed: ZeroDivisionError: division by zero"]
    lines += ["the same command goes on from the last checkpoint", "call run.finish(...)"]
    for (run, state), expected in zip((found[seed] for seed in range(5)), lines, strict=True):
        assert state.word == "failed"
        assert state.message.endswith(expected)
        assert f"{expected}\n" in summary
        assert kept(run).splitlines()[0] == state.message
        assert "\033" not in kept(run)
        assert "Traceback" in kept(run)
    assert "raise RuntimeError('planted')" in kept(found[0][0])
    assert found[3][1].message.startswith("the kernel died while executing")


def test_an_earlier_failure_is_not_told_of_a_kernel_that_dies_before_its_session(tmp_path, monkeypatch):
    run = failed(seed=3)
    light.notebook(tmp_path, monkeypatch, ENDS)
    assert main(["run", "cifar10-search", "-p", "seed=3"]) == 1
    assert states.state(run).message.startswith("the kernel died while executing")
    assert json.loads((run.path / "params.json").read_text())["parameters"]["seed"] == 3
