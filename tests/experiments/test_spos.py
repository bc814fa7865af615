"""The experiments of SPOS at the smallest sizes: searches that replay, hard limits, and what is refused in one line."""

import json
from unittest import mock

import numpy as np
import pytest
import torch
from finished import run
from interruptions import interrupted
from scipy.stats import chisquare
from tiny_spos import NAMED, SEARCH, SUPERNET, TINY
from torch.optim.lr_scheduler import LambdaLR

from repro.cli import main
from repro.configs.registry import find
from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_search import GIGA
from repro.errors import ReproError, UsageError
from repro.experiments import spos_correlation, spos_evolution, spos_search
from repro.experiments.spos_correlation import draw
from repro.experiments.spos_networks import build
from repro.experiments.spos_training import path_sampler
from repro.runs import provenance
from repro.runs.run import open_run
from repro.spaces.nas_bench import MACRO_SPACE, kendall_tau
from repro.spaces.space import Space
from repro.spos.choice_blocks import ChoiceBlock
from repro.training import acceleration, checkpoints

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """From now on, work in another runs folder."""
    return lambda: monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "elsewhere"))


def counted(cost, limit=None):
    """A stand-in for the judge: the dearer the better, and after `limit` candidates the machine stops."""
    calls = []

    def score(gene):
        if len(calls) == limit:
            raise KeyboardInterrupt
        calls.append(gene)
        return float(cost(gene))

    return score, calls


@pytest.fixture
def judged(monkeypatch):
    """Let searches judge by cost, at most so many candidates; returns the list of those judged."""

    def use(limit=None, space="blocks"):
        cost = build(SposSupernet(dataset="digits", width=0.5, space=space)).costs()["multiply-adds"]
        score, calls = counted(cost, limit)
        monkeypatch.setattr(spos_search, "judge", lambda *arguments: score)
        return calls

    return use


# ---- training


def test_a_supernet_is_trained_for_so_many_steps_and_its_paths_judged():
    trained = run("spos-supernet", **SUPERNET | {"iterations": 11})  # 7 batches of 20 in 150 images
    assert [row["epoch"] for row in trained.metrics()] == [0, 1]
    state = checkpoints.load(trained.path)["state"]
    assert state["schedule"]["last_epoch"] == 11
    assert state["optimizer"]["param_groups"][0]["lr"] == 0
    rows = trained.load("paths.json")
    assert trained.result["accuracy"] == pytest.approx(sum(row["accuracy"] for row in rows) / 2)
    assert trained.result["networks"] == 256


@pytest.mark.parametrize(("at", "minutes"), [(20, 10.0), (29, 10.0), (29, 1e-9)])
def test_an_interrupted_training_ends_with_the_same_numbers(at, minutes, elsewhere):
    """Its last pass, 10 steps at rate 0, included, which begins within an epoch."""
    arguments = {"architecture": "xception", **TINY, "iterations": 24, "checkpoint_minutes": minutes}
    whole = run("spos-retrain", **arguments)
    assert [row["lr"] == 0 for row in whole.metrics()] == [False] * 3 + [True]
    assert checkpoints.load(whole.path)["state"]["schedule"]["last_epoch"] == 24 + 10
    elsewhere()
    with interrupted(LambdaLR, "step", at=at):
        run("spos-retrain", **arguments)
    resumed = run("spos-retrain", **arguments)
    assert resumed.result == whole.result
    held = [checkpoints.load(each.path)["state"]["network"] for each in (whole, resumed)]
    assert all(torch.equal(held[0][name], held[1][name]) for name in held[0])


LAYOUTS = [
    {"space": "blocks"},
    {"space": "channels"},
    {"space": "channels", "blocks": "shuffle_3x3"},
    {"space": "bits"},
    {"space": "bits", "depth": 34},
    {"space": "macro", "dataset": "cifar10"},
    {"space": "blocks", "dataset": "cifar10"},
    {"space": "channels", "dataset": "digits"},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout.values())))
