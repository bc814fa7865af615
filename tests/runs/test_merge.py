"""Merging runs folders: all that can be copied is, and nothing finished is overwritten, whatever is in the way."""

import json
import os
import shutil
import socket

import pytest

from repro.cli import main
from repro.configs.registry import find
from repro.runs import merge, states
from repro.runs import run as runs

TOY, SEARCH = find("bilevel-toy"), find("cifar10-search")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """This machine's runs folder."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "here"))
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A function that makes a run on another machine, in the folder `there`."""

    def make(experiment, overrides, epochs=0, result=None, folder="there"):
        with monkeypatch.context() as other:
            other.setenv("REPRO_RUNS", str(tmp_path / folder))
            run = runs.open_run(experiment, "smoke", overrides)
            with run.session():
                for epoch in range(epochs):
                    run.log({"epoch": epoch, "seconds": 1.0})
                (run.path / "checkpoint.pt").write_bytes(os.urandom(1000))
                if result is not None:
                    run.finish(result)
        return run.path

    return make


def content(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in (*merge.LOCKS, ".merging.lock")
    }


def words(folder):
    return {merged.name: merged.word for merged in merge.merge(folder)}


def test_all_runs_are_copied_whole_and_a_second_time_are_the_same(there, here, tmp_path, capsys):
    there(TOY, {"steps": 7}, result={"end": 1.5})
    unfinished = there(SEARCH, {"seed": 1}, epochs=2)
    (unfinished / "part").mkdir()
    (unfinished / "part" / "metrics.jsonl").write_text('{"epoch": 0}\n')
    (unfinished / "result.json.partial").write_text("half")
    (tmp_path / "there" / "report").mkdir()
    assert main(["merge", str(tmp_path / "there")]) == 0
    assert "2 copied" in capsys.readouterr().out
    (unfinished / "result.json.partial").unlink()
    assert content(here) == content(tmp_path / "there")
    assert [run.name for run in states.survey()[0]] == ["bilevel-toy/smoke,steps=7", "cifar10-search/smoke,seed=1"]
    assert words(tmp_path / "there") == {"bilevel-toy/smoke,steps=7": "same", "cifar10-search/smoke,seed=1": "kept"}
    assert not (here / merge.ASIDE).exists()


@pytest.mark.parametrize(
    ("ours", "theirs", "word"),
    [
        ((3, None), (2, None), "kept"),
        ((2, None), (2, None), "kept"),
        ((2, None), (3, None), "replaced"),
        ((3, None), (2, {"x": 1}), "replaced"),
        ((2, {"x": 1}), (9, None), "kept"),
        ((2, {"x": 1}), (3, {"x": 1}), "same"),
        ((2, {"x": 1}), (2, {"x": 2}), "conflict"),
        ((2, {"x": 1}), (2, {"x": 1, "y": 2}), "conflict"),
    ],
)
def test_the_one_that_is_further_stays(there, here, tmp_path, ours, theirs, word):
    there(SEARCH, {}, *ours, folder="here")
    there(SEARCH, {}, *theirs)
    before = content(here)
    assert words(tmp_path / "there") == {"cifar10-search/smoke": word}
    assert content(here) == (content(tmp_path / "there") if word == "replaced" else before)


def test_a_failure_comes_along_and_goes_with_the_run_that_it_ended(there, here, tmp_path):
    path = there(SEARCH, {}, epochs=1)
    runs.read_run(path).fail(RuntimeError("planted"))
    assert words(tmp_path / "there") == {"cifar10-search/smoke": "copied"}
    (run,) = states.survey()[0]
    assert states.state(run).message == "RuntimeError: planted"
    there(SEARCH, {}, epochs=2, folder="further")
    assert words(tmp_path / "further") == {"cifar10-search/smoke": "replaced"}
    assert states.state(run).word == "stopped"


def test_a_conflict_is_named_with_both_values_and_fails(there, here, tmp_path, capsys):
    there(TOY, {}, result={"end": 1.5}, folder="here")
    there(TOY, {}, result={"end": 2.5})
    there(TOY, {"steps": 7}, result={"end": 3})
    assert main(["merge", str(tmp_path / "there")]) == 1
    out, err = capsys.readouterr()
    assert "1 in conflict, 1 copied" in out
    assert err == (
        "repro: bilevel-toy/smoke conflict: both are finished: end is 1.5 here and 2.5 there; delete one of both\n"
    )


