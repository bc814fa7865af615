"""Published runs: what is put there, what is refused, and who reads them beside a user's own."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from repro.cli import main
from repro.configs.registry import find
from repro.data import datasets, text
from repro.errors import Diverged, ReproError
from repro.execution import listing, plan, runner
from repro.files import sha256, write_json
from repro.report import publish, report, tables
from repro.results import arms, claims, compare
from repro.runs import provenance, states
from repro.runs import run as runs
from repro.runs.merge import read_whole
from repro.settings import ROOT

SUM = "5" * 64
COMMIT = "c" * 40
EVAL = {"genotype": "run:cifar10-search/order=1"}


@pytest.fixture(autouse=True)
def published(tmp_path, monkeypatch):
    """The folder of published runs: of a machine with one data set, and a clean checkout."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("REPRO_PUBLISHED", str(tmp_path / "published"))
    monkeypatch.setitem(datasets.DATASETS, "cifar10", datasets.DataSet(lambda: SUM, None))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    publish._checksums.cache_clear()
    checkout(monkeypatch)
    (tmp_path / "published").mkdir()
    return tmp_path / "published"


def checkout(monkeypatch, commit=COMMIT, status=""):
    monkeypatch.setattr(provenance, "_git", lambda command, *_: commit if command == "rev-parse" else status)


def finish(name="cifar10-search", result=None, profile="short", said="", **overrides):
    """A run with a checkpoint and an executed notebook."""
    run = runs.open_run(find(name), profile, overrides)
    with run.session():
        data = {"data": {"cifar10": SUM}} if run.params.part("data") else {}
        run.record(device="CPU, 1 thread", **data)
        run.log({"epoch": 0, "seconds": 1.0})
        run.finish(result or {"valid_error": 30.0})
    for left in ("checkpoint.pt", "alpha.svg", "notes.txt"):
        (run.path / left).write_text("stays behind")
    write_notebook(run, said)
    return run


def write_notebook(run, said="", count=1):
    output = nbformat.v4.new_output("stream", text=f"{said}\n")
    cell = nbformat.v4.new_code_cell("print()", execution_count=count, outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), run.path / "notebook.ipynb")


def outcome(*paths):
    return [tuple(each) for each in publish.publish([str(path) for path in paths])]


def refusal(run):
    ((name, word, why),) = outcome(run.path)
    assert (name, word) == (run.name, "refused")
    return why


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


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


# Who reads them


@pytest.fixture
def elsewhere(published, monkeypatch, tmp_path):
    """A published evaluation of two and its search, seen from a clone where nothing was run."""
    paths = [finish(order=1).path]
    for seed in (0, 1):
        result = {"test_error": 3.0 + seed, "parameters_millions": 3.3}
        paths.append(finish("cifar10-eval", result, seed=seed, **EVAL).path)
    assert {word for _, word, _ in outcome(*paths)} == {"published"}
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "own"))
    return published


def own(error, **overrides):
    run = runs.open_run(find("cifar10-eval"), "short", {**EVAL, **overrides})
    if error is not None:
        run.finish({"test_error": error, "parameters_millions": 3.3})
    return run


def units():
    (line,) = [line for claim in claims.CLAIMS for line in claim.lines if line.id == "D2a"]
    return claims.arms(arms.Runs("short"), line)


def test_claims_count_them_and_say_how_many(elsewhere, capsys):
    before = contents(elsewhere)
    assert units()[0] == {0: [3.0, 4.0]}
    assert main(["claims", "--profile", "short"]) == 0
    said = capsys.readouterr().out
    assert "n 1 and 0 (1 and 0 published) (of 3, then 14), m 2" in said
    assert contents(elsewhere) == before


def test_ones_own_finished_run_takes_the_place_of_a_published_one(elsewhere):
    own(None)
    assert units()[0] == {0: [3.0, 4.0]}
    assert [each.name for each in states.survey().runs] == [
        "cifar10-eval/short,genotype=run:cifar10-search%2Forder=1",
        "cifar10-eval/short,genotype=run:cifar10-search%2Forder=1 (published)",
        "cifar10-eval/short,seed=1,genotype=run:cifar10-search%2Forder=1 (published)",
        "cifar10-search/short,order=1 (published)",
    ]
    for seed in (0, 1):
        own(7.0 + seed, seed=seed)
    assert units()[0] == {0: [7.0, 8.0]}
    assert [each.published for each in states.survey().runs] == [False, False, True]
    (group,) = compare.groups("cifar10-eval")
    assert group.numbers("test_error").tolist() == [7.0, 8.0]
    assert not states.survey().uncounted


