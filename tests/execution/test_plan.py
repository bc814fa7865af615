"""The plan: measured hours before published ones, every number with its source, the schedule between its bounds."""

import json
import re
from itertools import pairwise
from statistics import median

import pytest
import torch
from prose import section

from repro.cli import main
from repro.configs import hours, profiles
from repro.configs.record import KINDS
from repro.configs.registry import EXPERIMENTS, find
from repro.configs.spos_networks import SposSupernet
from repro.execution import plan, runner
from repro.results import published
from repro.results.rows import ROWS
from repro.runs import run as runs

pytestmark = pytest.mark.usefixtures("folder")

PAPER = [(experiment, changes) for experiment, changes in profiles.plan("paper")]


def finish(name, overrides, seconds, mib=None):
    """Make a finished run that took that long; whether its notebook was executed is not of interest here."""
    run = runs.open_run(find(name), "smoke", overrides)
    facts = {
        "versions": {},
        "sessions": [{"start": "2026-01-01T00:00:00", "command": "repro run", "seconds": seconds / 2}] * 2,
    }
    run.save("provenance.json", facts | ({"memory": {"mib": mib}} if mib else {}))
    run.save("result.json", {})
    return run


def jobs_of(*requests):
    return runner.plan([(find(name), overrides) for name, overrides in requests], "smoke", with_needs=True)


def test_measured_hours_of_the_most_similar_runs(monkeypatch):
    for seed, seconds in enumerate((100, 300, 200)):
        finish("cifar10-search", {"seed": seed}, seconds, mib=500 + seed)
    finish("cifar10-search", {"order": 1}, 3600)
    monkeypatch.setattr(plan.runner, "is_done", lambda run: run.params.values()["seed"] == 1)
    jobs = jobs_of(*(("cifar10-search", {"seed": seed}) for seed in (0, 1, 7)), ("cifar10-search", {"epochs": 9}))
    known = {job.run.path.name: each for job, each in zip(jobs, plan.estimates(jobs).values(), strict=True)}
    assert (known["smoke"].hours, known["smoke"].kind) == (0.0, "measured")  # only its notebook is left to execute
    assert (known["smoke,seed=1"].hours, known["smoke,seed=1"].kind) == (0.0, "done")
    assert known["smoke,seed=7"].hours == pytest.approx(200 / 3600)
    assert known["smoke,seed=7"].memory == 502
    assert known["smoke,seed=7"].source == "3 finished runs of this experiment"
    share, in_first_order = 9 / find("cifar10-search").sizes["smoke"]["epochs"], 4 / 1.5  # DARTS Table 1
    others = [100 * share, 300 * share, 200 * share, 3600 * share * in_first_order]
    assert known["smoke,epochs=9"].hours == pytest.approx(median(others) / 3600)
    assert known["smoke,epochs=9"].kind == "derived"
    assert known["smoke,epochs=9"].source == "4 runs of this experiment with other parameters, by their work"


