"""Bad input at the command line: one clear line, the right exit status, no stack trace unless --debug."""

import subprocess
import sys

import pytest

from repro.cli import main

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "cifar10-serch"], "unknown experiment 'cifar10-serch': did you mean 'cifar10-search'?"),
        (["show", "nothing"], "unknown experiment 'nothing'"),
        (["run", "cifar10-search", "-p", "ordr=1"], "unknown parameter 'ordr': did you mean 'order'?"),
        (["run", "cifar10-search", "-p", "order=7"], "order='7' is wrong: order takes one of 1, 2, 'exact'"),
        (["run", "cifar10-search", "-p", "epochs=ten"], "epochs='ten' is wrong: epochs takes a whole number"),
        (["run", "cifar10-search", "-p", "lr=-1"], "lr=-1.0 is out of range"),
        (["run", "cifar10-search", "-p", "order"], "-p order: expected key=value"),
        (["run", "cifar10-search", "--seeds", "0,a"], "--seeds 0,a: expected whole numbers"),
        (["run", "bilevel-toy", "--seeds", "0"], "unknown parameter 'seed'"),
        (["run"], "name the experiments to run, or give --all"),
        (["run", "bilevel-toy", "--all"], "name the experiments to run, or give --all"),
        (["run", "bilevel-toy", "--jobs", "0"], "--jobs 0: expected a whole number from 1 to 9999"),
        (["run", "bilevel-toy", "--jobs", "two"], "--jobs two: expected a whole number"),
        (["run", "bilevel-toy", "--jobs", "-1"], "--jobs -1: expected a whole number"),
        (["run", "bilevel-toy", "--jobs", "2", "--cluster", "local:2"], "--jobs is for this machine"),
        (["plan", "--gpus", "x"], "--gpus x: expected a whole number"),
        (["data", "fetch", "imagnet"], "unknown data set 'imagnet'"),
        (["data", "fetch", "digits"], "digits needs no download"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(command, message, capsys, tmp_path):
    assert main(command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "cifar10-eval"], "is needed and not finished; make it with: repro run cifar10-select"),
        (["data", "check", "cifar10"], "CIFAR-10 is not in"),
        (["data", "check", "ptb"], "ptb"),
    ],
)
def test_failures_are_one_line_and_status_1(command, message, capsys):
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unwritable_runs_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["run", "bilevel-toy", "--runs", str(tmp_path / "file")]) == 1
    assert "cannot create the folder" in capsys.readouterr().err


def test_unknown_command_is_status_2(capsys):
    assert main(["rum"]) == 2
    assert "'rum' is wrong: did you mean 'run'?" in capsys.readouterr().err


def test_list_and_show_speak_of_the_paper(capsys):
    assert main(["list"]) == 0
    assert "cifar10-search" in capsys.readouterr().out
    assert main(["show", "cifar10-search"]) == 0
    shown = capsys.readouterr().out
    assert "epochs = 50 [4]" in shown
    assert "Eq. 8" in shown


def test_recipe_command_line():
    command = [sys.executable, "-m", "repro.recipe", "bilevel-toy"]
    answer = subprocess.run([*command, "steps=5", "xi=0.5"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("bilevel-toy/smoke,xi=0.5,steps=5: ")
    for arguments, message in {
        ("steps=x",): "steps takes a whole number",
        ("steps",): "not of the form key=value",
    }.items():
        answer = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert answer.returncode == 2
        assert message in answer.stderr
        assert "Traceback" not in answer.stderr


def test_gpu_that_is_not_there():
    command = [sys.executable, "-m", "repro.recipe", "cifar10-search", "device=cuda"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.endswith("device=cuda, but PyTorch finds no GPU here; take device=auto or device=cpu\n")
