"""Bad parameters and damaged files, a few hundred: one clear line each; and the defects that the campaigns found."""

import io
import json
import re
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import bad_parameters
import damaged_files
import nbformat
import pytest
from bad_parameters import call, refused
from hostile import code
from papermill.parameterize import parameterize_path
from tiny import TINY, TRAINING

from repro import cli, recipe
from repro.configs.registry import find
from repro.data import text
from repro.errors import ReproError, UsageError, line
from repro.execution import engine, notebooks
from repro.files import read_json, read_lines
from repro.report import report
from repro.runs import run as runs
from repro.runs import states

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("door", ["command_line", "recipe_entry", "by_hand"])
def test_bad_parameters_are_refused_in_one_line(door, tmp_path):
    tally = Counter()
    getattr(bad_parameters, door)(tally, tmp_path / "runs", 150, 0)
    assert sum(times for (_, outcome), times in tally.items() if outcome == "refused") > 100


def test_damaged_files_are_refused_in_one_line(tmp_path):
    tally = Counter()
    damaged_files.explore(tally, tmp_path, len(damaged_files.cases()), 0)
    assert sum(times for (_, outcome), times in tally.items() if outcome == "refused") > len(damaged_files.cases()) // 2


def test_error_is_one_line_that_a_terminal_does_not_act_on():
    assert line("a\nb\tc") == "a b c"
    assert line("\x1b[2J\udcff") == "\\x1b[2J\\udcff"
    assert line(KeyError()) == "KeyError"
    assert len(line("x" * 10_000)) == 1500


def test_numbers_of_json_are_finite(tmp_path):
    for number in ("NaN", "-Infinity", "1e999"):
        (tmp_path / "x.json").write_text(f'{{"value": {number}}}')
        with pytest.raises(ReproError, match="is not readable JSON"):
            read_json(tmp_path / "x.json")
    (tmp_path / "x.jsonl").write_text('{"epoch": 0}\n{"epoch": 1\n{"epoch": 2}\n')
    with pytest.raises(ReproError, match="line 2 is damaged"):
        read_lines(tmp_path / "x.jsonl")


def test_data_and_cells_that_changed_under_a_run_are_refused():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    with run.session():
        run.record(data={"x": "1"}, device="CPU")
        run.record(data={"x": "1", "y": "2"})
        with pytest.raises(ReproError, match="x changed since the run began"):
            run.record(data={"x": "3"})
    run.keep("cell.json", [1])
    run.keep("cell.json", [1])
    with pytest.raises(ReproError, match="differs from what the run would now work on"):
        run.keep("cell.json", [2])


def test_cell_of_the_other_kind_of_network():
    for name, cell in (("cifar10-eval", "DARTS_V2_RNN"), ("ptb-eval", "DARTS_V2")):
        answer = call(recipe.main, [name, *(f"{k}={v}" for k, v in {**TINY[name], "genotype": cell}.items())])
        assert answer.status == 2
        assert f"genotype={cell} is a" in answer.error.splitlines()[-1]


def test_run_with_many_long_parameters_has_a_folder():
    search = "run:cifar10-search/channels=12345678,batch=1234567,lr=0.123456789,momentum=0.987654321,alpha_lr=0.1234567"
    names = {"search": search, "search_seeds": tuple(range(40)), "lr": 1e-9, "momentum": 0.123456789}
    experiment = find("cifar10-select")
    params = experiment.parameters.build(
        {**names, "weight_decay": 1.23456789e-7, "grad_clip": 9.87654321, "epochs": 123456}
    )
    assert len(runs.run_of(experiment, "smoke", params.values()).path.name) <= 240


def test_whole_numbers_fit_into_the_machine():
    with pytest.raises(UsageError, match="at most 1,000,000,000,000,000"):
        find("cifar10-search").parameters.build({"seed": 2**63})


def test_braces_in_a_path_are_no_places_for_parameters():
    path = Path("/runs/{profile}/{x")
    assert parameterize_path(engine._literal(path), {"profile": "smoke"}) == str(path)


def test_damaged_executed_notebook_is_executed_again(tmp_path):
    (tmp_path / "x.ipynb").write_text("{")
    assert not engine.executed(tmp_path / "x.ipynb")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", execution_count=1)])
    nbformat.write(notebook, tmp_path / "x.ipynb")
    assert engine.executed(tmp_path / "x.ipynb")


def test_report_removes_nothing_outside_of_its_folder(tmp_path):
    aside = tmp_path / "report" / ".new"
    aside.mkdir(parents=True)
    (aside / "made").write_text("")
    (tmp_path / "outside").write_text("")
    (tmp_path / "report" / "inside").write_text("")
    names = ["../outside", str(tmp_path / "outside"), "inside", "missing", 3, ["made"]]
    (tmp_path / "report" / report.LIST).write_text(json.dumps(names))
    report._replace(tmp_path / "report", aside, set(), report.contents(tmp_path / "report"))
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {
        "outside",
        "report/made",
        f"report/{report.LIST}",
    }


