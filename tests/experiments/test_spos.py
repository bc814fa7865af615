"""The experiments of SPOS at the smallest sizes: searches that replay, hard limits, and what is refused in one line."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from finished import run
from interruptions import interrupted
from scipy.stats import chisquare
from torch.optim.lr_scheduler import LambdaLR

from repro.cli import main
from repro.configs.references import parse_reference
from repro.configs.registry import find
from repro.configs.spos_networks import SposRetrain, SposSupernet
from repro.configs.spos_search import GIGA
from repro.errors import ReproError, UsageError
from repro.experiments import spos_correlation, spos_evolution, spos_search
from repro.experiments.spos_correlation import draw
from repro.experiments.spos_networks import build, choose
from repro.experiments.spos_training import path_sampler
from repro.runs import provenance
from repro.runs.run import open_run
from repro.spaces.nas_bench import MACRO_SPACE, kendall_tau
from repro.spaces.path_spaces import PUBLISHED
from repro.spaces.space import Space
from repro.spos.choice_blocks import ChoiceBlock
from repro.training import acceleration, checkpoints

COUNTS = Path(__file__).parents[1] / "reference" / "counts.json"
TINY = {"images": 200, "batch": 20, "iterations": 3, "width": 0.5}
SUPERNET = {**TINY, "valid_images": 50, "bn_images": 40, "evaluated_paths": 2}
NAMED = "run:spos-supernet/" + ",".join(f"{name}={value}" for name, value in SUPERNET.items())
SEARCH = {"supernet": NAMED, "bn_images": 40, "generations": 3, "population": 6}
SEARCH |= {"parents": 2, "mutation": 2, "crossover": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    return tmp_path


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


# ---- what is found is retrained


def retrained(**changes):
    return SposRetrain.build({"dataset": "digits", "width": 0.5, "mult_adds": 0.0, **changes})


def test_the_winners_of_a_search_can_be_trained(judged):
    run("spos-supernet", **SUPERNET)
    judged()
    found = run("spos-blocks", **SEARCH).load("found.json")
    reference = f"run:spos-blocks/{','.join(f'{k}={v}' for k, v in SEARCH.items() if k != 'supernet')}"
    reference += f",supernet=({NAMED})"
    for winner in ("evolution", "random"):
        network, choices = choose(retrained(architecture=reference, winner=winner), "smoke")
        space = build(SposSupernet(dataset="digits", width=0.5)).space
        assert choices == space.names(found[winner])
        assert network.space.kinds == {}
    with pytest.raises(UsageError, match="found a network with space=blocks, not channels: add space=blocks"):
        choose(retrained(architecture=reference, space="channels"), "smoke")


@pytest.fixture
def on_found(monkeypatch):
    """What searches channels on the blocks that a search found: the parameters' changes, and those blocks."""
    run("spos-supernet", **SUPERNET)
    monkeypatch.setattr(spos_search, "judge", lambda *arguments: lambda gene: float(sum(gene)))
    search = {name: value for name, value in SEARCH.items() if name != "supernet"}
    blocks = f"run:spos-blocks/{','.join(f'{k}={v}' for k, v in search.items())},supernet=({NAMED})"
    found = run("spos-blocks", **SEARCH)
    run("spos-supernet", space="channels", blocks=blocks, **SUPERNET)
    return {**search, "supernet": f"{NAMED},blocks=({blocks})"}, blocks, found.result["choices"]["block"]


def test_channels_are_searched_on_the_blocks_that_a_search_found(on_found):
    search, blocks, names = on_found
    searched = run("spos-channels", **search)
    assert searched.result["choices"]["block"] == names
    assert len(searched.load("found.json")["evolution"]) == len(searched.result["choices"]["width"]) == 4
    reference = f"run:spos-channels/{','.join(f'{k}={v}' for k, v in search.items() if k != 'supernet')}"
    reference += f",supernet=({search['supernet']})"
    network, choices = choose(retrained(architecture=reference, space="channels", blocks=f"{blocks},seed=0"), "smoke")
    assert choices == searched.result["choices"]
    assert network.costs()["multiply-adds"](()) / 1e6 == pytest.approx(searched.result["mult_adds_millions"])
    for other in ("all", "shuffle_3x3"):
        with pytest.raises(UsageError, match=f"not {other}: add blocks=run:spos-blocks"):
            choose(retrained(architecture=reference, space="channels", blocks=other), "smoke")