def test_in_every_space_the_paths_are_spread_evenly_over_seven_bins_of_their_cost(layout):
    params = SposSupernet(**layout)
    with torch.device("meta"):
        network = build(params)
    sampler = path_sampler(params, network)
    assert sampler.cost.name == ("BitOps" if params.space == "bits" else "multiply-adds")
    edges = [sampler.bins[0][0], *(high for _, high in sampler.bins)]
    if layout == LAYOUTS[0]:
        assert edges == [million * 1e6 for million in (290, 300, 310, 320, 330, 340, 350, 360)]  # the released code's
    drawn = np.array([sampler() for _ in range(1400)])
    counts, _ = np.histogram(sampler.cost.many(drawn), edges)
    assert len(counts) == 7
    assert counts.sum() == 1400  # none elsewhere
    assert chisquare(counts).pvalue > 0.001
    assert len(np.unique(drawn, axis=0)) > 1400 * (0.5 if network.space.count < 10_000 else 0.95)
    for place, size in enumerate(network.space.sizes):
        assert np.bincount(drawn[:, place], minlength=size).min() > 0.3 * 1400 / size


def test_a_space_of_one_network_has_its_only_path():
    params = SposSupernet(blocks="xception")
    with torch.device("meta"):
        assert path_sampler(params, build(params))() == (0,) * 20


# ---- searches


@pytest.mark.parametrize("survived", [0, 5, 18, 29])
def test_a_search_killed_at_any_candidate_replays_to_the_same_end(survived, judged, elsewhere):
    run("spos-supernet", **SUPERNET)
    all_calls = judged()
    whole = run("spos-blocks", **SEARCH)
    elsewhere()
    run("spos-supernet", **SUPERNET)
    judged(limit=survived)
    with pytest.raises(KeyboardInterrupt):
        run("spos-blocks", **SEARCH)
    part = open_run(find("spos-blocks"), "smoke", SEARCH).child("evolution" if survived < 18 else "random")
    with open(part.path / "metrics.jsonl", "a") as file:
        file.write('{"gene": [1, 0')  # a line that the crash cut short
    calls = judged()
    resumed = run("spos-blocks", **SEARCH)
    assert len(calls) == len(all_calls) - survived
    assert resumed.result == whole.result
    assert resumed.load("found.json") == whole.load("found.json")
    for part in ("evolution", "random"):
        assert resumed.child(part).metrics() == whole.child(part).metrics()


def test_a_search_with_the_real_judge_is_deterministic(elsewhere):
    results = []
    for _ in range(2):
        run("spos-supernet", **SUPERNET)
        results.append(run("spos-blocks", **SEARCH).result)
        elsewhere()
    assert results[0] == results[1]


def test_searches_are_followed_iteration_by_iteration_on_supernets_of_both_samplings(monkeypatch):
    """Evolution and random search begin with one population; what a search had judged is not judged again."""
    for sampling in ("bins", "uniform"):
        run("spos-supernet", sampling=sampling, **SUPERNET)
    judging = []

    def judge(supernet, *arguments):
        judging.append(supernet.sampling)
        return lambda gene: float(sum(gene)) + (supernet.sampling == "bins")

    monkeypatch.setattr(spos_evolution, "judge", judge)
    done = run("spos-evolution", **SEARCH | {"uniform": NAMED, "search_seeds": (0,)})
    rows = done.load("iterations.json")
    assert judging == ["bins", "uniform"]
    best = {
        name: [row["accuracy"] for row in rows if row["search"] == name] for name in ("evolution", "random", "uniform")
    }
    assert all(len(each) == 3 and each == sorted(each) for each in best.values())
    assert best["evolution"][0] == best["random"][0] == best["uniform"][0] + 1
    for name, entry in (("evolution", ""), ("random", "random_"), ("uniform", "uniform_")):
        scores = [row["accuracy"] for row in done.child(f"{name}-0").metrics()]
        assert best[name] == [max(scores[:6]), max(scores[:12]), max(scores)]
        assert done.result[f"{entry}accuracy"] == best[name][-1]


