"""`repro verify`: the original's numbers hold, a changed number does not, and a damaged file is refused."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from repro.darts import plain as paper
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.plain_networks import SearchNetwork as PlainSearchNetwork
from repro.errors import ReproError
from repro.originals.cnn import places, released_view
from repro.originals.vectors import difference, read
from repro.originals.verify import main, table, verify
from repro.spaces.genotypes import PUBLISHED, SEARCH_OPERATIONS, ConvGenotype, to_json

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.mark.parametrize("name", [path.stem for path in sorted(REFERENCE.glob("*.npz"))])
def test_the_original_numbers_hold(name):
    found = verify(REFERENCE / f"{name}.npz")
    assert all(row.ok for row in found), table(name, found)
    assert len(found) >= 4


def test_the_original_numbers_hold_as_a_gpu_computes(monkeypatch):
    monkeypatch.setattr("repro.darts.cnn.search_network.folds_on", lambda device: False)
    found = verify(REFERENCE / "cnn_supernet.npz")
    assert all(row.ok for row in found), table("cnn_supernet", found)


def changed(tmp_path, name, **arrays):
    """A copy of a reference file with other arrays; None leaves one out."""
    held = {**read(REFERENCE / f"{name}.npz"), **{key.replace("__", "/"): value for key, value in arrays.items()}}
    path = tmp_path / "changed.npz"
    np.savez(path, **{key: value for key, value in held.items() if value is not None})
    return path


def test_a_changed_number_is_found(tmp_path, capsys):
    loss = read(REFERENCE / "cnn_cifar_nasnet.npz")["loss"]
    path = changed(tmp_path, "cnn_cifar_nasnet", loss=loss * (1 + 1e-8))
    assert [row.name for row in verify(path) if not row.ok] == ["loss"]
    assert main([str(path)]) == 1
    assert "NOT OK" in capsys.readouterr().out


def test_evaluation_networks_of_any_size(tmp_path):
    """The config, the genotype and the inputs alone say which network it is."""
    torch.manual_seed(0)
    network = EvaluationNetwork(PUBLISHED["DARTS_V1"], channels=6, classes=7, cells=3, in_channels=1)
    state = {name: released_view(network.state_dict(), place).clone() for name, place in places(network).items()}
    network = network.double()
    x, y = torch.randn(3, 1, 20, 24), torch.randint(7, (3,))
    arrays = {f"weight/{name}": value for name, value in state.items()} | {"x": x, "y": y}
    arrays["logits_eval"] = network.eval()(x.double())[0]
    arrays["logits_train"], arrays["logits_aux"] = network.train()(x.double())
    losses = [cross_entropy(arrays[name], y) for name in ("logits_train", "logits_aux")]
    arrays["loss"] = losses[0] + 0.3 * losses[1]
    arrays["loss"].backward()
    config = {"kind": "cifar", "init_channels": 6, "layers": 3, "num_classes": 7, "auxiliary_weight": 0.3}
    gradients = {released: parameter.grad.norm() for released, parameter in renamed(network).items()}
    save(tmp_path / "own.npz", config, to_json(PUBLISHED["DARTS_V1"]), gradients, arrays)
    assert main([str(tmp_path / "own.npz")]) == 0


def test_search_networks_of_any_size(tmp_path):
    """A file made with the paper in plain code."""
    config = {
        **{"init_channels": 2, "layers": 3, "num_classes": 3, "nodes": 2, "multiplier": 2, "stem_multiplier": 2},
        **{"eta": 0.1, "momentum": 0.8, "weight_decay": 1e-2, "grad_clip": 0.5, "primitives": SEARCH_OPERATIONS},
        **{"arch_lr": 0.01, "arch_betas": [0.5, 0.9], "arch_weight_decay": 0.1},
    }
    arrays, gradients, alphas = plain_search(config)
    normal, reduce = map(paper.derive, alphas)
    save(tmp_path / "own.npz", config, to_json(ConvGenotype(normal, (2, 3), reduce, (2, 3))), gradients, arrays)
    found = verify(tmp_path / "own.npz")
    assert all(row.ok for row in found), table("own.npz", found)


def plain_search(config):
    """What the plain network computes: arrays of the format, gradient norms by released name, and the alphas."""
    torch.manual_seed(0)
    plain = PlainSearchNetwork(2, 3, 3, 2, stem_multiplier=2, in_channels=1)
    arrays = {f"weight/{name}": value.clone() for name, value in plain.state_dict().items() if "num_" not in name}
    plain = plain.double()
    alphas = plain.alphas = [torch.randn(5, 8).double().requires_grad_() for _ in range(2)]
    w = dict(plain.named_parameters())
    sgd = torch.optim.SGD(w.values(), 0.1, momentum=0.8, weight_decay=1e-2)
    for name, value in w.items():
        sgd.state[value]["momentum_buffer"] = 0.1 * torch.randn_like(value)
        arrays[f"momentum/{name}"] = sgd.state[value]["momentum_buffer"].clone()
    batches = {part: (torch.randn(6, 1, 9, 9), torch.randint(3, (6,))) for part in ("train", "valid")}
    for part, (x, y) in batches.items():
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    train, valid = ((x.double(), y) for x, y in batches.values())

    def cells(name, values):
        arrays.update({name + cell: value for cell, value in zip(("normal", "reduce"), values, strict=True)})

    before = [alpha.detach().clone() for alpha in alphas]
    cells("alphas_", before)
    arrays["logits_eval"] = plain.eval()(train[0])
    arrays["logits_train"] = plain.train()(train[0])
    arrays["loss_train"] = paper.loss(plain, train)
    slope = torch.autograd.grad(arrays["loss_train"], [*w.values(), *alphas], create_graph=True)
    gradients = {name: part.norm() for name, part in zip(w, slope, strict=False)}
    cells("grad_alphas_", slope[-2:])
    cells("first_order/", torch.autograd.grad(paper.loss(plain, valid), alphas))
    ahead = {
        name: value - 0.1 * (0.8 * sgd.state[value]["momentum_buffer"] + part + 1e-2 * value)
        for (name, value), part in zip(w.items(), slope, strict=False)
    }
    unrolled = cross_entropy(torch.func.functional_call(plain, ahead, (valid[0],)), valid[1])
    cells("second_order_exact/", torch.autograd.grad(unrolled, alphas))
    cells("second_order/", paper.unrolled_gradient(plain, sgd, train, valid))  # last: it moves w, and back

    adam = torch.optim.Adam(alphas, 0.01, (0.5, 0.9), weight_decay=0.1)
    free = copy.deepcopy((plain, sgd, adam))
    paper.search_step(*free, train, valid, grad_clip=math.inf)
    arrays["after_step/grad_norm"] = torch.cat([value.grad.flatten() for value in free[0].parameters()]).norm()
    paper.search_step(plain, sgd, adam, train, valid, grad_clip=0.5)
    cells("after_step/alphas_", alphas)
    arrays["after_step/weight_norms"] = torch.stack([value.norm() for value in w.values()])
    arrays["after_step/weight_sums"] = torch.stack([value.sum() for value in w.values()])
    return arrays, gradients, before


def renamed(network):
    """The parameters under their released names."""
    parameters = dict(network.named_parameters())
    return {name: parameters[place.name] for name, place in places(network).items() if place.name in parameters}


def save(path, config, genotype, gradients, arrays):
    texts = {"config": json.dumps(config), "genotype": json.dumps(genotype)}
    norms = {"param_names": list(gradients), "grad_norms": torch.stack(list(gradients.values()))}
    arrays = {
        name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in (arrays | norms).items()
    }
    np.savez(path, **texts, **arrays)


def test_files_that_cannot_be_read_exit_2(tmp_path, capsys):
    cut = tmp_path / "cut.npz"
    cut.write_bytes((REFERENCE / "cnn_cifar_nasnet.npz").read_bytes()[:50_000])
    flipped = tmp_path / "flipped.npz"
    data = bytearray((REFERENCE / "cnn_cifar_nasnet.npz").read_bytes())
    data[20_000:20_100] = bytes(100)
    flipped.write_bytes(data)
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, config=np.array([{"kind": "cifar"}], dtype=object))
    for path in (cut, flipped, text, pickled, tmp_path / "missing.npz", tmp_path):
        assert main([str(path)]) == 2, path
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert str(path) in error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": None}, "no 'config'"),
        ({"config": np.array("{}")}, "expected one of"),
        ({"config": np.array("[")}, "Expecting value"),
        ({"logits_aux": None}, "no 'logits_aux'"),
        ({"weight__classifier.weight": None}, "lacks classifier.weight"),
        ({"weight__classifier.weight": np.zeros((10, 3))}, "classifier.weight has shape"),
        ({"weight__classifier.weight": np.zeros((7, 192))}, "classes=7"),
        ({"y": np.array([99, 0])}, "do not fit together"),
        ({"x": np.zeros((2, 3, 32))}, "do not fit together"),
        ({"genotype": np.array(json.dumps({"normal": []}))}, "a genotype with the keys"),
    ],
)
def test_files_with_the_wrong_contents_say_what_is_wrong(tmp_path, change, words):
    with pytest.raises(ReproError) as caught:
        verify(changed(tmp_path, "cnn_cifar_nasnet", **change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_difference_is_relative_and_never_hides_a_missing_number():
    expected = torch.tensor([1.0, 1e-2, 0.0])
    assert difference(torch.tensor([1.0, 1.01e-2, 0.0]), expected) == pytest.approx(0.01, rel=1e-4)
    assert difference(torch.tensor([1.0, 1e-2, 1e-6]), expected) == pytest.approx(1e-3, rel=1e-4)
    assert difference(torch.tensor([1.0, 1e-2, float("nan")]), expected) == float("inf")
    assert difference(expected[:2], expected) == float("inf")
    assert difference(torch.zeros(2), torch.zeros(2)) == 0
    assert difference(torch.ones(2), torch.zeros(2)) > 1
