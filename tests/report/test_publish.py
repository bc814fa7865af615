"""Publishing runs: what is put there, and what is refused."""

import platform
from pathlib import Path

import nbformat
import pytest
from publishing import COMMIT, EVAL, SUM, checkout, contents, finish, outcome, write_notebook

from repro.cli import main
from repro.configs.registry import find
from repro.data import datasets, text
from repro.errors import Diverged, ReproError
from repro.files import sha256, write_json
from repro.report import publish
from repro.results import arms, compare
from repro.runs import provenance, states
from repro.runs import run as runs
from repro.settings import ROOT

pytestmark = pytest.mark.usefixtures("published")


def refusal(run):
    ((name, word, why),) = outcome(run.path)
    assert (name, word) == (run.name, "refused")
    return why


# What is put there


def test_small_files_are_published_whole_and_without_the_machine(published, capsys, tmp_path):
    run = finish(said=f"{tmp_path}/runs/x and {ROOT}/repro/y.py and {Path.home()}/z")
    facts = provenance.read(run.path)
    facts["sessions"][0]["command"] = f"repro run cifar10-search --runs {tmp_path}/runs"
    write_json(run.path / "provenance.json", facts)
    child = run.child("cell-1")
    child.log({"epoch": 0})
    child.save("result.json", {"valid_error": 1.0})
    (child.path / "checkpoint.pt").write_text("stays behind")
    assert main(["publish", "cifar10-search/short,order=1"]) == 2
    assert "no run cifar10-search/short,order=1: expected EXPERIMENT/NAME" in capsys.readouterr().err
    assert main(["publish", run.name]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"published     {run.name} ")
    assert said.splitlines()[-1].startswith("1 published; 0.00 of 25 MB")
    kept = ("metrics.jsonl", "params.json", "result.json", "cell-1/metrics.jsonl", "cell-1/result.json")
    place = published / run.experiment / run.path.name
    held = contents(place)
    assert set(held) == {*kept, "notebook.ipynb", "provenance.json"}
    assert {name: held[name] for name in kept} == {name: (run.path / name).read_bytes() for name in kept}
    (cell,) = nbformat.read(place / "notebook.ipynb", 4).cells
    assert cell.outputs[0].text == "runs/x and ./repro/y.py and ~/z\n"
    assert provenance.read(place)["sessions"][0]["command"] == "repro run cifar10-search --runs runs"
    assert not [*publish.machines_in(held)]
    assert [path.name for path in published.iterdir()] == [run.experiment]


def test_what_is_needed_is_published_first(published):
    evaluation = finish("cifar10-eval", {"test_error": 3.0}, **EVAL)
    assert "it needs run:cifar10-search/order=1, which is not published" in refusal(evaluation)
    search = finish(order=1)
    assert [each[:2] for each in outcome(evaluation.path, search.path)] == [
        (search.name, "published"),
        (evaluation.name, "published"),
    ]


def test_of_a_training_that_diverged_is_published_that_it_did(published, monkeypatch, tmp_path):
    run = runs.open_run(find("cifar10-eval"), "short", {"genotype": "DARTS_V2"})
    with run.session():
        run.record(device="CPU, 1 thread", data={"cifar10": SUM})
        run.log({"epoch": 0})
    run.fail(Diverged("the loss is nan"))
    write_notebook(run, count=None)
    assert outcome(run.path)[0][1] == "published"
    place = published / run.experiment / run.path.name
    assert sorted(contents(place)) == ["failure.txt", "metrics.jsonl", "params.json", "provenance.json"]
    assert (place / "failure.txt").read_text().count("\n") == 2
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "own"))
    trainings = arms.Runs("short").arm("cifar10-eval", {"genotype": "DARTS_V2"})
    assert trainings == {0: {0: arms.Training(None, True)}}
    assert outcome(place)[0][1] == "there already"


def test_a_table_that_a_run_looks_up_is_one_of_its_data(published, tmp_path):
    run = finish()
    table = tmp_path / "data" / "nas-bench-macro" / "table.json"
    table.parent.mkdir(parents=True)
    table.write_text("{}")
    with run.session():
        run.record(data={"nas-bench-macro/table.json": sha256(table)})
    assert provenance.read(run.path)["data"].keys() == {"cifar10", "nas-bench-macro/table.json"}
    table.write_text("[]")
    assert "its nas-bench-macro/table.json is not that of the data folder" in refusal(run)
    publish._checksums.cache_clear()
    table.write_text("{}")
    assert outcome(run.path)[0][1] == "published"


def test_a_run_is_published_once(published):
    run = finish()
    outcome(run.path)
    before = contents(published)
    assert outcome(run.path, published / run.experiment / run.path.name) == [
        (run.name, "there already", ""),
        (f"{run.name} (published)", "there already", ""),
    ]
    run.save("result.json", {"valid_error": 31.0})
    assert "it is published already, with another result.json: delete" in refusal(run)
    assert contents(published) == before


def test_a_name_is_not_taken_twice(published):
    run = finish()
    outcome(run.path)
    other = published / run.experiment / run.path.name / "params.json"
    other.write_text(other.read_text().replace('"epochs": ', '"epochs": 1'))
    assert "holds a run of other values" in refusal(run)