def test_tables_mark_them(elsewhere):
    own(7.0, seed=2)
    table = compare.compare("darts_table1_cifar10", "short")
    cells = tables.work("darts_table1_cifar10", table)
    (runs,) = [each for each in cells["runs"] if each]
    assert (runs[0], runs[-1]) == ("3:", "(2 published)")
    (row,) = table[table["runs"] == 3].to_dict("records")
    assert row["search_gpu_days here"] >= 0
    assert row["pages"][0].startswith("notebooks/cifar10-eval-published-short")
    assert compare.overview()["run"].str.endswith(" (published)").tolist() == [False, True, True, True]


def test_list_and_status_count_them(elsewhere, capsys):
    assert listing.status() == ["no run yet; 3 published; begin with: repro run bilevel-toy"]
    own(7.0, seed=2)
    assert listing.status()[-1] == "1 done, 3 published"
    main(["list"])
    assert "  runs: 1 done, 2 published\n" in capsys.readouterr().out


def test_no_experiment_takes_them_and_each_is_run_here(elsewhere):
    with pytest.raises(ReproError, match="is needed and not finished"):
        runs.find_needed("run:cifar10-search/order=1", "short")
    jobs = runner.plan([(find("cifar10-eval"), EVAL)], "short", with_needs=True)
    assert [runner.is_done(job.run) for job in jobs] == [False, False]
    assert not [job for job in jobs if elsewhere in job.run.path.parents]
    estimate = plan.estimates(jobs)[jobs[0].run.path]
    assert (estimate.kind, estimate.source) == ("measured", "1 published run of this experiment")


def test_merged_they_are_ones_own(elsewhere):
    assert main(["merge", str(elsewhere)]) == 0
    assert runs.find_needed("run:cifar10-search/order=1", "short").result == {"valid_error": 30.0}
    assert not [each for each in states.survey().runs if each.published]


def test_the_report_is_made_anew_when_one_more_is_published(elsewhere):
    before = report.fingerprint("short")
    (elsewhere / "cifar10-search" / "short,order=1" / "result.json").write_text('{"valid_error": 29.0}\n')
    assert report.fingerprint("short") != before


@pytest.mark.parametrize("name", ["params.json", "result.json", "metrics.jsonl", "provenance.json"])
@pytest.mark.parametrize("content", [None, "{"])
def test_a_damaged_one_is_named_and_the_rest_shown(name, content, elsewhere, capsys):
    path = next(elsewhere.glob("cifar10-eval/*seed=1*")) / name
    path.write_text(content + "\n") if content else path.unlink()
    harmless = content is None and name in ("metrics.jsonl", "provenance.json")
    hidden = content is None and name == "params.json"
    survey = states.survey()
    assert len(survey.runs) == (3 if harmless else 2)
    assert len(survey.damaged) == (0 if harmless or hidden else 1)
    if survey.damaged:
        ((run, reason),) = survey.damaged.items()
        assert run == f"cifar10-eval/{path.parent.name} (published)"
        assert reason.startswith(f"published/cifar10-eval/{path.parent.name}/{name}")
        assert "damaged   cifar10-eval/short" in "\n".join(listing.status())
        assert not compare.compare("darts_table1_cifar10", "short").empty
    if name in ("params.json", "result.json"):
        assert units()[0] == {0: [3.0]}
    if survey.damaged and name in ("params.json", "result.json"):
        assert f"{path}" in capsys.readouterr().err


def test_claims_of_hundreds_are_told_at_once(elsewhere, tmp_path):
    """Two seconds are the promise; a run is read once for each of three sizes."""
    place = next(elsewhere.glob("cifar10-eval/*seed=1*"))
    held = contents(place)
    for seed in range(2, 200):
        other = place.with_name(place.name.replace("seed=1", f"seed={seed}"))
        other.mkdir()
        for name, content in held.items():
            (other / name).write_bytes(content)
        params = json.loads(held["params.json"])
        params["parameters"]["seed"], params["name"] = seed, other.name
        write_json(other / "params.json", params)
    script = (
        "import sys, time; from repro.cli import main; main(['claims']); seconds = time.process_time(); "
        "assert seconds < 2, seconds; assert 'torch' not in sys.modules; main(['claims', '--profile', 'short'])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "(1 and 0 published)" in told.stdout


# The published runs of this repository

HELD = sorted(path.parent for path in (ROOT / "published").glob("*/*/params.json"))


def test_every_published_run_is_what_it_claims(monkeypatch):
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    for path in HELD:
        publish.check(read_whole(path))
        files = contents(path)
        assert {*files} == {*publish._names(path)}
        assert not [*publish.machines_in(files)], path


def test_published_runs_are_small_and_one_of_each(monkeypatch):
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    assert publish.size() <= publish.LIMIT
    survey = states.survey()
    assert len(survey.runs) == len(HELD)
    assert not survey.damaged
    assert not survey.uncounted
    assert os.path.isfile(ROOT / "published" / "README.md")
