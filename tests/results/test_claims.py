"""The claims: their lines as they were written down, and the runs that each reads and asks for."""

import csv
import math
import zlib
from pathlib import Path

import pytest
from finished import finish

from repro.configs.registry import find
from repro.configs.spos_search import CANDIDATES
from repro.errors import ReproError
from repro.results import arms, claims
from repro.results.lines import SIZES, Size
from repro.results.published import FOLDER
from repro.runs.run import open_run
from repro.spaces.genotypes import PUBLISHED

pytestmark = pytest.mark.usefixtures("folder")

PAPER, SHORT = SIZES[0], SIZES[1]
LINES = {line.id: line for claim in claims.CLAIMS for line in claim.lines}
# What was written down in advance: kind, looks of each arm or of all, m, L, U, gate
PLANNED = {
    "D1": ("exact", [(1, 1)], 1, 0, 0.5, False),
    "D2a": ("paired", [(3, 14)], 2, 0, 0.5, True),
    "D2b": ("paired", [(3, 14)], 1, 0, 0.5, False),
    "D3a": ("Welch", [(16, 16), (5, 12)], 2, 0, 0.5, True),
    "D3b": ("Welch", [(16, 16), (3, 6)], 2, 0, 0.5, True),
    "D3c": ("best of four", [(16, 16), (5, 12)], 2, 0, 0.5, True),
    "D4a": ("paired", [(4, 8)], 2, 0, 0.5, True),
    "D4b": ("paired", [(5, 10)], 2, 0, 0.5, True),
    "D5a": ("paired", [(5, 12)], 1, 0, 0.5, True),
    "D5b": ("paired", [(5, 12)], 1, 0, 0.5, False),
    **{f"D6{line}": ("Welch", [(8, 16)], 1, -1.5, -1.5, True) for line in ("a1", "a2", "b1", "b2")},
    **{f"D6{line}": ("Welch", [(8, 16), (5, 12)], 1, -1.5, -1.5, True) for line in ("c1", "c2")},
    "D7a": ("Welch", [(4, 8)], 1, 0, 0.5, False),
    "D7b": ("Welch", [(4, 8)], 1, -0.3, -0.3, False),
    "D8": ("exact", [(5, 5)], 1, 1, 0.5, False),
    "D9": ("variance ratio", [(5, 14), (3, 14), (4, 8), (5, 10)], 2, 0, 1, True),
    "D10": ("one sample", [(3, 6)], 1, 0.95, 0.95, False),
    "S1a": ("one sample", [(4, 8)], 1, 0, 0.2, False),
    "S1b": ("one sample", [(4, 8)], 1, 0, 0.2, False),
    "S2a": ("paired", [(4, 8)], 1, 0, 0.1, False),
    "S2b": ("paired", [(4, 8)], 1, 0, 0.1, False),
    "S3": ("paired", [(4, 8)], 1, 0, 0, False),
    "S4a": ("one sample", [(4, 8)], 1, 0, 0.1, False),
    **{f"S4{line}": ("Welch", [(4, 8)], 1, 0, 0.5, False) for line in "bcde"},
    "S5": ("paired", [(4, 8)], 1, 0, 0.5, False),
    **{f"S6{line}": ("Welch", [(4, 8)], 1, 0, 0.5, False) for line in "abc"},
    "S7a": ("paired", [(4, 8)], 1, 0, 1, False),
    "S7b": ("paired", [(4, 8)], 1, 0, 0.05, False),
    **{f"S8{line}": ("one sample", [(4, 8)], 1, 0, 0.1, False) for line in "abc"},
    **{f"{claim}{line}": ("exact", [(5, 5)], 1, 1, 0.5, False) for claim in ("S9", "S10") for line in "ab"},
    **{
        f"F{n}{line}": ("one sample", [(3, 6)], 1, 0, upper, False)
        for n, upper in ((1, 0.5), (2, 1), (3, 0.5))
        for line in "abc"
    },
    **{f"F4{line}": ("paired", [(3, 6)], 1, 0, 0.5, False) for line in "ab"},
    "F5": ("one sample", [(3, 6)], 1, 0, 0.5, False),
    "F6a": ("one sample", [(4, 8)], 1, 0, 0.2, False),
    "F6b": ("one sample", [(4, 8)], 1, 0, 0.1, False),
    "F7a": ("Welch", [(3, 6), (3, 6)], 1, 0, 0.5, False),
    "F7b": ("one sample", [(4, 8)], 1, 0, 0.1, False),
    "F9": ("paired", [(4, 8)], 1, 0, 0.05, False),
    "F10": ("one sample", [(3, 6)], 1, 0, 0.05, False),
    "F11": ("one sample", [(3, 6)], 1, 0, 0.01, False),
    "F12a": ("one sample", [(3, 6)], 1, 0, 0.5, False),
    "F12b": ("one sample", [(3, 6)], 1, 0, 0.2, False),
    "F13a": ("one sample", [(3, 6)], 1, 0, 0.5, False),
    "F13b": ("Welch", [(3, 6)], 1, 0, 0.5, False),
    "F14": ("one sample", [(3, 6)], 1, 0, 5, False),
    "F15": ("one sample", [(3, 6)], 1, 0, 0.5, False),
    "F8a": ("paired", [(3, 6)], 1, 0, 0.5, False),
    "F8b": ("paired", [(3, 6)], 1, 0, 0.5, False),
}