LIMITS = [
    ("spos-blocks", "blocks", {"mult_adds": 0.045}, "multiply-adds", 0.045e6),
    ("spos-blocks", "blocks", {"mult_adds": 0.0, "parameters": 0.0024}, "parameters", 0.0024e6),
    ("spos-channels", "channels", {"mult_adds": 0.035}, "multiply-adds", 0.035e6),
    ("spos-bits", "bits", {"bitops": 0.0004}, "BitOps", 0.0004 * GIGA),
]


@pytest.mark.parametrize(("name", "space", "limit", "cost", "most"), LIMITS)
def test_no_candidate_is_over_its_limit_and_the_limit_is_used(name, space, limit, cost, most, judged):
    run("spos-supernet", space=space, **SUPERNET)
    judged(space=space)
    searched = run(name, **SEARCH | limit)
    first = [searched.child(part).metrics()[:6] for part in ("evolution", "random")]
    assert first[0] == first[1]  # the first generation is random in both
    for part in ("evolution", "random"):
        rows = searched.child(part).metrics()
        assert len(rows) == 18
        assert max(row[cost] for row in rows) <= most
    best = searched.load("found.json")["evolution"]
    assert build(SposSupernet(dataset="digits", width=0.5, space=space)).space.check(best)


# ---- how networks compute


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_networks_train_and_are_judged_and_timed_as_the_parameters_ask(precision, monkeypatch):
    """On a machine that has bfloat16; networks are tested in float32."""
    seen, forward = set(), ChoiceBlock.forward

    def watched(self, x, width=0):
        seen.add("bf16" if torch.is_autocast_enabled("cpu") else "float32")
        return forward(self, x, width)

    def computes(name, **parameters):
        seen.clear()
        with mock.patch.object(acceleration, "lay_out", wraps=acceleration.lay_out) as lay_out:
            finished = run(name, **parameters, **asked)
        assert {call.args[0] for call in lay_out.call_args_list} == {"off"}
        assert provenance.read(finished.path)["precision"] == precision
        return set(seen)

    monkeypatch.setattr(ChoiceBlock, "forward", watched)
    monkeypatch.setattr(acceleration, "precision", lambda asked, device: asked)
    asked = {"channels_last": "off"} | ({} if precision == "float32" else {"precision": precision})
    assert computes("spos-supernet", **SUPERNET) == {precision}
    supernet = NAMED if precision == "float32" else f"{NAMED},precision={precision}"
    assert computes("spos-blocks", **{**SEARCH, "supernet": supernet, "generations": 1}) == {precision}
    assert computes("spos-latency", space="blocks", width=0.5, batch=1, rounds=2, networks=2) == {precision}
    trained = {"supernet": f"{supernet},space=blocks", "networks": 2, "bn_images": 40, "iterations": 2}
    assert computes("spos-correlation", **trained) == {precision, "float32"}
    assert computes("spos-retrain", **TINY, architecture="xception") == {precision, "float32"}


# ---- correlation


def test_the_correlation_is_that_of_networks_trained_for_real():
    run("spos-supernet", space="macro", **SUPERNET)
    part = {"networks": 3, "supernet": NAMED, "bn_images": 40, "iterations": 2}
    whole = run("spos-correlation", **part)
    rows = whole.load("networks.json")
    assert whole.result["networks"] == len({tuple(row["gene"]) for row in rows}) == 3
    assert whole.result["kendall_tau"] == kendall_tau(
        *([row[name] for row in rows] for name in ("inherited", "stand_alone"))
    )
    with interrupted(spos_correlation, "train_alone", at=2):
        run("spos-correlation", seed=1, **part)
    with mock.patch.object(spos_correlation, "train_alone", wraps=spos_correlation.train_alone) as train:
        resumed = run("spos-correlation", seed=1, **part)
    assert train.call_count == 2
    assert len(resumed.load("networks.json")) == 3


