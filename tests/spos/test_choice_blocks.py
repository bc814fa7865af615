"""The block and channel supernet: laws, then the original's numbers, then small sizes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from repro.errors import ReproError, UsageError
from repro.spaces.path_spaces import BLOCKS, WIDTHS
from repro.spos.choice_blocks import ChoiceNetwork, Layout, bgr_255, load_released, search_space
from repro.spos.network import Branch, Conv, SlicedNorm
from repro.training.checkpoints import read_state_dict

REFERENCE = Path(__file__).parents[1] / "reference"
COUNTS = json.loads((REFERENCE / "counts.json").read_text())["single_path_one_shot"]
TINY = Layout(8, 1, 10, stem=4, stem_stride=1, widths=(8, 20), repeats=(2, 2), strides=(1, 2), head=12)


def genes(space, n, seed=0):
    rng = np.random.default_rng(seed)
    return [space.random(rng) for _ in range(n)]


def off_path(network, gene):
    """(parameter name, mask of its elements off the path) for every parameter."""
    masks = {id(p): torch.ones_like(p, dtype=torch.bool) for p in network.parameters()}
    for parameter, region in network.path(gene):
        masks[id(parameter)][region] = False
    return {name: masks[id(p)] for name, p in network.named_parameters()}


@pytest.fixture(scope="module")
def wide():
    torch.manual_seed(0)
    return ChoiceNetwork(TINY, widths=WIDTHS).double()


def test_gradients_reach_exactly_the_path(wide):
    for gene in genes(wide.space, 4):
        wide.zero_grad()
        wide(torch.randn(3, 1, 8, 8).double(), gene).square().sum().backward()
        for name, off in off_path(wide, gene).items():
            gradient = wide.get_parameter(name).grad
            assert gradient is None or not gradient[off].any(), name
        for parameter, region in wide.path(gene):
            assert parameter.grad is not None
            assert parameter.grad[region].any()


def test_slicing_at_full_width_equals_the_unsliced_network():
    torch.manual_seed(0)
    sliced, plain = ChoiceNetwork(TINY, widths=(0.5, 1.0)), ChoiceNetwork(TINY)
    plain.load_state_dict(sliced.state_dict())
    x = torch.randn(5, 1, 8, 8)
    for gene in genes(plain.space, 3):
        for training in (True, False):
            sliced.train(training).dropout.eval()
            plain.train(training).dropout.eval()
            assert torch.equal(sliced(x, (*gene, 1, 1, 1, 1)), plain(x, gene))


def test_the_stand_alone_network_computes_what_the_supernet_computes(wide):
    """A path cut out of the supernet, slice by slice, is the network that `gene` builds."""
    for gene in genes(wide.space, 3):
        alone = ChoiceNetwork(TINY, widths=WIDTHS, gene=gene).double()
        for (own, _), (parameter, region) in zip(alone.path(), wide.path(gene), strict=True):
            assert own.shape == parameter[region].shape
            own.data.copy_(parameter[region])
        x = torch.randn(5, 1, 8, 8).double()
        wide.train().dropout.eval()
        alone.train().dropout.eval()
        assert torch.allclose(alone(x), wide(x, gene), rtol=1e-12, atol=0)


def test_a_sliced_norm_is_a_norm_of_its_first_channels():
    x = torch.randn(4, 3, 5, 5)
    whole, part = SlicedNorm(3), SlicedNorm(7)
    for _ in range(3):
        x = x + 1
        assert torch.equal(whole(x), part(x))
    assert torch.equal(whole.running_mean, part.running_mean[:3])
    assert torch.equal(whole.running_var, part.running_var[:3])
    assert part.running_mean[3:].tolist() == [0] * 4
    assert torch.equal(whole.eval()(x), part.eval()(x))


@pytest.mark.parametrize("layout", [TINY, Layout(32, 3, 10, 8, 1, (16, 24, 40, 48), (1, 2, 1, 1), (1, 2, 2, 2), 32)])
@pytest.mark.parametrize("widths", [(1.0,), WIDTHS])
def test_costs_equal_a_count_of_the_real_network(layout, widths):
    costs = ChoiceNetwork(layout, widths=widths).costs()
    for gene in genes(search_space(layout, widths=widths), 4):
        network = ChoiceNetwork(layout, widths=widths, gene=gene, affine=True).eval()
        assert costs["parameters"](gene) == sum(p.numel() for p in network.parameters())
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, layout.channels, layout.size, layout.size))
        assert costs["multiply-adds"](gene) * 2 == counter.get_total_flops()
        alone = network.costs()  # a stand-alone network has one gene, the empty one
        assert {name: cost(()) for name, cost in alone.items()} == {name: cost(gene) for name, cost in costs.items()}


@pytest.mark.parametrize("name", [name for name in COUNTS if name != "supernet"])
def test_counts_are_the_published_ones(name):
    expected = COUNTS[name]
    scales = expected.get("channel_scales", (1.0,))
    gene = expected["architecture"] + expected.get("channel_ids", [])
    with torch.device("meta"):
        costs = ChoiceNetwork(Layout(), widths=scales, gene=gene, affine=True).costs()
    assert costs["parameters"](()) == expected["params"]
    assert costs["multiply-adds"](()) == expected["mult_adds"]


def test_the_cost_table_of_the_supernet_gives_every_published_count():
    with torch.device("meta"):
        supernet, wide = ChoiceNetwork(Layout()), ChoiceNetwork(Layout(), widths=WIDTHS)
    assert sum(p.numel() for p in supernet.parameters()) == COUNTS["supernet"]["params"]
    for network, key in ((supernet, False), (wide, True)):
        costs = network.costs()
        for expected in (c for name, c in COUNTS.items() if name != "supernet" and ("channel_ids" in c) == key):
            gene = expected["architecture"] + expected.get("channel_ids", [])
            assert costs["parameters"](gene) == expected["params"]
            assert costs["multiply-adds"](gene) == expected["mult_adds"]


def test_the_supernet_is_the_original_to_rounding():
    data = np.load(REFERENCE / "spos_supernet.npz")
    network = ChoiceNetwork(Layout(classes=12, stem=4, widths=(8, 20, 40, 80), head=24, dropout=0)).double()
    weights = {name[7:]: torch.from_numpy(data[name]) for name in data.files if name.startswith("weight/")}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    x, y = torch.from_numpy(data["x"]).double(), torch.from_numpy(data["y"])
    gene = data["architecture"].tolist()
    near = {"rtol": 1e-9, "atol": 1e-12}
    assert np.allclose(network.eval()(x, gene).detach(), data["logits_eval"], **near)
    logits = network.train()(x, gene)
    assert np.allclose(logits.detach(), data["logits_train_dropout0"], **near)
    loss = F.cross_entropy(logits, y)
    assert loss.item() == pytest.approx(float(data["loss"]), rel=1e-9)
    loss.backward()
    norms = {n: np.nan if p.grad is None else p.grad.norm().item() for n, p in network.named_parameters()}
    assert list(norms) == data["param_names"].tolist()
    assert np.allclose(list(norms.values()), data["grad_norms"], equal_nan=True, **near)


def test_the_authors_checkpoints_load_and_evaluate(tmp_path):
    """Written as their code does: under "state_dict", every name with "module." before it, BatchNorm's counters too."""
    data = np.load(REFERENCE / "spos_supernet.npz")
    gene = data["architecture"].tolist()
    weights = {name[7:]: torch.from_numpy(data[name]) for name in data.files if name.startswith("weight/")}
    layout = Layout(classes=12, stem=4, widths=(8, 20, 40, 80), head=24)
    chosen = re.compile("|".join(rf"features\.{layer}\.{block}\." for layer, block in enumerate(gene)))
    cell = {}  # the path of the supernet, named as the authors name a stand-alone network
    for name, value in weights.items():
        if not name.startswith("features") or chosen.match(name):
            cell[re.sub(r"(features\.\d+)\.\d+", r"\1", name)] = value
    for state, network, path in (
        (weights, ChoiceNetwork(layout), gene),
        (cell, ChoiceNetwork(layout, gene=gene), ()),
    ):
        counters = {"first_conv.1.num_batches_tracked": torch.tensor(5)}
        file = tmp_path / "checkpoint.pth.tar"
        torch.save({"state_dict": {f"module.{name}": value for name, value in {**state, **counters}.items()}}, file)
        load_released(network, read_state_dict(file))
        logits = network.double().eval()(torch.from_numpy(data["x"]).double(), path)
        assert np.allclose(logits.detach(), data["logits_eval"], rtol=1e-9, atol=1e-12)
    with pytest.raises(ReproError, match=r"the checkpoint lacks features\.0\.0\.branch_main\.0\.weight and \d+ more"):
        load_released(ChoiceNetwork(layout), cell)
    with pytest.raises(ReproError, match="the checkpoint has in excess"):
        load_released(ChoiceNetwork(layout, gene=gene), cell | {"other": torch.zeros(1)})
    with pytest.raises(ReproError, match=r"classifier.0.weight has shape \(12, 24\), the network's \(10, 24\)"):
        load_released(ChoiceNetwork(replace(layout, classes=10), gene=gene), cell)


