"""Recurrent networks: the fast unrolling is the plain formula, to any order, and the networks are the released ones."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from repro.darts.bilevel import Functional, architecture_gradient, finite_difference
from repro.darts.plain_recurrent import language_model
from repro.darts.rnn.language_model import Dropout, LanguageModel, Masks, cross_entropy
from repro.darts.rnn.recurrence import Inputs, StateNorm, Wiring, recurrence
from repro.darts.rnn.unrolled import unroll
from repro.originals.vectors import read
from repro.originals.verify_rnn import check
from repro.spaces.genotypes import PUBLISHED

REFERENCE = Path(__file__).parents[2] / "reference"
DARTS, ENAS = PUBLISHED["DARTS_V2_RNN"], PUBLISHED["ENAS_RNN"]
CELLS = pytest.mark.parametrize("genotype", [None, DARTS, ENAS], ids=["search", "darts", "enas"])
V, H, T, B = 11, 6, 4, 5


def model(genotype=None, nodes=3, **options):
    torch.manual_seed(1)
    network = LanguageModel(V, H, genotype, nodes=nodes, alpha_init=0.5, **options).double()
    with torch.no_grad():  # far from zero, so that every activation bends
        for weight in network.weights():
            weight.copy_(torch.randn_like(weight))
    return network


def text(seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(V, (T + 1, B), generator=generator)
    return tokens[:-1], tokens[1:], torch.randn(B, H, generator=generator, dtype=torch.float64)


def released(network):
    """The network's weights as the plain one takes them."""
    names = {"encoder.weight": network.embedding, "decoder.bias": network.bias, "rnns.0._W0": network.first}
    return {**names, **{f"rnns.0._Ws.{i}": weight for i, weight in enumerate(network.maps)}}


def close(found, expected, tolerance=1e-10):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@CELLS
def test_network_is_the_plain_one_with_all_dropouts(genotype):
    network = model(genotype, dropout=Dropout(0.2, 0.3, 0.4, 0.5, 0.6))
    tokens, targets, hidden = text()
    masks = network.masks(B)
    theirs = {"word": masks.word, "embedding": None, "x": masks.input, "hidden": masks.hidden, "output": masks.output}
    norm = None if genotype else lambda state: functional.batch_norm(state, None, None, training=True)
    cell = genotype or network.alpha
    log_prob, after, states, dropped = language_model(released(network), cell, tokens, hidden, theirs, norm)
    output = network(tokens, targets, hidden, masks)
    close(output[1:], (after, states, dropped))
    expected = functional.nll_loss(log_prob.flatten(0, 1), targets.flatten())
    close([output.loss], [expected])
    extra = output.states.diff(dim=0).square().mean() + output.dropped.square().mean()
    other = states.diff(dim=0).square().mean() + dropped.square().mean()
    parameters = [*network.weights(), *network.alphas]
    close(torch.autograd.grad(output.loss + extra, parameters), torch.autograd.grad(expected + other, parameters), 1e-9)


