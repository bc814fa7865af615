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
    assert [len(curve.errors) for curve in search] == [50, 50]
    assert sorted(100 - curve.errors[0] for curve in search) == pytest.approx([42.512, 42.972], abs=0.05)
    assert [len(curve.errors) for curve in evaluation] == [600]
    assert 100 - evaluation[0].errors[0] == pytest.approx(31.494)
    assert len(others.evolution()) == 1050
    assert 100 - max(others.evolution()) == pytest.approx(34.51)


def test_a_run_of_the_paper_s_size_stands_beside_them_while_it_is_under_way(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    started = open_run(find("cifar10-search"), "paper", {"seed": 3})
    started.log({"epoch": 0, "train_error": 57.5})
    open_run(find("cifar10-search"), "paper", {"order": 1}).log({"epoch": 0, "train_error": 1.0})  # of another order
    open_run(find("cifar10-search"), "paper", {"batch": 32}).log({"epoch": 0, "train_error": 2.0})
    run("bilevel-toy")
    *theirs, ours = others.ANCHORS[0].curves()
    assert ours == others.Curve(started.name, (57.5,), True)
    assert not any(curve.ours for curve in theirs)
    figure = figures_training.errors([*theirs, ours], "title")
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines][-1] == [57.5]
    assert f"{started.name}: 57.5 % after 1" in figure.marks
    table = sections.after([*theirs, ours])
    assert table.iloc[:, 0].tolist() == [1, 2, 5, 10, 20, 50]
    assert table[started.name].tolist() == [57.5, *[None] * 5]
    assert table[theirs[0].name].tolist() == [theirs[0].errors[epoch - 1] for epoch in table.iloc[:, 0]]
