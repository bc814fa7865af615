"""What others measured: their networks cost what ours say, and their curves stand beside ours, however far ours are."""

import pytest
import torch
from finished import run

from repro.configs.registry import find
from repro.report import figures_training, sections
from repro.results import others
from repro.runs.run import open_run
from repro.spos.choice_blocks import ChoiceNetwork, Layout


def test_multiply_adds_of_all_recorded_networks_are_the_recorded_ones():
    with torch.device("meta"):
        cost = ChoiceNetwork(Layout()).costs()["multiply-adds"]
    record = [row for row in others.csv_rows(others.FOLDER / "spos_search_record.csv") if row["multiply_adds"]]
    assert len(record) == 1270
    assert [cost(tuple(map(int, row["blocks"]))) for row in record] == [int(row["multiply_adds"]) for row in record]


def test_their_curves_begin_and_end_where_they_were_reported_to(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))  # where none of ours is
    search, evaluation = (anchor.curves() for anchor in others.ANCHORS)
    assert [len(measured) for curve in search for measured in curve.errors.values()] == [50, 50, 50, 50]
    assert sorted(100 - curve.errors["train"][0] for curve in search) == pytest.approx([42.512, 42.972], abs=0.05)
    assert 100 - search[0].errors["valid"][0] == pytest.approx(53.064)
    assert [len(measured) for curve in evaluation for measured in curve.errors.values()] == [600, 600]
    assert {part: 100 - measured[0] for part, measured in evaluation[0].errors.items()} == pytest.approx(
        {"train": 31.494, "test": 42.49}
    )
    assert len(others.evolution()) == 1050
    assert 100 - max(others.evolution()) == pytest.approx(34.51)


def test_a_run_of_the_paper_s_size_stands_beside_them_while_it_is_under_way(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    started = open_run(find("cifar10-search"), "paper", {"seed": 3})
    started.log({"epoch": 0, "train_error": 57.5, "valid_error": 47.5})
    open_run(find("cifar10-search"), "paper", {"order": 1}).log({"epoch": 0, "train_error": 1.0})  # of another order
    open_run(find("cifar10-search"), "paper", {"batch": 32}).log({"epoch": 0, "train_error": 2.0})
    open_run(find("cifar10-search"), "paper", {"precision": "bf16"}).log({"epoch": 0, "train_error": 3.0})
    run("bilevel-toy")
    *theirs, ours = others.ANCHORS[0].curves()
    assert ours == others.Curve(started.name, {"train": (57.5,), "valid": (47.5,)}, True)
    assert not any(curve.ours for curve in theirs)
    figure = figures_training.errors([*theirs, ours], "title")
    assert [axes.lines[-1].get_ydata().tolist() for axes in figure.axes] == [[57.5], [47.5]]
    assert f"{started.name} after 1: training 57.5 %, validation 47.5 %" in figure.marks
    table = sections.after([*theirs, ours])
    assert table.iloc[:, 0].tolist() == [1, 2, 5, 10, 20, 50]
    assert table[f"training: {started.name}"].tolist() == [57.5, *[None] * 5]
    assert table[f"validation: {started.name}"].tolist() == [47.5, *[None] * 5]
    name, measured = f"training: {theirs[0].name}", theirs[0].errors["train"]
    assert table[name].tolist() == [measured[epoch - 1] for epoch in table.iloc[:, 0]]


def test_a_training_that_was_not_tested_after_each_epoch_has_no_such_curve(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    open_run(find("cifar10-eval"), "paper", {"genotype": "DARTS_V2"}).log({"epoch": 0, "train_error": 66.8})
    curves = others.ANCHORS[1].curves()
    assert curves[-1].errors == {"train": (66.8,), "test": ()}
    assert sections.after(curves).columns.str.startswith("test").sum() == 1
    assert "after 1: training 66.8 %." in figures_training.errors(curves, "title").marks


def test_trainings_in_float32_alone_stand_beside_them(tmp_path, monkeypatch):
    """Asked for by name or not; by itself a GPU trains found cells in bfloat16."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    for asked, computed, error in (("float32", "float32", 68.2), ("bf16", "bf16", 1.0), ("auto", "bf16", 2.0)):
        run = open_run(find("cifar10-eval"), "paper", {"genotype": "DARTS_V2", "precision": asked})
        with run.session():
            run.record(precision=computed)
            run.log({"epoch": 0, "train_error": error})
    assert [curve.errors["train"] for curve in others.ANCHORS[1].curves() if curve.ours] == [(68.2,)]
