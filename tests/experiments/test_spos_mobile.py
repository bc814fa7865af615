"""Latency as an experiment: its table adds up, searches keep to it, and one that was measured otherwise is refused."""

import json
from statistics import mean

import pytest
from finished import run

from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_retrain import BASELINES
from repro.errors import ReproError, UsageError
from repro.experiments import spos_search
from repro.experiments.spos_latency import errors
from repro.experiments.spos_networks import build, uniform
from repro.spaces.space import Cost

TABLE = {"width": 0.5, "batch": 1, "rounds": 2, "networks": 3}
SUPERNET = {"space": "mobile", "images": 200, "batch": 20, "iterations": 2, "width": 0.5}
SUPERNET |= {"valid_images": 50, "bn_images": 40, "evaluated_paths": 1}


def named(name, values):
    return f"run:{name}/" + ",".join(f"{key}={value}" for key, value in values.items())


SEARCH = {"supernet": named("spos-supernet", SUPERNET), "bn_images": 40, "generations": 2, "population": 6}
SEARCH |= {"parents": 2, "mutation": 2, "crossover": 2, "mult_adds": 0.0, "latency_table": named("spos-latency", TABLE)}


@pytest.fixture(scope="module", autouse=True)
def table(tmp_path_factory):
    """A measured table and a supernet, in a folder of runs for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_RUNS", str(tmp_path_factory.mktemp("runs")))
        run("spos-supernet", **SUPERNET)
        yield run("spos-latency", **TABLE)


@pytest.fixture(autouse=True)
def judged(monkeypatch):
    """Candidates are judged by their cost: the dearer the better."""
    cost = build(SposSupernet(dataset="digits", width=0.5, space="mobile")).costs()["multiply-adds"]
    monkeypatch.setattr(spos_search, "judge", lambda *arguments: lambda gene: float(cost(gene)))


def test_the_table_adds_up_and_is_held_against_whole_networks(table):
    held, rows = table.load("latency.json"), table.metrics()
    cost, drawn = Cost.from_json(held["cost"]), [row for row in rows if row["network"] == "random"]
    assert len(drawn) == 3
    assert [row["summed"] for row in drawn] == [cost(row["gene"]) for row in drawn]
    assert held["networks"] == {row["network"]: row["summed"] for row in rows if row["network"] != "random"}
    assert held["networks"].keys() == BASELINES.keys()
    assert held["lacking"] == [2]  # of four layers
    off = [row["summed"] / row["measured"] - 1 for row in drawn]
    assert table.result["error_percent"] == pytest.approx(100 * mean(map(abs, off)))
    assert table.result["threads"] == held["threads"] == 1
    assert held["machine"]


def test_errors_are_of_random_networks_in_percent_of_the_whole():
    rows = [("random", 10.0, 11.0), ("random", 20.0, 16.0), ("random", 30.0, 30.0), ("PROXYLESS_R", 1.0, 9.0)]
    found = errors([dict(zip(("network", "measured", "summed"), row, strict=True)) for row in rows])
    assert found["error_percent"] == pytest.approx(10)
    assert found["bias_percent"] == pytest.approx(-10 / 3)
    assert found["worst_percent"] == pytest.approx(-20)
    assert (found["kendall_tau"], found["networks"]) == (1.0, 3)


@pytest.mark.parametrize("network", ["mb3_5x5", "PROXYLESS_R"])
def test_no_candidate_is_slower_by_the_table_than_the_network_that_limits_it(network, table):
    searched, held = run("spos-mobile", **SEARCH, latency_of=network), table.load("latency.json")
    space, cost = build(SposSupernet(dataset="digits", width=0.5, space="mobile")).space, Cost.from_json(held["cost"])
    limit = held["networks"].get(network) or cost(uniform(space, network))
    assert searched.result["latency_limit"] == limit
    rows = [row for part in ("evolution", "random") for row in searched.child(part).metrics()]
    assert all(row["milliseconds"] == cost(row["gene"]) <= limit for row in rows)
    assert searched.result["latency_milliseconds"] == cost(searched.load("found.json")["evolution"])


@pytest.mark.parametrize(
    ("name", "other", "line"),
    [
        ("machine", "Another CPU", "was made with machine=Another CPU, but here machine is"),
        ("threads", 16, "was made with threads=16, but here threads is 1: name a run that was made as this one"),
        ("space", "blocks", "was made with space=blocks, but here space is mobile"),
        ("width", 1.0, "was made with width=1.0, but here width is 0.5"),
    ],
)
def test_a_table_that_was_measured_otherwise_is_refused_in_one_line(name, other, line, table):
    path = table.path / "latency.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {name: other}))
    try:
        with pytest.raises(ReproError, match=line) as caught:
            run("spos-mobile", **SEARCH, latency_of="mb3_3x3")
    finally:
        path.write_text(kept)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"latency": 1e-6}, r"a budget of 1e-06 milliseconds is below the cheapest network, \[.*\], which costs"),
        ({"latency": 5.0, "latency_of": "mb3_3x3"}, "latency=5.0 and latency_of=mb3_3x3 are two limits of latency"),
        ({"latency": 5.0, "latency_table": ""}, "latency=5.0 needs measured blocks: run spos-latency, and add"),
        ({"latency_of": "FBNET_A", "latency_table": "a.json"}, "latency_of=FBNET_A needs measured blocks"),
        ({}, "latency_table=run:spos-latency.* has no effect without a limit: add latency_of=NETWORK"),
        ({"latency_of": "PROXYLESS"}, "network 'PROXYLESS'"),
        ({"latency_of": "skip"}, "choice 6 for the block of layer 2 is out of range"),
        ({"mult_adds": 0.001, "latency_table": ""}, "a budget of 1,000 multiply-adds is below the cheapest network"),
    ],
)
def test_limits_that_cannot_be_are_refused_in_one_line(wrong, line):
    with pytest.raises(ReproError, match=line) as caught:
        run("spos-mobile", **SEARCH | wrong)
    assert "\n" not in str(caught.value)


def test_images_that_are_not_cifar_10_s_are_not_halved():
    with pytest.raises(UsageError, match="pixels=16 with dataset=imagenet: only cifar10 is halved"):
        run("spos-latency", layout="imagenet", pixels=16)