def test_lines_are_those_that_were_written_down():
    found = {
        line.id: (line.kind, list(line.looks), line.m, line.lower, line.upper, line.gated) for line in LINES.values()
    }
    assert found == PLANNED
    assert all(line.measures[0].scaled for line in LINES.values() if line.gated and line.id != "D9")
    assert [line.id for line in LINES.values() if line.sizes != ("paper", "short", "desk")] == ["D7b"]


def test_the_readme_counts_them_rightly():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"{len(LINES)} comparisons under {len(claims.CLAIMS)} claims" in text


def test_bounds_of_errors_on_cifar10_are_a_fifth_at_the_papers_size():
    assert LINES["D2a"].bounds(PAPER) == (0, pytest.approx(0.1))
    assert LINES["D6a1"].bounds(PAPER) == pytest.approx((-0.3, -0.3))
    assert LINES["D6a1"].bounds(SHORT) == (-1.5, -1.5)
    for line in ("D2b", "D7b", "D9", "S1a", "S4b"):
        assert LINES[line].bounds(PAPER) == LINES[line].bounds(SHORT)
    assert LINES["D6a1"].bounds(Size("desk", 2.0, "a spread of 2.0")) == (-3.0, -3.0)


def published(table):
    with open(FOLDER / f"{table}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_the_papers_effects_are_differences_of_published_numbers():
    error = {row["architecture"]: float(row["test_error_percent"]) for row in published("darts_table1_cifar10")}
    error |= {row["architecture"]: float(row["test_error_percent"]) for row in published("darts_ablations")}
    ptb = {row["architecture"]: float(row["test_perplexity"]) for row in published("darts_table2_ptb")}
    wikitext = {row["architecture"]: float(row["test_perplexity"]) for row in published("darts_table4_wikitext2")}
    days = {row["architecture"]: row["search_gpu_days"] for row in published("darts_table1_cifar10")}
    imagenet = {row["architecture"]: float(row["top1_error_percent"]) for row in published("darts_table3_imagenet")}
    first, second = error["DARTS-1st+cutout"], error["DARTS-2nd+cutout"]
    rivals = error["NASNet-A+cutout(their setup)"], error["AmoebaNet-A+cutout(their setup)"]
    random = error["Random(best of 24)+cutout"]
    tables = (published(f"spos_{name}") for name in ("blocks", "channels", "released"))
    spos = {row["architecture"]: row["top1_percent"] for table in tables for row in table}
    block = float(spos["SPOS block search"])
    papers = {
        "D2a": first - second,
        "D2b": 100 * math.log(ptb["DARTS-1st"] / ptb["DARTS-2nd"]),
        **{"D3a": random - first, "D3b": random - second, "D3c": random - first},
        "D4a": error["coordinate_descent_train+val"] - first,
        "D4b": error["simultaneous_SGD_train+val"] - first,
        **{f"D6a{place}": rival - second for place, rival in enumerate(rivals, start=1)},
        **{f"D6{line}{place}": rival - first for line in "bc" for place, rival in enumerate(rivals, start=1)},
        "D7a": 100 * math.log(wikitext["ENAS(their setup)"] / wikitext["DARTS"]),
        "D7b": imagenet["NASNet-A"] - imagenet["DARTS"],
        "D8": float(days["DARTS-2nd+cutout"]) / float(days["DARTS-1st+cutout"]),
        **{
            f"S4{line}": block - float(spos[f"all {name}"])
            for line, name in zip("bcde", ("shuffle 3x3", "shuffle 5x5", "shuffle 7x7", "xception"), strict=True)
        },
        "S2b": block - float(spos["single path supernet + random search"]),
        "S4a": block - float(spos["random choice (5 runs)"].lstrip("~")),
        "S5": float(spos["SPOS block + channel search"]) - block,
        "S9a": 63 / 24,  # SPOS, Table 7: memory of FBNet, which trains the whole mixture, over one path's
        "S10a": 37 / 24,  # that of ProxylessNAS, which runs two paths
    }
    smaller = [row for row in published("spos_bits") if "ResNet-18" in row["architecture"]]
    bits = [float(row["top1_percent"]) for row in smaller]
    names = [row["architecture"].split()[1] for row in smaller]
    uniform = [bits[names.index(f"{b}W{b}A")] for b in (2, 3, 4)]
    found = [value for name, value in zip(names, bits, strict=True) if name == "searched"]
    papers |= {f"S6{line}": f - u for line, f, u in zip("abc", found, uniform, strict=True)}
    papers |= {"F1a": 87.063 - 54.297, "F1b": 87.063 - 54.297, "F2a": 6 - 1.2, "F2b": 6 - 1.2}  # NAS-Bench-201
    assert {line.id: line.paper for line in LINES.values() if line.paper is not None} == pytest.approx(papers, abs=5e-3)


def held(line, profile="short"):
    """The units of each arm of a line, from the runs folder."""
    return claims.arms(arms.Runs(profile), LINES[line])


# Which runs an arm is made of


def test_units_are_seeds_of_searches_and_trainings_are_seeds_of_their_own():
    for search in (0, 1, 3):
        for training in (0, 1, 2):
            value = {"test_error": 10.0 * search + training}
            finish("cifar10-eval", value, genotype=f"run:cifar10-search/order=1,seed={search}", seed=training)
    finish("cifar10-eval", {"test_error": 99.0}, genotype="run:cifar10-search/seed=0")  # second order
    finish("cifar10-eval", {"test_error": 99.0}, genotype="run:cifar10-search/order=1,seed=2", epochs=3)
    finish("cifar10-eval", {"test_error": 99.0}, "smoke", genotype="run:cifar10-search/order=1,seed=2")
    open_run(find("cifar10-eval"), "short", {"genotype": "run:cifar10-search/order=1,seed=2"})  # not finished
    first, second = held("D2a")
    assert first == {0: [0.0, 1.0], 1: [10.0, 11.0], 3: [30.0, 31.0]}
    assert second == {0: [99.0]}


def test_a_run_counts_once_and_only_under_its_own_name(folder):
    run = finish("cifar10-eval", {"test_error": 1.0}, genotype="run:cifar10-search/order=1")
    other = finish("cifar10-eval", {"test_error": 2.0}, genotype="run:cifar10-search/order=1,seed=1")
    other.path.rename(other.path.with_name("mine"))
    (folder / "cifar10-eval" / "again").symlink_to(run.path)
    assert held("D6c1")[1] == {0: [1.0]}


def test_runs_whose_needs_have_different_seeds_are_no_unit():
    network = {"space": "bits", "depth": 18}
    for search, supernet in ((1, 1), (1, 0)):
        found = f"run:spos-bits/supernet=(run:spos-supernet/depth=18,seed={supernet}),bitops=2.07,seed={search}"
        finish("spos-retrain", {"test_accuracy": 60.0 + search + supernet}, architecture=found, **network)
    finish("spos-retrain", {"test_accuracy": 55.0}, architecture="2W2A", seed=4, **network)
    assert held("S6a") == [{4: [45.0]}, {1: [38.0]}]


def test_networks_are_drawn_anew_for_each_supernet():
    for supernet, draw in ((0, 0), (1, 1), (2, 0)):
        supernet = f"run:spos-supernet/space=macro,seed={supernet}"
        finish("spos-correlation", {"kendall_tau": 0.5 + draw}, supernet=supernet, networks=200, seed=draw)
    assert held("S1a") == [{0: [0.5], 1: [1.5], 2: []}]


def test_a_diverged_training_is_counted_and_a_damaged_one_named(folder, capsys):
    finish("ptb-eval", {"test_perplexity": 60.0}, genotype="run:ptb-search/order=1,seed=0")
    finish("ptb-eval", {"diverged": True}, genotype="run:ptb-search/order=1,seed=1")
    finish("ptb-eval", {"valid_perplexity": 60.0}, genotype="run:ptb-search/order=1,seed=2")
    broken = finish("ptb-eval", {"test_perplexity": 60.0}, genotype="run:ptb-search/order=1,seed=3")
    (broken.path / "result.json").write_text("{")
    first, _ = held("D2b")
    assert first == {0: [pytest.approx(100 * math.log(60))], 1: [pytest.approx(100 * math.log(10_000))], 2: []}
    said = capsys.readouterr().err
    assert "ptb-eval, search 2, seed 0: result.json lacks what is compared; left out" in said
    assert f"{broken.path / 'result.json'} is not readable JSON" in said


def test_a_found_network_that_no_other_costs_as_much_as_is_named(capsys):
    for seed, others in ((0, 90.0), (1, None)):
        result = {"true_accuracy": 92.5, "equal_cost_true_accuracy": others}
        supernet = f"run:spos-supernet/space=macro,seed={seed}"
        finish("spos-blocks", result, supernet=supernet, mult_adds=0.0, seed=seed, **CANDIDATES)
    assert held("S4a") == [{0: [2.5], 1: []}]
    why = "spos-blocks, supernet 1, seed 1: no other network costs as much, within 2 %, as the one found"
    assert why in capsys.readouterr().err
    (verdict,) = [each for answer in claims.answers("short") for each in answer.lines if each.line.id == "S4a"]
    assert verdict.reason == why
    assert why not in capsys.readouterr().err


def test_a_front_of_cells_that_are_all_too_dear_has_nothing_to_compare():
    dear, cheap = ({"weight": 0.0, "share": share, "true_accuracy": 90.0} for share in (0.9, 0.4))
    within = [{"limit": limit, "share": limit, "true_accuracy": 91.0 + limit} for limit in (0.25, 0.5)]
    (measure,) = LINES["F15"].measures
    assert measure.of({"darts": [dear, cheap], "spos": within}, "desk") == pytest.approx(1.5)
    with pytest.raises(ReproError, match="nothing to compare"):
        measure.of({"darts": [dear], "spos": within}, "desk")


def test_descents_at_their_fixed_points():
    ends = [{"xi": 0.0, "alpha": 2.003, "weight": 2.004}, {"xi": 0.5, "alpha": 1.0, "weight": 1.0}]
    finish("bilevel-toy", {"ends": ends})
    assert held("D1") == [{0: [pytest.approx(0.005)]}]
    assert LINES["D1"].measures[0].of({"ends": ends[:1]}, "short") == -math.inf


def test_errors_are_matched_by_seed_between_two_widths():
    for channels, count, errors in ((33, 3.0, (3.0, 4.0)), (34, 12.0, (1.0, 2.0, 3.0))):
        for seed, error in enumerate(errors):
            result = {"test_error": error, "parameters_millions": count}
            finish("cifar10-eval", result, genotype="NASNET", channels=channels, seed=seed)
    assert held("D6a1") == [{}, {}]  # V2's number of parameters is not known
    finish("cifar10-eval", {"test_error": 2.8, "parameters_millions": 6.0}, genotype="DARTS_V2")
    assert held("D6a1") == [{0: [pytest.approx(2.0)], 1: [pytest.approx(3.0)]}, {0: [2.8]}]


def test_nothing_is_extrapolated(capsys):
    for channels, count in ((33, 3.4), (34, 3.5)):
        result = {"test_error": 3.0, "parameters_millions": count}
        finish("cifar10-eval", result, genotype="NASNET", channels=channels)
    finish("cifar10-eval", {"test_error": 2.8, "parameters_millions": 3.349}, genotype="DARTS_V2")
    assert held("D6a1") == [{}, {0: [2.8]}]
    said = "NASNET: 3.349M parameters are not between its two widths' 3.4 and 3.5M"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("size", "channels", "cells"), [("paper", 36, 20), ("short", 36, 20), ("desk", 8, 5)])