def test_fixed_blocks_are_a_published_network_s_and_leave_channels_to_choose():
    with torch.device("meta"):
        supernet = build(SposSupernet(space="channels", blocks="SPOS"))
        whole = build(SposSupernet(space="channels"))
    blocks, published = PUBLISHED["SPOS"][1].gene, PUBLISHED["SPOS_CHANNELS"][1].gene
    assert supernet.space.sizes == (8,) * 20
    assert supernet.names(published[20:]) == whole.names(published)
    assert published[:20] == blocks
    for name, cost in supernet.costs().items():
        assert cost(published[20:]) == whole.costs()[name](published)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"blocks": "SPOS"}, "blocks=SPOS fixes the block of every layer: take space=channels"),
        ({"blocks": "run:spos-bits", "space": "channels"}, "only a search of blocks finds some; take run:spos-blocks"),
        ({"blocks": "shuffle", "space": "channels"}, "unknown blocks 'shuffle'"),
        ({"blocks": "SPOS_CHANNELS", "space": "channels"}, "unknown blocks 'SPOS_CHANNELS'"),
    ],
)
def test_blocks_that_cannot_be_fixed_are_refused(asked, told):
    with pytest.raises(UsageError, match=told):
        SposSupernet.build(asked)


def test_blocks_of_another_space_or_size_are_refused():
    run("spos-supernet", space="macro", **SUPERNET)
    search = {**SEARCH, "generations": 1, "mult_adds": 0.0, "supernet": f"{NAMED},space=macro"}
    run("spos-blocks", **search)
    found = f"run:spos-blocks/{','.join(f'{k}={v}' for k, v in search.items() if k != 'supernet')},"
    found += f"supernet=({search['supernet']})"
    with pytest.raises(UsageError, match="found a network of the space macro: take a search of blocks"):
        build(SposSupernet(dataset="digits", space="channels", blocks=parse_reference(found)), profile="smoke")
    with pytest.raises(ReproError, match="a gene of 20 choices does not fit: 4 are needed"):
        build(SposSupernet(dataset="digits", space="channels", blocks="SPOS"))


def test_published_and_uniform_networks_have_the_published_costs():
    counts = json.loads(COUNTS.read_text())["single_path_one_shot"]
    expected = {name: counts[f"uniform {name}"]["mult_adds"] for name in ("shuffle_3x3", "xception")}
    expected |= {"SPOS": counts["published blocks (authors code default)"]["mult_adds"]}
    expected |= {"SPOS_RELEASED": counts["released README cell"]["mult_adds"]}
    for name, mult_adds in expected.items():
        network, _ = choose(SposRetrain(architecture=name), "smoke")
        assert network.costs()["multiply-adds"](()) == mult_adds
    network, _ = choose(SposRetrain(architecture="SPOS_CHANNELS", space="channels"), "smoke")
    assert network.costs()["parameters"](()) == counts["published blocks + published channels"]["params"]


BITOPS = {  # of the networks in the paper's Figure 5; its Table 6 prints 13.11 and 51.92 for two of ResNet-34's
    "SPOS_18_2W2A": 6.209,
    "SPOS_18_3W3A": 13.494,
    "SPOS_18_4W4A": 24.309,
    "SPOS_34_2W2A": 13.207,
    "SPOS_34_3W3A": 28.783,
    "SPOS_34_4W4A": 50.627,
}


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("SPOS")])
def test_published_networks_are_those_of_the_paper_s_figures(name):
    space, published = PUBLISHED[name]
    with torch.device("meta"):
        network, choices = choose(SposRetrain(architecture=name, space=space, **published.needs), "smoke")
    costs = network.costs()
    if space == "bits":
        assert round(costs["BitOps"](()) / GIGA, 3) == BITOPS[name]
        assert len(choices["bits"]) == {18: 8, 34: 16}[published.needs["depth"]]
    else:
        printed = {"SPOS": 319, "SPOS_RELEASED": 323, "SPOS_CHANNELS": 328, "SPOS_CHANNELS_3X3": 329}
        assert round(costs["multiply-adds"](()) / 1e6) == printed[name]


@pytest.mark.parametrize(
    ("asked", "lacks"),
    [
        ({"architecture": "SPOS_CHANNELS"}, "space=channels"),
        ({"architecture": "SPOS", "space": "channels"}, "space=blocks"),
        ({"architecture": "SPOS_34_2W2A"}, "space=bits, depth=34"),
        ({"architecture": "SPOS_34_2W2A", "space": "bits"}, "depth=34"),
    ],
)
def test_a_published_network_of_another_space_is_refused(asked, lacks):
    with pytest.raises(UsageError, match=f"is another network than these parameters': add {lacks}$"):
        choose(SposRetrain(**asked), "smoke")


@pytest.mark.parametrize(
    ("depth", "name", "giga"),
    [(18, "2W2A", 6.32), (18, "3W3A", 14.21), (18, "4W4A", 25.27), (34, "2W2A", 13.21), (34, "4W4A", 52.83)],
)
def test_uniform_bits_have_the_published_bitops(depth, name, giga):
    with torch.device("meta"):
        network, choices = choose(SposRetrain(architecture=name, space="bits", depth=depth), "smoke")
    assert round(network.costs()["BitOps"](()) / GIGA, 2) == giga
    assert set(choices["bits"]) == {name}
    assert set(choices["width"]) == {"x1"}