@pytest.mark.parametrize("odd", ["file", "folder", "run", "experiment", "pipe", "socket"])
def test_links_and_odd_files_are_refused(there, here, tmp_path, odd):
    path = there(TOY, {}, result={"end": 1})
    secret = tmp_path / "secret"
    secret.mkdir()
    if odd == "file":
        (path / "result.json").rename(secret / "result.json")
        (path / "result.json").symlink_to(secret / "result.json")
    elif odd == "folder":
        (path / "part").symlink_to(secret)
    elif odd in ("run", "experiment"):
        link = path if odd == "run" else path.parent
        link.rename(secret / "moved")
        link.symlink_to(secret / "moved")
    elif odd == "pipe":
        os.mkfifo(path / "notebook.ipynb")
    else:
        with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
            patch.chdir(path)
            server.bind("notebook.ipynb")
    assert words(tmp_path / "there") == {"bilevel-toy/smoke": "refused"}
    assert not list(here.glob("*/*"))


@pytest.mark.parametrize("name", ["params.json", "result.json", "metrics.jsonl"])
@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "null", '{"experiment": "bilevel-toy"}\n7\n', "[" * 9999])
def test_damaged_runs_are_named_and_left(there, here, tmp_path, name, text):
    path = there(TOY, {}, epochs=1, result={"end": 1})
    there(TOY, {"steps": 7}, result={"end": 1})
    (path / name).write_text(text)
    found = words(tmp_path / "there")
    assert found["bilevel-toy/smoke,steps=7"] == "copied"
    accepted = name == "metrics.jsonl" and "\n" not in text  # a last line cut short is no damage
    assert found["bilevel-toy/smoke"] == ("copied" if accepted else "damaged")
    assert (here / "bilevel-toy" / "smoke").exists() == accepted


def test_a_run_in_a_folder_of_another_name_is_not_taken(there, here, tmp_path):
    path = there(TOY, {"steps": 7}, result={"end": 1})
    path.rename(path.parent / "smoke")
    (merged,) = merge.merge(tmp_path / "there")
    assert (merged.word, merged.why) == (
        "damaged",
        "it was made as smoke,steps=7 and does not count under another name: rename it",
    )


def test_what_is_damaged_here_is_not_overwritten(there, here, tmp_path):
    path = there(TOY, {}, folder="here", result={"end": 1})
    (path / "result.json").write_text("{")
    there(TOY, {}, result={"end": 1})
    before = content(here)
    (merged,) = merge.merge(tmp_path / "there")
    assert merged.word == "refused"
    assert "the run here is damaged" in merged.why
    assert content(here) == before


@pytest.mark.parametrize("folder", ["here", "there"])
def test_a_run_at_work_is_left_alone(there, here, tmp_path, folder):
    paths = {"here": there(SEARCH, {}, epochs=1, folder="here"), "there": there(SEARCH, {}, epochs=2)}
    before = content(here)
    with runs.lock(paths[folder] / ".lock", wait=0):
        (merged,) = merge.merge(tmp_path / "there")
    assert merged.word == "refused"
    assert content(here) == before
    assert words(tmp_path / "there") == {"cifar10-search/smoke": "replaced"}


@pytest.mark.parametrize("moment", range(4))
def test_a_merge_that_was_killed_loses_nothing(there, here, tmp_path, monkeypatch, moment):
    there(SEARCH, {}, epochs=1, folder="here")
    there(SEARCH, {}, epochs=2)
    before, calls = content(here), []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == moment:
            raise KeyboardInterrupt
        return rename(*arguments)

    rename = os.rename
    with monkeypatch.context() as patch:
        patch.setattr(merge.os, "rename", killed)
        patch.setattr(merge, "_clear", lambda target: None)  # as by SIGKILL
        if moment in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                words(tmp_path / "there")
            assert not (here / "cifar10-search" / "smoke").exists() or content(here / "cifar10-search") == {
                name.removeprefix("cifar10-search/"): value for name, value in before.items()
            }
        else:
            words(tmp_path / "there")
    assert words(tmp_path / "there") == {"cifar10-search/smoke": "replaced" if moment in (1, 2) else "kept"}
    assert content(here) == content(tmp_path / "there")
    assert not (here / merge.ASIDE).exists()


@pytest.mark.parametrize("folder", ["nothing", "file", "empty", "here", "."])
def test_folders_that_are_no_others_are_refused(there, here, tmp_path, folder, capsys):
    there(TOY, {}, result={"end": 1}, folder="here")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert main(["merge", str(tmp_path / folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_runs_of_several_machines_are_merged_in_order(there, here, tmp_path, capsys):
    for seed in range(4):
        there(SEARCH, {"seed": seed}, 1, {"error": seed}, folder=f"machine{seed % 2}")
    shutil.copytree(tmp_path / "machine0", tmp_path / "machine2")
    assert main(["merge", *(str(tmp_path / f"machine{index}") for index in range(3))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 copied, 2 the same"
    errors = {json.loads(path.read_text())["error"] for path in here.glob("*/*/result.json")}
    assert errors == {0, 1, 2, 3}