def test_the_two_widths_are_those_around_the_number_of_parameters(size, channels, cells):
    from repro.darts.cnn.evaluation_network import EvaluationNetwork
    from repro.darts.complexity import count_parameters

    def count(name, width):
        return count_parameters(EvaluationNetwork(PUBLISHED[name], channels=width, cells=cells, auxiliary_head=False))

    wanted = count("DARTS_V2", channels)
    for line in ("D6a1", "D6a2"):
        arm = LINES[line].arms[0]
        low, high = arm.width.at[size]
        assert high == low + 1
        assert count(arm.changes["genotype"], low) < wanted < count(arm.changes["genotype"], high)


def test_the_recurrent_widths_are_those_around_the_number_of_parameters():
    from repro.darts.rnn.language_model import LanguageModel

    def count(name, width):
        return sum(weight.numel() for weight in LanguageModel(33_278, width, PUBLISHED[name]).weights())

    low, high = LINES["D7a"].arms[0].width.at["paper"]
    assert high == low + 1
    assert count("ENAS_RNN", low) < count("DARTS_V2_RNN", 700) < count("ENAS_RNN", high)


# What the next look asks for

MADE = {"test_error": 30.0, "test_perplexity": 60.0, "test_accuracy": 70.0, "kendall_tau": 0.5}
MADE |= {"ends": [{"xi": xi, "alpha": end, "weight": end} for xi, end in ((0.0, 2.0), (0.5, 1.0))]}
MADE |= {"ratio": 2.6, "memory_ratio": 3.7, "seconds_ratio": 4.9}
STEPS = [("D8", 1), ("S9a", 1), ("S9b", 1)]
MILLIONS = {("NASNET", 33): 3.25, ("NASNET", 34): 3.44, ("AMOEBANET", 37): 3.32, ("AMOEBANET", 38): 3.49}
MILLIONS |= {("ENAS_RNN", 657): 3.34, ("ENAS_RNN", 658): 3.36}  # others 3.35


