"""Each kind of fault once, in a real run: it ends with the files of an undisturbed one, or says why not."""

import json
from collections import Counter

import campaign
import growth
import pytest
import table
from tiny import TINY, make_data, small_data

KINDS = {  # a short version: every fault once, spread over the kinds of runs
    "search": ("killed", "full"),
    "evaluation": ("damaged", "other_data", "changing_data", "other_cell"),
    "selection": ("lost", "company"),
    "evaluation on pictures": ("lost_picture", "broken"),
    "supernet": ("wrong_clock", "killed"),
    "evolution": ("cut", "killed", "small_disk"),
    "language model": ("killed",),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "data"
    with small_data():
        make_data(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_run_bears_it(kind, data, tmp_path, monkeypatch):
    name, changes = campaign.KINDS[kind]
    named = {key: value.format(data=data) for key, value in changes.items()}
    with small_data():
        scene = campaign.Scene(tmp_path / "whole", name, named, data).undisturbed()
        for fault in KINDS[kind]:
            dice = campaign.new_dice(kind, fault)
            getattr(campaign.faults, fault)(scene.copy(tmp_path / fault), scene.run, dice)


@pytest.mark.parametrize("kind", ["evaluation", "supernet"])
def test_nothing_grows(kind, tmp_path):
    row = growth.follow(tmp_path, kind, 100)
    growth.check(row)


def test_smallest_runs_are_of_every_experiment():
    assert TINY.keys() == campaign.bad_parameters.EXPERIMENTS.keys()


@pytest.mark.parametrize(
    "pair",
    [
        "threads=10000",
        "channels=1000000000000",
        "lr=1e300",
        "images=1000000000",
        "seed=99999999999999999999",
        "width=0.01",
    ],
)
def test_absurd_number_is_refused_in_one_line(pair, tmp_path):
    name, _, text = pair.partition("=")
    experiment = "spos-retrain" if name == "width" else "cifar10-eval"
    scene = campaign.Scene(tmp_path / "run", experiment, {name: text})
    assert campaign.absurd.ended(scene, 60.0) == "refused"


def test_page_is_made_of_the_results():
    results = json.loads(campaign.RESULTS.read_text())
    assert (campaign.HERE / "README.md").read_text() == table.page(results)
    assert sum(row[-1] for row in results["runs"]) >= 200
    assert {kind for _, kind, _, times in results["runs"] if times} == campaign.KINDS.keys()
    refused = Counter({what: times for what, outcome, times in results["inputs"] if outcome == "refused"})
    assert refused.total() >= 10_000
    assert {row["kind"] for row in results["growth"]} == growth.KINDS.keys()
