"""Quantisation and the mixed-precision supernet: laws, the paper's BitOps, torchvision as the oracle."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from repro.configs.spos_search import GIGA
from repro.errors import ReproError, UsageError
from repro.spos.quantise import (
    RESNETS,
    QuantisedResNet,
    ResidualLayout,
    quantise_activations,
    quantise_weights,
    search_space,
)

TINY = ResidualLayout(8, 1, 10, widths=(4, 6), repeats=(1, 2), small=True)
X = torch.linspace(-2, 5, 701)


def genes(space, n, seed=0):
    rng = np.random.default_rng(seed)
    return [space.random(rng) for _ in range(n)]


@given(st.integers(1, 8), st.integers(0, 1000))
def test_weights_take_at_most_two_to_the_bits_levels_in_order(bits, seed):
    w = torch.randn(4000, generator=torch.Generator().manual_seed(seed)).sort().values
    quantised = quantise_weights(w, bits)
    assert len(quantised.unique()) <= 2**bits
    assert (quantised.diff() >= 0).all()
    if bits > 1:
        squashed = torch.tanh(w) / torch.tanh(w).abs().max()
        assert (quantised - squashed).abs().max() <= 1 / (2**bits - 1) + 1e-6
        assert quantised.aminmax() == (-1, 1)


def test_one_bit_weights_are_signs_times_their_mean_magnitude():
    w = torch.tensor([[0.5, -1.5], [3.0, -1.0]])
    assert quantise_weights(w, 1).tolist() == [[1.5, -1.5], [1.5, -1.5]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_gradient_of_weights_passes_the_rounding_unchanged(bits):
    w = torch.randn(50, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(50, dtype=torch.float64)
    smooth = w if bits == 1 else torch.tanh(w) / torch.tanh(w).abs().max()
    expected = torch.autograd.grad(smooth @ upstream, w)[0]
    assert torch.allclose(torch.autograd.grad(quantise_weights(w, bits) @ upstream, w)[0], expected, rtol=1e-10)


@given(st.integers(1, 8), st.floats(0.1, 4))
def test_activations_equal_the_library_s_fake_quantisation(bits, clip):
    top = 2**bits - 1
    library = torch.fake_quantize_per_tensor_affine(X, np.float32(clip) / top, 0, 0, top)
    ours = quantise_activations(X, torch.tensor(clip), bits)
    tie = ((X * top / clip) % 1 - 0.5).abs() < 1e-3  # either neighbour will do
    assert torch.allclose(ours[~tie], library[~tie], rtol=1e-5)
    assert len(ours.unique()) <= 2**bits
    assert ours.min() == 0
    assert ours.max() == pytest.approx(clip, rel=1e-6)


def test_the_gradient_of_activations_is_pact_s():
    x, clip = X.clone().requires_grad_(), torch.tensor(1.705, requires_grad=True)
    upstream = torch.randn(len(X))
    (quantise_activations(x, clip, 3) @ upstream).backward()
    assert torch.equal(x.grad, upstream * ((X > 0) & (clip > X)))
    assert clip.grad.item() == pytest.approx(upstream[clip < X].sum().item(), rel=1e-5)


@pytest.mark.parametrize("each", [True, False])
def test_activations_of_all_bits_share_a_clip_only_where_asked(each):
    network = QuantisedResNet(TINY, clip_each=each)
    assert {tuple(block.clips.shape) for block in network.features} == {(2, 2 if each else 1)}
    with torch.no_grad():
        for block in network.features:
            block.clips[:, 0] = 0.1  # of 2 bits, or of both
    four = tuple([2] * 3 + [1] * 3)  # 1W4A everywhere
    x = torch.randn(4, 1, 8, 8)
    before = QuantisedResNet(TINY, clip_each=each)
    before.load_state_dict(network.state_dict() | {n: p for n, p in before.state_dict().items() if "clips" in n})
    assert torch.equal(network.eval()(x, four), before.eval()(x, four)) == each
    used = {id(p): region for p, region in network.path(four)}
    assert [used[id(block.clips)][1] for block in network.features] == [slice(1, 2) if each else slice(0, 1)] * 3


def test_first_and_last_layer_have_their_bits():
    network, x = QuantisedResNet(TINY, ends_bits=4), torch.rand(3, 6, 4, 4)
    (clip,) = network.clips
    assert any(p is clip for p, _ in network.path(genes(network.space, 1)[0]))
    weight, inputs = quantise_weights(network.fc.weight, 4), quantise_activations(x.mean((2, 3)), clip.squeeze(), 4)
    assert torch.allclose(network.head(x), inputs @ weight.T + network.fc.bias, atol=1e-6)
    scale = torch.nn.functional.conv2d(x[:, :1], quantise_weights(network.conv1.weight, 4), padding=1)
    assert torch.allclose(network.eval().stem(x[:, :1]), network.bn1(scale).relu(), atol=1e-6)
    network.train()(torch.rand(3, 1, 8, 8), genes(network.space, 1)[0]).sum().backward()
    assert network.conv1.weight.grad.abs().sum() > 0
    assert not QuantisedResNet(TINY).clips


def test_32_bits_are_full_precision():
    w = torch.randn(10)
    assert quantise_weights(w, 32) is w
    assert torch.equal(quantise_activations(X, torch.tensor(1.0), 32), X.relu())


@pytest.mark.parametrize(("layout", "oracle"), [(RESNETS[18], "resnet18"), (RESNETS[34], "resnet34")])
def test_at_32_bits_and_width_1_it_is_torchvision_s_network(layout, oracle):
    """To rounding: its shortcuts take every second pixel first."""
    ours = QuantisedResNet(layout, [(32, 32)], [1.0], affine=True).double()
    theirs = getattr(torchvision.models, oracle)().double()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected
    assert all(name.endswith("clips") for name in missing)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    gene = (0,) * len(ours.space.sizes)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x, gene), theirs.train(training)(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("layout", "bits", "giga"),
    [
        (RESNETS[18], 2, 6.32),
        (RESNETS[18], 3, 14.21),
        (RESNETS[18], 4, 25.27),
        (RESNETS[34], 2, 13.21),
        (RESNETS[34], 3, 29.72),
        (RESNETS[34], 4, 52.83),
    ],
)
def test_bitops_are_the_published_ones(layout, bits, giga):
    with torch.device("meta"):
        network = QuantisedResNet(layout, [(bits, bits)], [1.0])
    gene = (0,) * len(network.space.sizes)
    assert round(network.costs()["BitOps"](gene) / GIGA, 2) == giga


def test_bitops_of_the_supernet_are_those_of_the_network_it_names():
    supernet = QuantisedResNet(TINY)
    costs = supernet.costs()
    for gene in genes(supernet.space, 6):
        alone = QuantisedResNet(TINY, gene=gene, affine=True).eval()
        assert {name: cost(()) for name, cost in alone.costs().items()} == {n: cost(gene) for n, cost in costs.items()}
        with FlopCounterMode(display=False) as counter:
            alone(torch.zeros(1, 1, 8, 8))
        assert costs["multiply-adds"](gene) * 2 == counter.get_total_flops()
        clips = sum(block.clips.numel() for block in alone.features)
        assert costs["parameters"](gene) == sum(p.numel() for p in alone.parameters()) - clips


def test_gradients_reach_exactly_the_path():
    torch.manual_seed(0)
    network = QuantisedResNet(TINY)
    for gene in genes(network.space, 4):
        network.zero_grad()
        network(torch.randn(8, 1, 8, 8) * 3, gene).square().sum().backward()
        off = {id(p): torch.ones_like(p, dtype=torch.bool) for p in network.parameters()}
        for parameter, region in network.path(gene):
            off[id(parameter)][region] = False
        for name, parameter in network.named_parameters():
            assert parameter.grad is None or not parameter.grad[off[id(parameter)]].any(), name
            assert parameter.grad is None or name.endswith("clips") or parameter.grad[~off[id(parameter)]].any(), name


def test_the_stand_alone_network_computes_what_the_supernet_computes():
    torch.manual_seed(0)
    network = QuantisedResNet(TINY).double()
    for gene in genes(network.space, 4):
        alone = QuantisedResNet(TINY, gene=gene).double()
        for (own, _), (parameter, region) in zip(alone.path(), network.path(gene), strict=True):
            own.data.copy_(parameter[region])
        x = torch.randn(5, 1, 8, 8).double()
        assert torch.allclose(alone(x), network(x, gene), rtol=1e-12, atol=0)


def test_odd_inputs_are_refused_in_one_line():
    with pytest.raises(UsageError, match="9 bits are not supported: choose 1 to 8, or 32 for full precision"):
        QuantisedResNet(TINY, bits=[(2, 9)])
    with pytest.raises(ReproError, match=r"choice 6 for the bits of layer 2 is out of range: give 0 to 5 \(1W2A, 2W2A"):
        QuantisedResNet(TINY)(torch.zeros(1, 1, 8, 8), (0, 0, 6, 0, 0, 0))
    assert search_space(TINY).count == 18**3