def test_folders_within_a_part_are_no_parts_of_a_run():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    for part in (run.path, run.path / "part", run.path / "part" / "deep"):
        part.mkdir(parents=True, exist_ok=True)
        (part / "metrics.jsonl").write_text('{"epoch": 0}\n')
    assert states.state(run).epochs == 2


def test_memory_that_is_not_there_is_told_in_one_line():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")):
        with (
            patch("repro.experiments.toy.descend", side_effect=error),
            pytest.raises(ReproError, match="take smaller sizes"),
        ):
            notebooks.compute(run)
    with (
        patch("repro.experiments.toy.descend", side_effect=RuntimeError("x")),
        pytest.raises(RuntimeError, match="^x$"),
    ):
        notebooks.compute(run)


# ---- archives


def hostile_members(tmp_path):
    """Names that would leave the folder."""
    return ["../outside", str(tmp_path / "outside"), "a/../../outside", "/outside"]


def test_archive_of_wikitext_is_read_by_name_and_never_extracted(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in (*hostile_members(tmp_path), *text.SOURCES["wikitext-2"].files):
            archive.writestr(name, "x")
    with patch.object(text, "_read_url", lambda url: content.getvalue()):
        answer = call(cli.main, ["data", "fetch", "wikitext-2"])
    assert refused(answer, alone=False)
    assert "has md5" in answer.error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_archive_of_cifar10_is_not_extracted_unless_its_md5_is_right(tmp_path):
    def retrieve(url, filename, *more):
        with tarfile.open(filename, "w:gz") as archive:
            for name in hostile_members(tmp_path):
                archive.addfile(tarfile.TarInfo(name), io.BytesIO())
            link = tarfile.TarInfo("cifar-10-batches-py")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path.parent)
            archive.addfile(link)

    with patch("torchvision.datasets.utils._urlretrieve", retrieve):
        answer = call(cli.main, ["data", "fetch", "cifar10"])
    assert refused(answer, alone=False)
    assert "CIFAR-10 could not be downloaded" in answer.error
    assert [path.name for path in tmp_path.rglob("*")] in (["data", "cifar-10-python.tar.gz"], ["data"])


def test_pickles_of_cifar10_are_not_read_unless_their_md5_is_right(tmp_path):
    from hostile import malicious

    batches = tmp_path / "data" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (batches / name).write_bytes(malicious(tmp_path / "sentinel")[0])
    answer = call(cli.main, ["data", "check", "cifar10"])
    assert refused(answer)
    assert not (tmp_path / "sentinel").exists()


def test_hostile_values_of_texts_in_a_real_run(tmp_path):
    """Texts that pass as texts reach the recipe, which refuses them by what they name."""
    sentinel = tmp_path / "sentinel"
    for value in (*code(sentinel), "", " ", "/dev/null", "/", "~", "x" * 5000, "é" * 300, "run:" + "(" * 500):
        for name in ("genotype", "weights"):
            pairs = {**TINY["cifar10-eval"], **TRAINING, "epochs": "1", name: value}
            if name == "weights" and not value:
                continue
            assert refused(call(recipe.main, ["cifar10-eval", *(f"{k}={v}" for k, v in pairs.items())]), alone=False)
    assert not sentinel.exists()


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("cifar10-select", {"search_seeds": "0,1,0"}, "search_seeds=[0, 1, 0] holds 0 more than once"),
        ("bilevel-toy", {"xi": "0.5,0.50"}, "xi=[0.5, 0.5] holds 0.5 more than once"),
        ("cifar10-eval", {"genotype": "DARTS_V2", "weights": "."}, "holds no checkpoint: name a run's folder"),
        ("cifar10-eval", {"genotype": "DARTS_V2", "valid_images": "1497"}, "1497 held out, but digits has 1497"),
        ("cifar10-search", {"images": "1498"}, "images=1498, but digits has 1497 for training"),
        ("spos-supernet", {"valid_images": "1497"}, "valid_images=1497 leaves none of 1497 images to train"),
        ("spos-supernet", {"images": "400", "valid_images": "400"}, "valid_images=400 leaves none of 400 images"),
        ("cifar10-eval", {"genotype": "run:ptb-search"}, "gives a recurrent cell, and a convolutional cell is needed"),
        ("imagenet-eval", {"genotype": "run:spos-blocks"}, "gives a path of a supernet, and a convolutional cell is"),
        ("ptb-eval", {"genotype": "run:bilevel-toy"}, "gives nothing of the kind, and a recurrent cell is needed"),
        ("ptb-select", {"search": "run:cifar10-search"}, "gives a convolutional cell, and a recurrent cell is needed"),
        ("spos-blocks", {"supernet": "run:spos-channels"}, "gives a path of a supernet, and a supernet is needed"),
        ("spos-retrain", {"architecture": "run:spos-supernet"}, "gives a supernet, and a path of a supernet is needed"),
    ],
)
def test_what_would_fail_later_is_refused_before_anything_is_made(tmp_path, monkeypatch, name, values, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReproError, match=re.escape(said)):
        recipe.run_recipe(name, "smoke", values)
    assert not (tmp_path / "runs").exists()