# What is refused


def unfinished(run, _):
    (run.path / "result.json").unlink()


def not_executed(run, _):
    write_notebook(run, count=None)


def changed_at_first(run, _):
    facts = provenance.read(run.path)
    session = {**facts["sessions"][0], "dirty": True, "commit": "d" * 40}
    write_json(run.path / "provenance.json", {**facts, "sessions": [session, *facts["sessions"]]})


def without(*names):
    def damage(run, _):
        facts = provenance.read(run.path)
        for name in names:
            for held in (facts, facts["versions"], *facts["sessions"]):
                held.pop(name, None)
        write_json(run.path / "provenance.json", facts)

    return damage


def other_data(run, monkeypatch):
    monkeypatch.setitem(datasets.DATASETS, "cifar10", datasets.DataSet(lambda: "6" * 64, None))


def no_data(run, monkeypatch):
    def missing():
        raise ReproError("cifar10.npz does not exist")

    monkeypatch.setitem(datasets.DATASETS, "cifar10", datasets.DataSet(missing, None))


def with_data(**data):
    def damage(run, _):
        write_json(run.path / "provenance.json", {**provenance.read(run.path), "data": data})

    return damage


def says(words):
    return lambda run, _: write_notebook(run, words)


def renamed(run, _):
    run.path = run.path.rename(run.path.with_name("mine"))


def linked(run, _):
    (run.path / "log.json").symlink_to(run.path / "result.json")


def damaged(run, _):
    (run.path / "metrics.jsonl").write_text("{\n")


REFUSED = {
    "it is not finished": unfinished,
    "its notebook was not executed to the end": not_executed,
    "it was made from a changed tree (of dddddddddd)": changed_at_first,
    "its provenance.json lacks commit": without("commit"),
    "its provenance.json lacks device": without("device"),
    "its provenance.json lacks data": without("data"),
    "its provenance.json lacks torch": without("torch"),
    "provenance.json is damaged: 'sessions' is of another kind": without("command"),
    f"its cifar10 is not that of the data folder: the checksum was {SUM}, here it is 666666": other_data,
    "cifar10.npz does not exist": no_data,
    "mine.npz is not that of the data folder": with_data(**{"mine.npz": SUM}),
    "provenance.json is damaged: 'data' is of another kind": with_data(cifar10=None),
    "ptb.train.txt is not what it claims to be": with_data(**{"ptb/ptb.train.txt": "1" * 32}),
    "notebook.ipynb, line 13: /scratch" + "/ada": says("/scratch" + "/ada/cell.json"),
    "process 12 on ": says(f"in use by process 12 on {platform.node()}"),
    "it was made as short": renamed,
    "log.json is a symbolic link": linked,
    "metrics.jsonl, line 1 is damaged": damaged,
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_what_it_claims_is_refused_in_one_line(said, published, monkeypatch, capsys):
    run = finish()
    REFUSED[said](run, monkeypatch)
    assert main(["publish", str(run.path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("repro: cifar10-search/")
    assert said in line
    assert not [*published.iterdir()]


@pytest.mark.parametrize(
    ("profile", "status", "said"),
    [("smoke", "", "runs of smoke"), ("short", " M repro/training/fit.py", "made from a changed tree (of cccccccccc)")],
)
def test_no_smoke_and_no_changed_tree(profile, status, said, monkeypatch):
    checkout(monkeypatch, status=status)
    assert said in refusal(finish(profile=profile))


def test_a_changed_tree_is_remembered_when_the_run_goes_on_from_a_clean_one(monkeypatch):
    checkout(monkeypatch, status=" M repro/training/fit.py")
    run = runs.open_run(find("cifar10-search"), "short", {})
    with run.session():
        run.log({"epoch": 0})
    checkout(monkeypatch, commit="d" * 40)
    assert "made from a changed tree (of cccccccccc)" in refusal(finish())
    assert provenance.commits(provenance.read(run.path)) == {COMMIT: True, "d" * 40: False}
    (row,) = compare.provenance_table().to_dict("records")
    assert row["commit"] == "cccccccccc with changes, dddddddddd"


def test_there_is_a_limit_to_all_of_them(published, monkeypatch):
    monkeypatch.setattr(publish, "LIMIT", 10_000)
    run = finish()
    (published / "README.md").write_text("x" * 9_000)
    assert "it takes 0.00 MB beside 0.01 MB, at most 0.01 MB in all" in refusal(run)
    assert [path.name for path in published.iterdir()] == ["README.md"]


def test_without_a_folder_there_are_none_and_nothing_is_published(published, capsys):
    published.rmdir()
    run = finish()
    assert main(["publish", run.name]) == 2
    assert f"{published} is no folder: publish in a checkout" in capsys.readouterr().err
    assert [each.name for each in states.survey().runs] == [run.name]


def test_released_checksums_are_those_of_the_corpora():
    assert publish.RELEASED["ptb/ptb.train.txt"] == text.SOURCES["ptb"].md5[0]
    assert len(publish.RELEASED) == 6
