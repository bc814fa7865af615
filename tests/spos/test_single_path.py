"""Training on paths and judging candidates: laws first, then a supernet that learns digits."""

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from repro.darts.complexity import count_mult_adds, count_parameters
from repro.data.augment import Augment
from repro.data.batches import Batches
from repro.data.draws import balanced_split
from repro.data.images import load_images
from repro.errors import UsageError
from repro.spaces.layouts import MobileLayout
from repro.spaces.path_spaces import WIDTHS
from repro.spaces.space import PathSampler
from repro.spos import plain as paper
from repro.spos.choice_blocks import ChoiceNetwork, Layout
from repro.spos.macro import MacroLayout, MacroNetwork
from repro.spos.mobile import MobileNetwork
from repro.spos.path_training import PathJudge, accuracy, path_training, recalibrate
from repro.spos.quantise import QuantisedResNet, ResidualLayout
from repro.spos.supernet import Supernet
from repro.training.classifier import train_epoch
from repro.training.fit import Epoch


def conv(inp, out, kernel, stride=1):
    """An ordinary block, of PyTorch's modules alone."""
    layer = nn.Conv2d(inp, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out, affine=False), nn.ReLU())


def any_modules():
    """A stem, layers of which the second halves the image, and a head with a BatchNorm of vectors."""
    layers = [{f"{k}x{k}": conv(4, 4, k, stride) for k in (1, 3, 5)} for stride in (1, 2, 1)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 10))
    return conv(1, 4, 3), layers, head


TINY = Layout(8, 1, 10, stem=4, stem_stride=1, widths=(8, 20), repeats=(2, 2), strides=(1, 2), head=12)
NETWORKS = {
    "blocks": lambda: ChoiceNetwork(TINY),
    "channels": lambda: ChoiceNetwork(TINY, widths=WIDTHS),
    "bits": lambda: QuantisedResNet(ResidualLayout(8, 1, 10, widths=(4, 6), repeats=(1, 2), small=True)),
    "macro": lambda: MacroNetwork(MacroLayout(8, 1, stem=4, head=16)),
    "modules": lambda: Supernet(*any_modules(), shape=(1, 8, 8)),
    "mobile": lambda: MobileNetwork(MobileLayout(8, 1, 10, 4, 4, (6, 8), (2, 1), (2, 2), head=12, small=True)),
}


def plain(x):
    return x


def batch(n=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n) % 10


