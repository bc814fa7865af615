"""The curve of a run under way is published for the figure beside others, and for nothing else."""

import pytest
from publishing import SUM, checkout, contents

from repro.cli import main
from repro.configs.registry import find
from repro.files import write_json
from repro.report import publish
from repro.results import others
from repro.runs import provenance, states
from repro.runs.run import open_run

pytestmark = pytest.mark.usefixtures("published")
NAME = "cifar10-search/paper"


def under_way(*errors, profile="paper", **overrides):
    run = open_run(find("cifar10-search"), profile, overrides)
    with run.session():
        run.record(device="CPU, 1 thread", data={"cifar10": SUM})
        for epoch, error in enumerate(errors, len(run.metrics())):
            run.log({"epoch": epoch, "train_error": error})
    (run.path / "checkpoint.pt").write_text("stays behind")
    return run


def ours():
    """Names and training errors of our curves."""
    return [(curve.name, curve.errors["train"]) for curve in others.ANCHORS[0].curves() if curve.ours]


def test_it_stands_beside_those_of_others_and_is_no_run(published, monkeypatch, tmp_path):
    under_way(57.5)
    assert main(["publish", "--curve", NAME]) == 0
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "none"))
    place = published / "curves" / NAME
    assert {*contents(place)} == {"params.json", "metrics.jsonl", "provenance.json"}
    assert ours() == [(f"{NAME} (published)", (57.5,))]
    assert not states.survey().runs
    assert not states.survey().damaged


def test_the_longer_of_ones_own_and_the_published_curve_is_shown(published, capsys):
    run = under_way(57.5)
    assert main(["publish", "--curve", NAME]) == 0
    assert main(["publish", "--curve", NAME]) == 0
    assert "there already" in capsys.readouterr().out
    under_way(40.0)
    assert ours() == [(NAME, (57.5, 40.0))]
    assert main(["publish", "--curve", NAME]) == 0
    (run.path / "metrics.jsonl").unlink()
    assert ours() == [(f"{NAME} (published)", (57.5, 40.0))]
    under_way(50.0)
    assert main(["publish", "--curve", NAME]) == 1
    assert "its epochs do not go on from those in" in capsys.readouterr().err
    assert ours() == [(f"{NAME} (published)", (57.5, 40.0))]


def test_a_published_curve_stays_where_a_longer_one_has_no_room(published, monkeypatch, capsys):
    under_way(57.5)
    assert main(["publish", "--curve", NAME]) == 0
    held = contents(published)
    under_way(40.0)
    monkeypatch.setattr(publish, "LIMIT", publish.size())
    assert main(["publish", "--curve", NAME]) == 1
    assert "MB in all" in capsys.readouterr().err
    assert contents(published) == held


def finished(run):
    run.save("result.json", {"valid_error": 3.0})


def without_epochs(run):
    (run.path / "metrics.jsonl").unlink()


def other_data(run):
    write_json(run.path / "provenance.json", {**provenance.read(run.path), "data": {"cifar10": "6" * 64}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (finished, "it is finished: publish it whole, without --curve"),
        (without_epochs, "it has not finished its first epoch"),
        (other_data, "its cifar10 is not that of the data folder"),
    ],
)
def test_what_is_no_curve_under_way_is_refused_in_one_line(change, said, published, capsys):
    change(under_way(57.5))
    assert main(["publish", "--curve", NAME]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not [*published.iterdir()]


@pytest.mark.parametrize("changed", [{"profile": "short"}, {"order": 1}, {"batch": 32}])
def test_of_another_size_there_is_no_curve_of_others(changed, published, capsys):
    run = under_way(57.5, **changed)
    assert main(["publish", "--curve", run.name]) == 1
    assert "nobody's curve stands beside it: expected the paper's own size of cifar10-search" in capsys.readouterr().err
    assert not [*published.iterdir()]


def test_a_changed_tree_is_refused(published, monkeypatch, capsys):
    checkout(monkeypatch, status=" M repro/training/fit.py")
    under_way(57.5)
    assert main(["publish", "--curve", NAME]) == 1
    assert "made from a changed tree" in capsys.readouterr().err


def test_an_unfinished_run_is_refused_whole(published, capsys):
    under_way(57.5)
    assert main(["publish", NAME]) == 1
    assert "it is not finished" in capsys.readouterr().err


def test_a_damaged_one_is_named_and_the_rest_shown(published, capsys):
    under_way(57.5)
    under_way(58.5, seed=1)
    assert main(["publish", "--curve", NAME, f"{NAME},seed=1"]) == 0
    for run in states.survey().runs:
        (run.path / "metrics.jsonl").unlink()
    (published / "curves" / NAME / "params.json").write_text("{")
    capsys.readouterr()
    assert ours() == [(f"{NAME},seed=1 (published)", (58.5,))]
    assert f"curves/{NAME}/params.json" in capsys.readouterr().err
    assert publish.size() > 0
