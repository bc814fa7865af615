"""ProxylessNAS's space: published networks have their published sizes, and a supernet's path is the network alone."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_retrain import BASELINES, REBUILT, SposRetrain
from repro.darts.complexity import count_mult_adds, count_parameters
from repro.errors import ReproError, UsageError
from repro.experiments.spos_networks import build, choose
from repro.spaces.layouts import MobileLayout
from repro.spaces.mobile import EVERY
from repro.spos.macro import InvertedResidual
from repro.spos.mobile import MobileNetwork
from repro.spos.path_training import recalibrate

TINY = MobileLayout(8, 1, 10, stem=4, first=4, widths=(6, 8), repeats=(2, 2), strides=(2, 1), head=12, small=True)
# Millions of multiply-adds as printed, and parameters of the released checkpoints, or as FBNet's paper rounds them
PUBLISHED = {
    "PROXYLESS_R": (320, 4_080_512),
    "PROXYLESS_GPU": (465, 7_119_848),
    "FBNET_A": (249, 4_300_000),
}


@cache
def retrained(name):
    with torch.device("meta"):
        return choose(SposRetrain(space="mobile", architecture=name), "smoke")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_published_sizes(name):
    network, choices = retrained(name)
    mult_adds, parameters = PUBLISHED[name]
    assert int(network.costs()["multiply-adds"](()) / 1e6) == mult_adds == BASELINES[name]
    exact = parameters if parameters % 1000 else pytest.approx(parameters, rel=0.006)
    assert count_parameters(network) == network.costs()["parameters"](()) == exact
    assert set(choices["block"]) <= EVERY.keys()


def test_baselines_that_are_not_rebuilt_differ_from_what_is_printed():
    counted = {name: retrained(name)[0].costs()["multiply-adds"](()) / 1e6 for name in BASELINES}
    near = {name for name, value in counted.items() if abs(value - BASELINES[name]) < 1}
    assert near == set(REBUILT)
    assert {name: round(counted[name]) for name in counted.keys() - near} == {"FBNET_B": 306, "FBNET_C": 385}


def test_mobilenet_v2_is_a_network_of_such_blocks():
    layout = MobileLayout(widths=(24, 32, 64, 96, 160, 320), repeats=(2, 3, 4, 3, 3, 1))
    with torch.device("meta"):
        network, original = MobileNetwork(layout, gene=(1,) * 16, affine=True), mobilenet_v2()
    assert count_parameters(network) == count_parameters(original) == network.costs()["parameters"](())
    assert count_mult_adds(network, 3, 224, 224) == count_mult_adds(original, 3, 224, 224)
    assert round(network.costs()["multiply-adds"](()) / 1e6) == 301


LAYOUTS = [{"dataset": "digits"}, {"dataset": "cifar10", "pixels": 16, "width": 0.5}, {"dataset": "imagenet"}]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout["dataset"])
def test_the_cost_of_a_gene_is_counted_in_the_network_that_it_names(layout):
    params, rng = SposSupernet(space="mobile", **layout), np.random.default_rng(0)
    with torch.device("meta"):
        whole = build(params)
        for gene in [whole.space.random(rng) for _ in range(2)]:
            alone = build(params, gene)
            images = alone.chains[0].inp, alone.size, alone.size
            assert whole.costs()["multiply-adds"](gene) == count_mult_adds(alone, *images)
            assert whole.costs()["parameters"](gene) == count_parameters(alone)
            assert whole.sizes() == alone.sizes()


def test_the_path_of_a_supernet_is_the_network_with_the_same_weights():
    torch.manual_seed(0)
    whole, rng = MobileNetwork(TINY).double(), np.random.default_rng(0)
    x = torch.rand(12, 1, 8, 8).double()
    for gene in [whole.space.random(rng) for _ in range(3)]:
        alone = MobileNetwork(TINY, gene=gene).double()
        for (own, _), (parameter, region) in zip(alone.path(), whole.path(gene), strict=True):
            own.data.copy_(parameter[region])
        torch.testing.assert_close(whole.train()(x, gene), alone.train()(x), rtol=1e-12, atol=0)
        recalibrate(whole, gene, x, lambda images: images, 6)
        recalibrate(alone, (), x, lambda images: images, 6)
        torch.testing.assert_close(whole(x, gene), alone(x), rtol=1e-12, atol=0)


def test_a_layer_that_keeps_the_shape_can_be_skipped_and_no_other():
    network = MobileNetwork(TINY)
    assert network.space.sizes == (6, 7, 6, 7)
    assert network.space.count == 6 * 7 * 6 * 7
    x = torch.rand(2, 6, 4, 4)
    assert network.features[1](x, 6) is x
    cost = network.costs()["multiply-adds"]
    assert cost.cheapest() == (0, 6, 0, 6)
    assert cost(cost.cheapest()) == min(map(cost, network.space.genes()))
    with pytest.raises(ReproError, match=r"choice 6 for the block of layer 0 is out of range: give 0 to 5 \(mb3_3x3,"):
        network.space.check((6, 0, 0, 0))
    with pytest.raises(ReproError, match="choice 6 for the block of layer 0 is out of range"):
        retrained("skip")
    with pytest.raises(UsageError, match="architecture='mb1_3x3' is no network of this space"):
        retrained("mb1_3x3")


def test_grouped_convolutions_are_shuffled_before_the_depthwise_one():
    torch.manual_seed(0)
    block = InvertedResidual(EVERY["mb1_5x5_g2"], 8, 8, 1, True).eval()
    first, norm, relu, *rest = block.branch
    assert first.groups == rest[3].groups == 2
    expected = nn.Sequential(first, norm, relu, nn.ChannelShuffle(2), *rest)
    x = torch.rand(2, 8, 5, 5)
    torch.testing.assert_close(block(x), x + expected(x))
    mixed = expected[:5](x)  # each group of the last convolution sees both of the first
    assert not torch.equal(mixed, nn.Sequential(first, norm, relu, rest[0])(x))