def training(network, seed=0, steps=40):
    return path_training(network, PathSampler(network.space, seed), steps, lr=0.1, weight_decay=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_parameter_off_the_path_is_bit_for_bit_unchanged(name):
    """After a step with momentum and weight decay, and so is its momentum; elements beyond a slice count as off."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    trainer = training(network)
    for index in range(12):
        before = {n: p.detach().clone() for n, p in network.named_parameters()}
        buffers = {p: s["momentum_buffer"].clone() for p, s in trainer.optimizer.state.items()}
        gene = copy.deepcopy(trainer.sampler)()
        trainer.step(*batch(seed=index))
        off = {p: torch.ones_like(p, dtype=torch.bool) for p in network.parameters()}
        for parameter, region in network.path(gene):
            off[parameter][region] = False
        for parameter_name, parameter in network.named_parameters():
            away = off[parameter]
            assert torch.equal(parameter[away], before[parameter_name][away]), parameter_name
            momentum = trainer.optimizer.state.get(parameter, {}).get("momentum_buffer", torch.zeros_like(parameter))
            assert torch.equal(momentum[away], buffers.get(parameter, torch.zeros_like(parameter))[away])
            on = ~away
            assert parameter.ndim < 2 or not on.any() or not torch.equal(parameter[on], before[parameter_name][on])


class PlainBlock(nn.Module):
    """A choice block with its layers as modules."""

    def __init__(self, block):
        super().__init__()
        self.main, self.proj = (nn.Sequential(*getattr(block, f"branch_{name}", ())) for name in ("main", "proj"))

    def forward(self, x):
        halves = (x, x) if len(self.proj) else (x[:, ::2], x[:, 1::2])
        return torch.cat((self.proj(halves[0]), self.main(halves[1])), 1)


def plain_supernet(network):
    """The same supernet in plain code, with the same weights, and the optimizer of its training."""
    network = copy.deepcopy(network)
    stem, last = nn.Sequential(*network.first_conv), nn.Sequential(*network.conv_last)
    head = nn.Sequential(last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.dropout, network.classifier)
    supernet = paper.Supernet(stem, [map(PlainBlock, layer) for layer in network.features], head)
    groups = [[p for p in supernet.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    decays = [{"params": p, "weight_decay": decay} for p, decay in zip(groups, (0.01, 0.0), strict=True) if p]
    return supernet, torch.optim.SGD(decays, 0.1, momentum=0.9)


def test_the_path_of_a_gene_is_the_plain_one():
    torch.manual_seed(0)
    network = ChoiceNetwork(TINY).double()
    supernet, _ = plain_supernet(network)
    rng, x = np.random.default_rng(0), batch()[0].double()
    for training in (True, False):
        for _ in range(3):
            gene = network.space.random(rng)
            network.train(training).dropout.eval()
            supernet.train(training).head[3].eval()
            torch.testing.assert_close(network(x, gene), supernet(x, gene), rtol=1e-10, atol=1e-12)


def test_steps_are_those_of_the_plain_supernet():
    """Of the same paths: losses and all weights, those off the path included."""
    torch.manual_seed(0)
    network = ChoiceNetwork(replace(TINY, dropout=0.0)).double()
    supernet, optimizer = plain_supernet(network)
    trainer, rng = training(network, seed=3, steps=10**12), np.random.default_rng(3)  # the rate does not fall
    for seed in range(6):
        x, y = batch(seed=seed)
        expected = paper.train_step(supernet, optimizer, x.double(), y, rng)
        torch.testing.assert_close(trainer.step(x.double(), y)[0], expected, rtol=1e-9, atol=0)
        for one, other in zip(network.features.parameters(), supernet.layers.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


def test_a_supernet_of_any_modules_is_the_plain_one():
    """Its outputs, and the losses and weights of steps along the same paths."""
    torch.manual_seed(0)
    network = Supernet(*any_modules(), shape=(1, 8, 8)).double()
    stem, head = copy.deepcopy((network.stem, network.head))
    supernet = paper.Supernet(stem, copy.deepcopy(network.features), head)
    groups = [[p for p in supernet.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    decays = [{"params": p, "weight_decay": decay} for p, decay in zip(groups, (0.01, 0.0), strict=True)]
    optimizer = torch.optim.SGD(decays, 0.1, momentum=0.9)
    trainer, rng = training(network, seed=3, steps=10**12), np.random.default_rng(3)
    for seed in range(6):
        x, y = batch(seed=seed)
        expected = paper.train_step(supernet, optimizer, x.double(), y, rng)
        torch.testing.assert_close(trainer.step(x.double(), y)[0], expected, rtol=1e-9, atol=0)
    for one, other in zip(network.parameters(), nn.ModuleList((stem, head, supernet.layers)).parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


def test_a_supernet_of_any_modules_counts_what_its_networks_cost():
    stem, layers, head = any_modules()
    network = Supernet(stem, layers, head, shape=(1, 8, 8))
    for gene in ((0, 1, 2), (2, 2, 0)):
        chosen = [list(layer.values())[choice] for layer, choice in zip(layers, gene, strict=True)]
        alone = nn.Sequential(stem, *chosen, head)
        costs = {name: cost(gene) for name, cost in network.costs().items()}
        assert costs == {"parameters": count_parameters(alone), "multiply-adds": count_mult_adds(alone, 1, 8, 8)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1x1": conv(4, 4, 1)}, r"layer 1 has the choices \['1x1'\], layer 0 \['1x1', '3x3', '5x5'\]: give the same"),
        (
            {"1x1": conv(4, 4, 1), "3x3": conv(4, 6, 3), "5x5": conv(4, 4, 5)},
            r"layer 1 return different shapes \(1x1 \(4, 8, 8\), 3x3 \(6, 8, 8\), 5x5 \(4, 8, 8\)\): give them",
        ),
    ],
)
def test_modules_that_do_not_make_a_layer_are_refused(change, message):
    stem, layers, head = any_modules()
    with pytest.raises(UsageError, match=message):
        Supernet(stem, [layers[0], change, layers[2]], head, shape=(1, 8, 8))


def test_the_learning_rate_falls_linearly_to_nothing():
    trainer = training(ChoiceNetwork(TINY), steps=4)
    rates = []
    for _ in range(4):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.step(*batch())
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert trainer.optimizer.param_groups[0]["lr"] == 0


def test_steps_after_the_last_one_are_torch_s_update_bn():
    torch.manual_seed(0)
    network = ChoiceNetwork(TINY, gene=(0, 1, 2, 3), affine=True)
    trainer, batches = training(network, steps=3), [batch(seed=seed) for seed in range(8)]
    network.train()
    for each in batches[:3]:
        trainer.step(*each)
    oracle = copy.deepcopy(network)
    for each in batches[3:]:
        trainer.step(*each)
    update_bn([images for images, _ in batches[3:]], oracle)
    for name, value in oracle.state_dict().items():
        assert "num_batches" in name or torch.allclose(network.state_dict()[name], value, rtol=1e-5, atol=1e-7), name
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), oracle.parameters(), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_training_resumes_bit_for_bit(name):
    torch.manual_seed(0)
    whole = training(NETWORKS[name]())
    for seed in range(3):
        whole.step(*batch(seed=seed))
    file = io.BytesIO()
    torch.save(
        {part: value.state_dict() for part, value in whole.parts().items()} | {"rng": torch.get_rng_state()}, file
    )
    file.seek(0)
    held = torch.load(file, weights_only=True)
    again = training(NETWORKS[name](), seed=9)
    for part, value in again.parts().items():
        value.load_state_dict(held[part])
    ends = []
    for trainer in (whole, again):
        torch.set_rng_state(held["rng"])
        for seed in range(3, 6):
            trainer.step(*batch(seed=seed))
        ends.append(trainer.network.state_dict())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_recalibration_is_torch_s_update_bn():
    torch.manual_seed(0)
    network, oracle = (ChoiceNetwork(TINY, gene=(0, 1, 2, 3)) for _ in range(2))
    oracle.load_state_dict(network.state_dict())
    oracle.dropout.p = 0.0  # its only difference: dropout stays on there
    x, _ = batch(70)
    recalibrate(network, (), x, plain, batch=16)
    update_bn(x[:64].split(16), oracle)
    for name, value in oracle.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert not network.training
    assert {norm.momentum for norm in network.modules() if hasattr(norm, "momentum")} == {0.1}


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"bits"}))  # of which `meta` cannot compute the rounding
def test_recalibration_asks_for_no_value(name):
    """Else a GPU is waited for; `meta` tensors have no values, so that asking for one raises."""
    network = NETWORKS[name]().to("meta")
    gene = network.space.random(np.random.default_rng(0))
    recalibrate(network, gene, batch(40)[0].to("meta"), plain, 20)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_candidate_s_score_depends_on_nothing_but_the_candidate(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    x, y = batch(40)
    judge = PathJudge(network, x[:20], x[20:], y[20:], plain, batch=10)
    rng = np.random.default_rng(0)
    genes = [network.space.random(rng) for _ in range(5)]
    weights = [p.clone() for p in network.parameters()]
    scores = [judge(gene) for gene in genes]
    assert [judge(gene) for gene in reversed(genes)] == scores[::-1]
    assert all(torch.equal(p, w) for p, w in zip(network.parameters(), weights, strict=True))


def test_an_inherited_path_scores_as_the_network_cut_out():
    torch.manual_seed(0)
    network = ChoiceNetwork(TINY, widths=WIDTHS).double()
    x, y = batch(60)
    x = x.double()
    gene = (3, 1, 0, 2, 0, 7, 3, 5)
    alone = ChoiceNetwork(TINY, widths=WIDTHS, gene=gene).double()
    for (own, _), (parameter, region) in zip(alone.path(), network.path(gene), strict=True):
        own.data.copy_(parameter[region])
    recalibrate(network, gene, x, plain, 20)
    recalibrate(alone, (), x, plain, 20)
    assert torch.allclose(network(x, gene), alone(x), rtol=1e-12, atol=0)
    assert accuracy(network, gene, x, y, plain, 7) == accuracy(alone, (), x, y, plain, 60)


def test_the_split_is_balanced_fixed_and_whole():
    labels = load_images("digits").y_train
    train, held = balanced_split(labels, 200, seed=1)
    assert labels[held].bincount().tolist() == [20] * 10
    assert torch.cat((train, held)).sort().values.tolist() == list(range(len(labels)))
    assert torch.equal(balanced_split(labels, 200, seed=1)[1], held)
    assert not torch.equal(balanced_split(labels, 200, seed=2)[1], held)


@pytest.mark.parametrize("valid_images", [0, 15, 2000])
def test_a_split_that_cannot_be_balanced_is_refused(valid_images):
    with pytest.raises(UsageError, match=f"{valid_images} held-out images cannot be balanced: choose a multiple of 10"):
        balanced_split(load_images("digits").y_train, valid_images, seed=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_bf16_networks_train_and_are_judged_with_weights_in_float32(name):
    losses, scores = [], []
    for bf16 in (False, True):
        torch.manual_seed(0)
        network, kinds = NETWORKS[name](), set()
        vars(network)["stem"] = Watched(network.stem, kinds)
        trainer = path_training(network, PathSampler(network.space, 0), 40, lr=0.1, bf16=bf16)
        losses.append(trainer.step(*batch())[0].item())
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        x, y = batch(40)
        scores.append(
            PathJudge(network, x[:20], x[20:], y[20:], plain, bf16, batch=10)(
                network.space.random(np.random.default_rng(0))
            )
        )
        assert kinds == {torch.bfloat16 if bf16 else torch.float32}
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)
    assert scores[1] == pytest.approx(scores[0], abs=20)


class Watched(nn.Module):
    """A stem, method or module, that keeps the kinds of numbers that it returns."""

    def __init__(self, stem, kinds):
        super().__init__()
        self.stem, self.kinds = stem, kinds

    def forward(self, x):
        y = self.stem(x)
        self.kinds.add(y.dtype)
        return y


def test_a_supernet_learns_digits_and_its_candidates_differ():
    torch.manual_seed(0)
    images = load_images("digits")
    train, held = balanced_split(images.y_train, 200, seed=0)
    x, y = images.x_train[train], images.y_train[train]
    augment = Augment(images.mean, images.std, seed=0, padding=1, flip=False)
    network = ChoiceNetwork(TINY)
    batches = Batches(x, y, 64, seed=0, drop_last=True)
    trainer = path_training(network, PathSampler(network.space, 0), 8 * len(batches), lr=0.3)
    rows = [train_epoch(trainer, batches, augment, Epoch(0)) for _ in range(8)]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    judge = PathJudge(network, x[:512], images.x_train[held], images.y_train[held], augment.normalise)
    scores = [judge(gene) for gene in [(0,) * 4, (1,) * 4, (2,) * 4, (3,) * 4]]
    assert min(scores) > 15  # of 10 by chance, after a few seconds
    assert len(set(scores)) > 1