def make(requests):
    """Finish every requested run, with an error that depends on the cell more than on the training."""
    for experiment, overrides in requests:
        run = open_run(experiment, "short", overrides)
        name, seed = str(overrides.get("genotype")), overrides.get("seed", 0)
        width = overrides.get("channels") or overrides.get("hidden_size")
        error = 30 + zlib.crc32(name.encode()) % 1000 / 100 + 0.1 * seed
        run.finish({**MADE, "test_error": error, "parameters_millions": MILLIONS.get((name, width), 3.35)})


def found(line):
    return next(each for answer in claims.answers("short") for each in answer.lines if each.line.id == line)


@pytest.mark.parametrize(
    ("line", "looks"), [("D1", 1), ("D2a", 1), ("D6a1", 1), ("D7a", 2), ("S1a", 2), ("S6b", 2), *STEPS]
)
def test_what_is_asked_for_is_what_the_next_look_takes(line, looks):
    for look in range(looks):
        assert found(line).n != LINES[line].look(look)
        make(claims.wanted(line, "short"))
        assert found(line).n == LINES[line].look(look)
        assert found(line).finished


def test_of_a_claim_the_lines_with_the_earliest_look_are_asked_for(capsys):
    runs = lambda name: [*claims.wanted(name, "short")]
    assert runs("D2") == [*runs("D2a"), *runs("D2b")]
    first = runs("D2a")
    make(first)
    assert runs("D2a") != first  # those of its second look
    assert runs("D2") == runs("D2b")
    assert not capsys.readouterr().err
    assert runs("S4") == runs("S4a")
    assert "S4b cannot be run at short: no run rescales" in capsys.readouterr().err


def test_seeds_reach_what_only_the_profile_names():
    asked = [overrides for _, overrides in claims.wanted("S1a", "short")]
    assert [overrides["seed"] for overrides in asked] == [0, 1, 2, 3]
    assert ["seed=3" in str(overrides["supernet"]) for overrides in asked] == [False, False, False, True]
    (*_, last) = [str(overrides["architecture"]) for _, overrides in claims.wanted("S6b", "short")]
    assert last.count("seed=3") == 2
    assert "bitops=4.66" in last