def test_the_authors_images_are_bgr_and_not_normalised():
    x = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2) * 20
    assert bgr_255(x).tolist() == [[[[160, 180], [200, 220]], [[80, 100], [120, 140]], [[0, 20], [40, 60]]]]


def test_odd_inputs_are_refused_in_one_line():
    with pytest.raises(UsageError, match="a stage of 15 channels cannot be cut in halves"):
        ChoiceNetwork(Layout(widths=(15,), repeats=(1,), strides=(1,)))
    with pytest.raises(UsageError, match="did you mean 'shuffle_3x3'"):
        ChoiceNetwork(TINY, blocks=("shuffle3x3",))
    with pytest.raises(ReproError, match="a gene of 3 choices does not fit: 4 are needed"):
        ChoiceNetwork(TINY, gene=(0, 1, 2))
    with pytest.raises(ReproError, match="choice 4 for the block of layer 1 is out of range"):
        ChoiceNetwork(TINY)(torch.zeros(1, 1, 8, 8), (0, 4, 0, 0))


def test_a_branch_runs_a_narrower_chain_of_the_same_kind():
    branch = Branch((Conv(4, 6, relu=False), Conv(6, 6, 3, 2, True), Conv(6, 8)), affine=True)
    narrow = Conv(4, 2, relu=False), Conv(2, 2, 3, 2, True), Conv(2, 8)
    assert branch(torch.zeros(1, 4, 8, 8), narrow).shape == (1, 8, 4, 4)


def test_names_say_what_a_gene_means():
    names = search_space(TINY, widths=WIDTHS).names((0, 1, 2, 3, 0, 4, 7, 1))
    assert names == {"block": list(BLOCKS), "width": ["x0.2", "x1", "x1.6", "x0.4"]}
