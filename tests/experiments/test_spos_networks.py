"""The networks that SPOS retrains: found, published, uniform and random ones, and the genes that are refused."""

import json
from pathlib import Path

import pytest
import torch
from finished import run
from tiny_spos import NAMED, SEARCH, SUPERNET

from repro.configs.references import parse_reference
from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_retrain import SposRetrain
from repro.configs.spos_search import GIGA
from repro.errors import ReproError, UsageError
from repro.experiments import spos_search
from repro.experiments.spos_networks import build, choose
from repro.spaces.path_spaces import PUBLISHED

COUNTS = Path(__file__).parents[1] / "reference" / "counts.json"


pytestmark = pytest.mark.usefixtures("folder")


def retrained(**changes):
    return SposRetrain.build({"dataset": "digits", "width": 0.5, "mult_adds": 0.0, **changes})


def test_the_winners_of_a_search_can_be_trained(monkeypatch):
    monkeypatch.setattr(spos_search, "judge", lambda *arguments: lambda gene: float(sum(gene)))
    run("spos-supernet", **SUPERNET)
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
def test_a_bad_gene_is_refused_in_one_line(architecture, message, tmp_path, capsys):
    if architecture[0] in "[{":
        (tmp_path / "gene.json").write_text(architecture)
        architecture = str(tmp_path / "gene.json")
    with pytest.raises(ReproError) as error:
        choose(retrained(architecture=architecture), "smoke")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