def test_networks_are_drawn_without_repeating_and_all_where_there_are_few():
    space = Space(3, {"block": ("a", "b", "c")})
    assert len(set(draw(space, 20, 0))) == 20
    assert draw(space, 20, 0) == draw(space, 20, 0) != draw(space, 20, 1)
    assert draw(space, 27, 0) == draw(space, 1000, 0) == list(space.genes())


# ---- bad input


def test_what_cannot_be_is_refused_in_one_line(judged, tmp_path):
    run("spos-supernet", **SUPERNET)
    with pytest.raises(
        ReproError, match=r"a budget of 1,000 multiply-adds is below the cheapest network, \[0, 0, 0, 0\]"
    ):
        run("spos-blocks", **SEARCH | {"mult_adds": 0.001})
    with pytest.raises(UsageError, match="bitops=1, but only the space bits has BitOps"):
        run("spos-blocks", **SEARCH | {"bitops": 1.0})
    with pytest.raises(UsageError, match="bn_images=1000, but 150 images train the supernet: take fewer"):
        run("spos-blocks", **SEARCH | {"bn_images": 1000})
    with pytest.raises(UsageError, match="8 mutants and 2 crossings do not fit into a population of 6"):
        run("spos-blocks", **SEARCH | {"mutation": 8})
    for path in (tmp_path / "runs" / "spos-supernet").glob("*/checkpoint*.pt"):
        path.unlink()
    with pytest.raises(ReproError, match=r"has lost its checkpoint\.pt"):
        run("spos-blocks", **SEARCH)
    with pytest.raises(UsageError, match="held-out images cannot be balanced: choose a multiple of 10"):
        run("spos-supernet", **SUPERNET | {"valid_images": 55})
    with pytest.raises(UsageError, match="space=macro has no layout for imagenet: take dataset=cifar10 or digits"):
        build(SposSupernet(space="macro"))


def test_a_table_with_missing_rows_is_refused_before_anything_is_evaluated(tmp_path, monkeypatch):
    run("spos-supernet", space="macro", **SUPERNET)
    arguments = {"supernet": NAMED, "bn_images": 40, "benchmark": "nas-bench-macro"}
    monkeypatch.setattr(spos_correlation, "load_supernet", None)
    with pytest.raises(ReproError, match=r"NAS-Bench-Macro needs .*nas-bench-macro_cifar10\.json, which is missing"):
        run("spos-correlation", **arguments)
    path = tmp_path / "data" / "nas-bench-macro" / "nas-bench-macro_cifar10.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"0" * 8: {"test_acc": [90.0], "params": 1, "flops": 1}}))
    with pytest.raises(ReproError, match=r"has 1 of 6,561 networks, and not \[0, 0, 0, 0, 0, 0, 0, 1\]"):
        run("spos-correlation", **arguments)


def test_a_supernet_of_other_networks_than_the_table_s_is_refused(monkeypatch):
    run("spos-supernet", space="macro", **SUPERNET)
    table = type("Table", (), {"name": "NAS-Bench-Macro", "space": MACRO_SPACE})
    monkeypatch.setattr(spos_correlation, "nas_bench_macro", lambda tmp_path: table)
    with pytest.raises(UsageError, match="is not of the networks of NAS-Bench-Macro: take a supernet with space=macro"):
        run("spos-correlation", supernet=NAMED, bn_images=40, benchmark="nas-bench-macro")


def test_the_command_line_says_it_in_one_line(capsys, tmp_path):
    assert main(["run", "spos-blocks"]) == 1
    assert "spos-supernet/smoke is needed and not finished" in capsys.readouterr().err
    assert main(["run", "spos-retrain", "-p", "space=macro"]) == 2
    error = capsys.readouterr().err
    assert "space='macro' is wrong: space takes one of 'blocks', 'channels', 'bits'" in error
    assert error.count("\n") == 1