def test_steps_that_were_measured_give_the_hours_of_runs_that_take_them(tmp_path, capsys):
    """Of the fastest whose numbers passed, by the epochs; runs of other sizes keep what the paper paid."""
    row = {"experiment": "cifar10-search", "where": {"order": 1}, "passed": True}
    rows = [{**row, "variant": "graph", "hours": 0.5}, {**row, "variant": "tf32", "hours": 0.3}]
    rows += [{**row, "variant": "bf16", "hours": 0.1, "passed": False}]
    file = tmp_path / "04-steps.json"
    file.write_text(json.dumps({"rows": {each["variant"]: each for each in rows}}))
    asked = ({"order": 1}, {"order": 1, "epochs": 25, "seed": 3}, {"order": 1, "channels": 8}, {"order": 2})
    jobs = runner.plan([(find("cifar10-search"), each) for each in asked], "paper", with_needs=True)
    whole, half, narrow, second = plan.estimates(jobs, file).values()
    assert (whole.hours, whole.kind, whole.source) == (0.3, "measured", "the steps of 04-steps.json: tf32")
    assert half.hours == pytest.approx(0.15)
    assert {narrow.kind, second.kind} == {"derived"}
    assert main(["plan", "--profile", "paper", "--certified", str(file)]) == 0
    assert "measured: the steps of 04-steps.json: tf32" in capsys.readouterr().out
    assert main(["plan", "--certified", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"repro: {tmp_path / 'none'} does not exist\n"


def test_what_did_not_run_here_is_said_with_its_source(capsys):
    assert main(["plan"]) == 0
    out = capsys.readouterr().out
    count = len(runner.plan(profiles.plan("smoke"), "smoke", True))
    assert f"smoke: {count} runs, 0 done, {count} to run\ncore hours: 0." in out
    assert "shipped: measured on two cores" in out
    assert "memory: not known, none has run" in out


def test_at_desk_a_plan_counts_cores_by_what_records_have_measured(capsys):
    assert main(["plan", "--profile", "desk", "--gpus", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("core hours: ") for line in lines)
    assert [line.split()[0] for line in lines[-6:]] == ["cores", "1", "2", "3", "4", "8"]
    joint = find("cifar10-joint")
    requests = [(joint, {"strategy": "simultaneous"}), (joint, {"strategy": "simultaneous", "epochs": 10})]
    usual, twice = plan.estimates(runner.plan(requests, "desk", with_needs=True)).values()
    assert (usual.hours, usual.kind) == (joint.desk_hours[0].hours, "shipped")
    assert twice.hours == pytest.approx(2 * usual.hours)


def test_the_paper_profile_on_many_gpus(capsys):
    assert main(["plan", "--profile", "paper", "--gpus", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    order = [line.split()[-1] for line in lines[1 : lines.index("")]]
    jobs = runner.plan(profiles.plan("paper"), "paper", with_needs=True)
    assert sorted(order) == sorted(job.run.name for job in jobs)
    for job in jobs:
        for need in job.needs:
            assert order.index(f"{need.parent.name}/{need.name}") < order.index(job.run.name)
    assert [line.split()[0] for line in lines[-5:]] == ["1", "4", "5", "16", "64"]
    assert not any("unknown" in line for line in lines)


def test_the_page_on_clusters_says_what_the_plan_says():
    text = section("docs/cluster.md", "## How long it takes")
    jobs = runner.plan(profiles.plan("paper"), "paper", with_needs=True)
    known = plan.estimates(jobs)
    left = plan.tasks(jobs, known)
    counted = {kind: sum(each.hours for each in known.values() if each.kind == kind) for kind in KINDS}
    disk = sum(each.disk for each in known.values()) / 1e9
    assert f"{len(jobs)} runs, about {disk:.0f} GB and {sum(counted.values()):,.0f} hours" in " ".join(text.split())
    for value in counted.values():
        assert f"{value:,.0f}" in text
    rows = [re.findall(r"[\d.]+", line) for line in text.splitlines() if line.startswith("|")]
    counts, _, until, least = (list(map(float, row)) for row in rows)
    for count, days, bound in zip(counts, until, least, strict=True):
        assert days == pytest.approx(plan.makespan(plan.simulate(left, int(count))) / 24, rel=2e-3)
        assert bound == pytest.approx(plan.lower_bound(left, int(count)) / 24, rel=2e-3)


RANDOM = ("random choice (5 runs)", "random channels (5 runs)", "random blocks and channels")


@pytest.mark.parametrize("table", ROWS)
def test_every_published_row_that_names_a_run_is_made_by_the_plan(table):
    """With the seeds that the row is about: ten where it prints a deviation, five of SPOS's random ones, else one."""
    planned = [(each.name, runs.resolve(each, "paper", changes).identity()) for each, changes in PAPER]
    numbers = published.table(table).set_index("id")
    for key, row in ROWS[table].items():
        line = numbers.loc[key]
        seeds = 5 if line["architecture"].startswith(RANDOM) else 1
        seeds = 10 if line.get("std") == line.get("std") is not None else seeds
        assert len(row.seeds("paper")) == seeds
        wanted = runs.resolve(find(row.experiment), "paper", row.changes_in("paper")).identity()
        for seed in range(seeds):
            assert (row.experiment, {**wanted, "seed": seed}) in planned, (key, seed)


def test_longest_paths_come_first_and_needs_before():
    jobs = runner.plan(profiles.plan("paper"), "paper", with_needs=True)
    ranked = plan.ranked(jobs)
    left = plan.remaining(plan.tasks(jobs, plan.estimates(jobs)))
    assert all(left[one.run.path] >= left[other.run.path] for one, other in pairwise(ranked))
    places = {job.run.path: place for place, job in enumerate(ranked)}
    assert all(places[need] < places[job.run.path] for job in jobs for need in job.needs)


def test_every_experiment_has_hours_with_a_source():
    for experiment in EXPERIMENTS.values():
        assert not experiment.hours[-1].where
        for known in experiment.hours:
            assert known.kind in KINDS
            assert known.source
            params = experiment.parameters.build({**experiment.parameters().values(), **known.where})
            assert hours.published(experiment, params).hours == pytest.approx(known.hours)


@pytest.mark.parametrize(
    ("table", "row", "experiment", "changes", "runs"),
    [
        ("darts_table1_cifar10", "DARTS-1st+cutout", "cifar10-search", {"order": 1}, 4),
        ("darts_table1_cifar10", "DARTS-2nd+cutout", "cifar10-search", {}, 4),
        ("darts_table1_cifar10", "Random(best of 24)+cutout", "cifar10-random", {}, 1),
        ("darts_table2_ptb", "DARTS-1st", "ptb-search", {"order": 1}, 4),
        ("darts_table2_ptb", "DARTS-2nd", "ptb-search", {}, 4),
        ("darts_table2_ptb", "Random(best of 8)", "ptb-random", {}, 1),
    ],
)
def test_hours_are_those_of_the_published_tables(table, row, experiment, changes, runs):
    frame = published.table(table).set_index("architecture")
    params = find(experiment).parameters.build({**find(experiment).parameters().values(), **changes})
    assert hours.published(find(experiment), params).hours * runs == 24 * frame.loc[row, "search_gpu_days"]


@pytest.mark.parametrize(
    ("name", "changes", "share"),
    [
        ("cifar10-search", {"epochs": 25}, 1 / 2),
        ("cifar10-select", {"epochs": 50, "search_seeds": (0, 1)}, 1 / 4),
        ("cifar10-random", {"samples": 6}, 1 / 4),
        ("cifar10-progress", {"snapshots": (1,)}, 1 / 11),
        ("spos-supernet", {"iterations": 75_000, "batch": 512}, 1 / 4),
        ("spos-blocks", {"population": 25}, 1 / 2),
        ("spos-correlation", {"networks": 50}, 1 / 2),
    ],
)
def test_a_shorter_run_counts_by_its_share(name, changes, share):
    experiment = find(name)
    whole = hours.published(experiment, experiment.parameters()).hours
    params = experiment.parameters.build({**experiment.parameters().values(), **changes})
    assert hours.published(experiment, params).hours == pytest.approx(share * whole)


def test_parameters_of_the_networks_that_checkpoints_hold():
    from repro.darts.cnn.search_network import SearchNetwork
    from repro.experiments.spos_networks import build

    counted = {}
    with torch.device("meta"):
        for changes in ({}, {"order": 1}, {"cells": 20, "channels": 6}):
            shape = {"channels": 16, "cells": 8} | {name: changes[name] for name in changes if name != "order"}
            network = SearchNetwork(shape["channels"], 10, shape["cells"])
            counted["cifar10-search", str(changes)] = sum(weight.numel() for weight in network.weights())
        for space in ({"space": "blocks"}, {"space": "channels"}, {"space": "bits", "depth": 18}):
            network = build(SposSupernet.build({**SposSupernet().values(), **space}))
            counted["spos-supernet", str(space)] = sum(weight.numel() for weight in network.parameters())
    for (name, text), count in counted.items():
        known = next(each for each in find(name).hours if str(dict(each.where)) == text)
        assert round(count / 1e6, 2) == known.millions, (name, text)


@pytest.mark.parametrize("options", [["--gpus", "0"], ["--gpus", "-3"], ["--seeds", "a"]])
def test_wrong_options_are_one_line(options, capsys):
    assert main(["plan", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_most_memory_of_all_sessions_is_kept():
    run = runs.open_run(find("bilevel-toy"), "smoke", {})
    with run.session():
        run.log({"epoch": 0})
    first = json.loads((run.path / "provenance.json").read_text())["memory"]["mib"]
    assert 20 < first < 100_000
    run.save("provenance.json", {**json.loads((run.path / "provenance.json").read_text()), "memory": {"mib": 123_456}})
    with run.session():
        run.log({"epoch": 1})
    assert json.loads((run.path / "provenance.json").read_text())["memory"]["mib"] == 123_456
