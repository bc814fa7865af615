"""Published runs: who reads them beside a user's own, and whether those of this repository are what they claim."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from publishing import EVAL, contents, finish, outcome

from repro.cli import main
from repro.configs.registry import find
from repro.errors import ReproError
from repro.execution import listing, plan, runner
from repro.files import write_json
from repro.report import publish, publish_curves, report, tables
from repro.results import arms, claims, compare, others
from repro.runs import run as runs
from repro.runs import states
from repro.runs.merge import read_whole
from repro.settings import ROOT

pytestmark = pytest.mark.usefixtures("published")


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
CURVES = sorted(path.parent for path in (ROOT / "published" / "curves").glob("*/*/params.json"))


def test_every_published_run_is_what_it_claims(monkeypatch):
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    for path in HELD:
        publish.check(read_whole(path))
        files = contents(path)
        assert {*files} == {*publish._names(path)}
        assert not [*publish.machines_in(files)], path


def test_every_published_curve_is_what_it_claims(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    for path in CURVES:
        publish_curves.check(read_whole(path))
        assert not [*publish.machines_in(contents(path))], path
    assert 0 < len(CURVES) == sum(curve.ours for anchor in others.ANCHORS for curve in anchor.curves())


def test_every_link_of_a_published_notebook_leads_somewhere():
    links = 0
    for path in (ROOT / "published").glob("*/*/notebook.ipynb"):
        words = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
        for link in re.findall(r"\]\((?!\w+:)([^)#\s]+)", words):
            assert (path.parent / link).exists(), (path, link)
            links += 1
    assert links > len(HELD)


def test_published_runs_are_small_and_one_of_each(monkeypatch):
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    assert publish.size() <= publish.LIMIT
    survey = states.survey()
    assert len(survey.runs) == len(HELD)
    assert not survey.damaged
    assert not survey.uncounted
    assert os.path.isfile(ROOT / "published" / "README.md")
