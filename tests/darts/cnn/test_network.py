"""Evaluation networks: sizes and costs of the published ones, any image size, drop path."""

import json
from pathlib import Path

import pytest
import torch

from repro.darts.cnn.evaluation_network import EvaluationNetwork, drop_images
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.complexity import count_mult_adds, count_parameters
from repro.errors import ReproError
from repro.spaces.genotypes import PUBLISHED

COUNTS = json.loads((Path(__file__).parents[2] / "reference" / "counts.json").read_text())["convolutional"]
SHAPES = {"cifar": (3, 32, 32), "imagenet": (3, 224, 224)}
CLASSES = {"cifar": 10, "imagenet": 1000}


@pytest.mark.parametrize("name", [name for name in COUNTS if not name.startswith("search")])
def test_parameters_and_mult_adds_of_published_networks(name):
    cell, kind = name.split("/")
    expected = COUNTS[name]
    with torch.device("meta"):
        network = EvaluationNetwork(
            PUBLISHED[cell.upper()],
            kind,
            channels=expected["init_channels"],
            classes=CLASSES[kind],
            cells=expected["layers"],
        )
    assert count_parameters(network) == expected["params"]
    assert count_parameters(network, with_auxiliary_head=True) == expected["params_with_auxiliary"]
    assert count_mult_adds(network, *SHAPES[kind]) == expected["conv_and_linear_mult_adds"]


def test_parameters_of_the_search_network():
    with torch.device("meta"):
        network = SearchNetwork()
    assert count_parameters(network) == COUNTS["search/cifar10 C=16 layers=8"]["params"] == 1930618


@pytest.mark.parametrize("name", ["DARTS_V2", "NASNET", "AMOEBANET"])
@pytest.mark.parametrize(("kind", "size"), [("cifar", 8), ("cifar", 16), ("cifar", 13), ("imagenet", 64)])
def test_any_image_size_and_channel_count(name, kind, size):
    network = EvaluationNetwork(PUBLISHED[name], kind, channels=4, classes=7, cells=3, in_channels=1)
    logits, auxiliary = network(torch.randn(2, 1, size, size))
    assert logits.shape == auxiliary.shape == (2, 7)
    assert network.eval()(torch.randn(1, 1, size, size))[1] is None


def test_drop_path_zeroes_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 2, 2)
    dropped = drop_images(x, torch.tensor(0.2))
    per_image = dropped.flatten(1)
    assert (per_image == per_image[:, :1]).all()
    assert per_image.unique().tolist() == [0.0, pytest.approx(1.25)]
    assert per_image.mean() == pytest.approx(1, abs=0.04)
    assert torch.equal(drop_images(x, torch.tensor(0.0)), x)


def test_drop_path_keeps_its_rate_in_bfloat16():
    """Which has no number between 0.996 and 1: a rate as of the first epochs would be none there."""
    torch.manual_seed(0)
    dropped = drop_images(torch.ones(200_000, 1, 1, 1, dtype=torch.bfloat16), torch.tensor(0.0015)) == 0
    assert dropped.float().mean() == pytest.approx(0.0015, rel=0.2)


def test_drop_path_acts_in_training_only_and_spares_identities():
    torch.manual_seed(0)
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=4, cells=3, auxiliary_head=False)
    x = torch.randn(8, 3, 8, 8)
    without = network(x)[0]
    network.set_drop_path_rate(0.9)
    assert not torch.equal(network(x)[0], without)
    network.set_drop_path_rate(0.0)
    assert torch.equal(network(x)[0], without)
    network.set_drop_path_rate(0.9)
    network.eval()
    assert torch.equal(network(x)[0], network(x)[0])

    skips = {"normal": (("skip_connect", 0), ("skip_connect", 1)), "normal_concat": (2,)}
    genotype = type(PUBLISHED["DARTS_V2"])(**skips, reduce=skips["normal"], reduce_concat=(2,))
    cell = EvaluationNetwork(genotype, channels=4, cells=3).cells[0]
    inputs = torch.randn(8, 12, 8, 8)
    assert torch.equal(cell(inputs, inputs, torch.tensor(0.9)), cell(inputs, inputs, None))


def test_wrong_kinds_are_refused():
    with pytest.raises(ReproError, match="unknown evaluation network 'svhn': .*cifar, imagenet"):
        EvaluationNetwork(PUBLISHED["DARTS_V2"], "svhn")
    with pytest.raises(ReproError, match="expected a ConvGenotype"):
        EvaluationNetwork(PUBLISHED["ENAS_RNN"])