def problem(genotype, nodes=3):
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    nodes = len(genotype.recurrent) if genotype else nodes
    mixture = None if genotype else draw(nodes * (nodes + 1) // 2, 5).softmax(1).detach().requires_grad_()
    inputs = Inputs(draw(T, B, 2 * H), draw(B, H), draw(H, 2 * H), draw(nodes, H, 2 * H), mixture)
    norm = None if genotype else StateNorm(torch.zeros(H).double(), torch.ones(H).double())
    return model(genotype, nodes).wiring, norm, inputs


@CELLS
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_written_out_is_that_of_the_plain_formula(genotype, masked):
    wiring, norm, inputs = problem(genotype)
    mask = torch.tensor([0.0, 2.0]).double().repeat(B * H // 2).view(B, H) if masked else None
    wanted = [value for value in inputs if value is not None]
    slope = torch.randn(T, B, H, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    outputs, gradients, moments = [], [], []
    for compute in (unroll, recurrence):
        own = norm and norm._replace(mean=norm.mean.clone(), var=norm.var.clone())
        outputs.append(compute(wiring, own, mask, inputs))
        first = torch.autograd.grad(outputs[-1], wanted, slope, create_graph=True)
        gradients.append([*first, *torch.autograd.grad(sum(part.square().sum() for part in first), wanted)])
        moments.append(own[:2] if own else ())
    fast = torch.autograd.grad(unroll(wiring, norm, mask, inputs), wanted, slope)
    close(outputs[:1], outputs[1:])
    close(moments[0], moments[1])
    close(gradients[0], gradients[1], 1e-8)
    close(fast, gradients[1][: len(fast)], 1e-9)


class Products(TorchDispatchMode):
    """Counts the products of matrices."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation.overloadpacket.__name__ in ("mm", "bmm", "addmm")
        return operation(*args, **(kwargs or {}))


def test_a_node_maps_its_sources_to_both_of_its_values_at_once():
    wiring, norm, inputs = problem(DARTS)
    with torch.no_grad(), Products() as products:
        unroll(wiring, norm, None, inputs)
    assert products.count == T * (1 + len(DARTS.recurrent))


def test_gradient_for_alpha_alone_is_the_same():
    wiring, norm, inputs = problem(None)
    fixed = Inputs(*(value.detach() for value in inputs[:4]), inputs.mixture)
    both = [
        torch.autograd.grad(unroll(wiring, norm, None, which).sum(), inputs.mixture)[0] for which in (inputs, fixed)
    ]
    assert torch.equal(*both)


def test_graph_cannot_be_gone_through_twice_unnoticed():
    wiring, norm, inputs = problem(None)
    total = unroll(wiring, norm, None, inputs).sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@pytest.mark.parametrize("parts", [1, 3, 100])
def test_cross_entropy_in_parts_is_the_whole(parts, monkeypatch):
    monkeypatch.setattr("repro.darts.rnn.language_model.LOGITS", parts * V)
    generator = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((V, H), (V,)))
    targets = torch.randint(V, (7,), generator=generator)
    inputs = [weight[:7].clone().requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    found = []
    for loss in (
        lambda: cross_entropy(inputs[0].tanh() @ weight.T @ weight, weight, bias, targets),  # tied: weight counts twice
        lambda: functional.cross_entropy(
            functional.linear(inputs[0].tanh() @ weight.T @ weight, weight, bias), targets
        ),
    ):
        first = torch.autograd.grad(loss(), inputs, create_graph=True)
        again = torch.autograd.grad(sum(part.square().sum() for part in first), inputs)
        found.append([loss(), *torch.autograd.grad(loss(), inputs), *first, *again])
    close(found[0], found[1])
    with torch.no_grad():
        close(
            [cross_entropy(inputs[0], weight, bias, targets)],
            [functional.cross_entropy(inputs[0] @ weight.T + bias, targets)],
        )


@pytest.mark.parametrize(("name", "arrays"), [("rnn_supernet", 8), ("rnn_darts_v2", 4), ("rnn_enas", 4)])
def test_reference_vectors(name, arrays):
    found = list(check(read(REFERENCE / f"{name}.npz")))
    assert len(found) == arrays
    assert not [finding for finding in found if not finding[1] <= finding[2]]


def test_parameter_counts_of_the_full_networks():
    counts = json.loads((REFERENCE / "counts.json").read_text())["recurrent"]
    networks = {
        "ptb search": (10_000, 300, None),
        "ptb eval DARTS_V2": (10_000, 850, DARTS),
        "ptb eval ENAS": (10_000, 850, ENAS),
        "wikitext-2 eval DARTS_V2": (33_278, 700, DARTS),
    }
    with torch.device("meta"):
        found = {
            name: {"params": sum(weight.numel() for weight in LanguageModel(*arguments).weights())}
            for name, arguments in networks.items()
        }
    assert found == counts


def test_architecture_gradient_leaves_the_network_alone_and_converges():
    network = model(nodes=2, dropout=Dropout(0, 0, 0, 0, 0))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compute = Functional(network, network.weights(), network.alphas)
    train, valid = (lambda w, a, seed=seed: compute(w, a, *text(seed)).loss for seed in (0, 1))
    exact = architecture_gradient("exact", train, valid, network.weights(), network.alphas, xi=0.1, grad_clip=0.25)
    weights = [weight.detach() for weight in network.weights()]
    vector = [torch.randn_like(weight) for weight in weights]
    errors = []
    slope = torch.autograd.grad(train(network.weights(), network.alphas), network.weights(), create_graph=True)
    product = torch.autograd.grad(slope, network.alphas, vector)[0]
    for eps in (1e-3, 1e-4):
        errors.append((finite_difference(train, weights, network.alphas, vector, eps)[0] - product).norm())
    assert errors[0] / errors[1] > 50  # second order in eps
    assert all(torch.isfinite(part).all() for part in exact)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_dropout_is_one_draw_for_a_sequence_and_none_in_evaluation():
    network = LanguageModel(V, 400, DARTS, dropout=Dropout(0.5, 0.2, 0.75, 0.25, 0.75))
    masks = network.masks(20)
    assert masks.word.shape == (V, 1)
    for mask, rate in ((masks.hidden, 0.25), (masks.output, 0.75)):
        assert mask.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
        assert (mask == 0).double().mean().item() == pytest.approx(rate, abs=0.03)
    assert (masks.input == 0).double().mean().item() == pytest.approx(1 - 0.8 * 0.25, abs=0.03)
    assert network.eval().masks(20) == Masks()


@CELLS
def test_nothing_in_the_loop_waits_for_a_value(genotype):
    """On the meta device there are no values: whatever looked at one, and so could not be captured, would fail."""
    with torch.device("meta"):
        network = LanguageModel(V, H, genotype, nodes=3)
        tokens, hidden = torch.zeros(T, B, dtype=torch.long), network.initial(B)
    output = network(tokens, tokens, hidden)
    (output.loss + output.states.diff(dim=0).square().mean()).backward()
    assert network.maps.grad.shape == network.maps.shape


def test_wiring_of_the_search_reads_all_states_before():
    wiring = LanguageModel(V, H, nodes=3).wiring
    assert wiring == Wiring((slice(0, 1), slice(0, 2), slice(0, 3)), None, (1, 2, 3))
