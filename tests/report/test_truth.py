"""Searches against the truth: what is drawn is what the runs looked up."""

import pytest
from finished import run
from tiny import make_data

from repro.configs.registry import find
from repro.errors import ReproError
from repro.execution import preflight
from repro.report import truth
from repro.runs.run import run_of
from repro.spaces.nas_bench import gene_201

SEARCH = {"images": 48, "batch": 12, "channels": 1, "epochs": 2}
PATHS = {"images": 200, "batch": 40, "channels": 1, "epochs": 4, "valid_images": 50, "bn_images": 40, "search_every": 2}
PATHS |= {"generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1, "ranked": 6}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_every_epochs_cell_is_looked_up_and_drawn(folder, same_bytes):
    make_data(folder)  # where the accuracy of a cell is the sum of its gene
    searches = [run("nb201-search", **SEARCH, seed=seed, eigenvalue="exact", gap=True) for seed in (0, 1)]
    paths = run("nb201-paths", **PATHS)
    for row in [*searches[0].metrics(), *paths.metrics()[1::2]]:
        assert row["true_accuracy"] == sum(gene_201(row["cell"]))
        assert row["skips"] == gene_201(row["cell"]).count(1)
    assert paths.result["random_true_accuracy"] == sum(gene_201(paths.result["random_cell"]))
    assert (paths.result["space_best"], paths.result["space_mean"]) == (24, 12)
    assert -1 <= paths.result["kendall_tau"] <= 1
    assert len(paths.child("ranked").metrics()) == 6
    found = truth.courses("smoke")
    assert [(each.method, each.seed, len(each.epochs)) for each in found] == [
        ("DARTS, order 1", 0, 2),
        ("DARTS, order 1", 1, 2),
        ("SPOS, evolution", 0, 2),
        ("SPOS, random search", 0, 2),
    ]
    assert found[0].accuracies == [row["true_accuracy"] for row in searches[0].metrics()]
    same_bytes(lambda: truth.true_accuracies(found, {"best": 24.0}))
    figure = truth.true_accuracies(found, {"best": 24.0})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *dict.fromkeys(each.method for each in found)
    ]
    without = truth.diagnosis([{"epoch": 0, "skips": 0}, {"epoch": 1, "skips": 0}])
    assert not without.legends
    assert without.marks == "Points: epochs of one search."
    assert without.axes[0].get_ylim() == (-0.3, 2.5)
    panels = truth.diagnosis(searches[0].metrics(), 1).axes
    assert [axes.get_ylabel() for axes in panels] == ["skip connections", "largest eigenvalue", "validation error (%)"]


def test_a_search_on_cifar10_without_the_table_is_refused_before_it_starts(folder):
    make_data(folder)
    (folder / "nas-bench-201" / "nats_bench.csv").unlink()
    for name in ("nb201-search", "nb201-paths"):
        with pytest.raises(ReproError, match=r"NAS-Bench-201 needs .*nats_bench.csv, which is missing"):
            preflight.check(run_of(find(name), "smoke", {"dataset": "cifar10"}))
        preflight.check(run_of(find(name), "smoke", {}))


def test_a_front_marks_every_cell_with_its_weight_or_limit_and_cells_nearly_alike_at_one_place(same_bytes):
    row = lambda cost, accuracy, **how: {"cost": cost, "accuracy": accuracy, "true_accuracy": 90 + accuracy, **how}
    darts = [
        row(3.0, 2.0, weight=0.0),
        row(1.0, 1.0, weight=0.1),
        row(1.05, 1.05, weight=0.3),
    ]  # nearly alike: one place
    result = {"darts": darts, "spos": [row(2.0, 3.0, limit=0.5), row(2.0, 3.0, limit=1.0)], "epochs": 1}
    (axes,) = truth.front(result, "latency (ms)").axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn["DARTS, weight as marked"] == [[1, 91], [1.05, 91.05], [3, 92]]
    assert drawn["SPOS, limit as marked"] == [[2, 93], [2, 93]]
    assert [text.get_text() for text in axes.texts] == ["0.1, 0.3", "0", "0.5, 1"]
    assert axes.get_ylabel() == "true accuracy (%)"
    del darts[0]["true_accuracy"]  # no table
    assert truth.front(result, "latency (ms)").axes[0].get_ylabel() == "accuracy with inherited weights (%)"
    same_bytes(lambda: truth.front(result, "latency (ms)"))