def test_a_random_network_is_within_the_limit_and_its_seed_s_own():
    whole, drawn = build(SposSupernet(dataset="digits", width=0.5)), []
    for seed in range(4):
        network, choices = choose(retrained(architecture="random", mult_adds=0.04, seed=seed), "smoke")
        assert network.costs()["multiply-adds"](()) <= 0.04e6
        drawn.append(str(choices))
    assert len(set(drawn)) > 1
    assert max(map(whole.costs()["multiply-adds"], whole.space.genes())) > 0.04e6


def test_a_random_network_has_at_least_a_fraction_of_the_limit():
    asked = {"architecture": "random", "space": "channels", "blocks": "shuffle_3x3", "mult_adds": 0.045}
    for seed in range(3):
        network, _ = choose(retrained(**asked, least_fraction=0.9, seed=seed), "smoke")
        assert 0.9 * 0.045e6 <= network.costs()["multiply-adds"](()) <= 0.045e6
    with pytest.raises(UsageError, match=r"of mult_adds=10 million is more than any network has: 0\.\d+ million"):
        choose(retrained(**asked | {"mult_adds": 10.0}, least_fraction=0.9), "smoke")


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


def test_what_cannot_be_is_refused_in_one_line(judged, folder):
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
    for path in (folder / "runs" / "spos-supernet").glob("*/checkpoint*.pt"):
        path.unlink()
    with pytest.raises(ReproError, match=r"has lost its checkpoint\.pt"):
        run("spos-blocks", **SEARCH)
    with pytest.raises(UsageError, match="held-out images cannot be balanced: choose a multiple of 10"):
        run("spos-supernet", **SUPERNET | {"valid_images": 55})
    with pytest.raises(UsageError, match="space=macro has no layout for imagenet: take dataset=cifar10 or digits"):
        build(SposSupernet(space="macro"))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("shufle_3x3", "architecture='shufle_3x3' is no network of this space: give run:EXPERIMENT"),
        ("3W3A", "architecture='3W3A' is no network of this space"),
        ("SPOS", "a gene of 20 choices does not fit: 4 are needed"),
        ("[0, 1, 2]", "a gene of 3 choices does not fit: 4 are needed"),
        ("[0, 1, 2, 7]", "choice 7 for the block of layer 3 is out of range: give 0 to 3 (shuffle_3x3"),
        ("[0, 1, 2, 0.5]", "choice 0.5 for the block of layer 3 is out of range"),
        ('{"gene": 1}', "expected a list of choices, such as [0, 2, 1]"),
        ("[0, 1", "is not readable JSON"),
    ],
)
def test_a_bad_gene_is_refused_in_one_line(architecture, message, folder, capsys):
    if architecture[0] in "[{":
        (folder / "gene.json").write_text(architecture)
        architecture = str(folder / "gene.json")
    with pytest.raises(ReproError) as error:
        choose(retrained(architecture=architecture), "smoke")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_with_missing_rows_is_refused_before_anything_is_evaluated(folder, monkeypatch):
    run("spos-supernet", space="macro", **SUPERNET)
    arguments = {"supernet": NAMED, "bn_images": 40, "benchmark": "nas-bench-macro"}
    monkeypatch.setattr(spos_correlation, "load_supernet", None)
    with pytest.raises(ReproError, match=r"NAS-Bench-Macro needs .*nas-bench-macro_cifar10\.json, which is missing"):
        run("spos-correlation", **arguments)
    path = folder / "data" / "nas-bench-macro" / "nas-bench-macro_cifar10.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"0" * 8: {"test_acc": [90.0], "params": 1, "flops": 1}}))
    with pytest.raises(ReproError, match=r"has 1 of 6,561 networks, and not \[0, 0, 0, 0, 0, 0, 0, 1\]"):
        run("spos-correlation", **arguments)


def test_a_supernet_of_other_networks_than_the_table_s_is_refused(monkeypatch):
    run("spos-supernet", space="macro", **SUPERNET)
    table = type("Table", (), {"name": "NAS-Bench-Macro", "space": MACRO_SPACE})
    monkeypatch.setattr(spos_correlation, "nas_bench_macro", lambda folder: table)
    with pytest.raises(UsageError, match="is not of the networks of NAS-Bench-Macro: take a supernet with space=macro"):
        run("spos-correlation", supernet=NAMED, bn_images=40, benchmark="nas-bench-macro")


def test_the_command_line_says_it_in_one_line(capsys, folder):
    assert main(["run", "spos-blocks"]) == 1
    assert "spos-supernet/smoke is needed and not finished" in capsys.readouterr().err
    assert main(["run", "spos-retrain", "-p", "space=macro"]) == 2
    error = capsys.readouterr().err
    assert "space='macro' is wrong: space takes one of 'blocks', 'channels', 'bits'" in error
    assert error.count("\n") == 1
