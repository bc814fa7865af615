"""The authors' checkpoints: every released name has its place, and what does not fit is refused in one line."""

import pickle
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from repro.darts import plain_networks
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.search_network import SearchNetwork
from repro.data import cifar10
from repro.errors import ReproError
from repro.originals import rnn
from repro.originals.cnn import load_released, places, released_view
from repro.originals.vectors import read
from repro.originals.verify import verify
from repro.spaces.genotypes import CELL_OPERATIONS, PUBLISHED, ConvGenotype
from repro.training import checkpoints
from repro.training.checkpoints import read_state_dict

REFERENCE = Path(__file__).parents[1] / "reference"
CELLS = {name: genotype for name, genotype in PUBLISHED.items() if isinstance(genotype, ConvGenotype)}


def of_one_operation(name):
    """A cell of nothing else: in the one that reduces, with stride 2 from the inputs and stride 1 from a node."""
    edges = ((name, 0), (name, 1), (name, 2), (name, 0))
    return ConvGenotype(edges, (2, 3), edges, (2, 3))


def checkpoint(name):
    arrays = read(REFERENCE / f"{name}.npz")
    return {key.removeprefix("weight/"): torch.as_tensor(arrays[key]) for key in arrays if key.startswith("weight/")}


def nasnet(**changes):
    return EvaluationNetwork(PUBLISHED["NASNET"], **{"channels": 4, "cells": 4, **changes})


def test_every_weight_and_statistic_of_the_search_network_has_one_place():
    network, plain = SearchNetwork(4, 10, 4, 3), plain_networks.SearchNetwork(4, 10, 4, 3)
    released = places(network)
    state = {name: value for name, value in plain.state_dict().items() if "num_batches" not in name}
    assert set(released) == set(state)
    load_released(network, state)
    own = network.state_dict()
    for name, value in state.items():
        assert torch.equal(released_view(own, released[name]).reshape(value.shape), value)
    weights = sum(released_view(own, released[name]).numel() for name, _ in plain.named_parameters())
    assert weights == sum(weight.numel() for weight in network.weights())


@pytest.mark.parametrize(
    "genotype", [*CELLS.values(), *map(of_one_operation, CELL_OPERATIONS)], ids=[*CELLS, *CELL_OPERATIONS]
)
def test_every_operation_is_read_in_the_released_naming(genotype):
    torch.manual_seed(0)
    plain = plain_networks.evaluation_network(genotype, channels=4, cells=3)
    for value in plain.state_dict().values():
        value.copy_(0.5 + torch.rand_like(value) if value.ndim == 1 else value)  # BatchNorm as it never starts
    network = EvaluationNetwork(genotype, channels=4, cells=3, auxiliary_head=False)
    state = {name: value for name, value in plain.state_dict().items() if "num_batches" not in name}
    assert set(places(network)) == set(state)
    load_released(network, state)
    images = torch.randn(5, 3, 16, 16)
    for training in (False, True):
        ours, expected = network.train(training)(images)[0], plain.train(training)(images)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    own = network.state_dict()
    for name, place in places(network).items():
        torch.testing.assert_close(own[place.name], plain.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_checkpoint_is_read_with_or_without_its_wrappings(tmp_path):
    state = checkpoint("cnn_cifar_nasnet")
    path = tmp_path / "model.pt"
    for held in (state, {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}):
        torch.save(held, path)
        found = read_state_dict(path)
        assert set(found) == set(state)
        load_released(nasnet(), found)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    load_released(nasnet(auxiliary_head=False), read_state_dict(path))  # the head is left out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": 6}, "has channels=4, the network channels=6"),
        ({"classes": 100}, "has classes=10, the network classes=100"),
        ({"cells": 5}, "has cells=4, the network cells=5"),
        ({"in_channels": 1}, "stem.0.weight has shape (12, 3, 3, 3), the network's (12, 1, 3, 3)"),
    ],
)
def test_a_checkpoint_of_another_size_is_refused(changes, words):
    with pytest.raises(ReproError) as caught:
        load_released(nasnet(**changes), checkpoint("cnn_cifar_nasnet"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network_is_refused():
    with pytest.raises(ReproError, match="another genotype, or of another kind"):
        load_released(EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=4, cells=4), checkpoint("cnn_cifar_nasnet"))
    with pytest.raises(ReproError, match="another genotype, or of another kind"):
        load_released(
            EvaluationNetwork(PUBLISHED["NASNET"], "imagenet", channels=4, cells=4), checkpoint("cnn_cifar_nasnet")
        )
    with pytest.raises(ReproError, match="another genotype, or of another kind"):
        load_released(nasnet(), {"weight": torch.zeros(1)})


class Malice:
    def __reduce__(self):
        return eval, ("open('harm', 'w')",)


def forms_of(thing):
    """A bare pickle of it, PyTorch's old stream, its archive, and NumPy's array and archive."""
    held = np.empty(1, dtype=object)
    held[0] = thing
    forms = [BytesIO() for _ in range(5)]
    pickle.dump(thing, forms[0], protocol=2)
    torch.save({"weight": thing}, forms[1], _use_new_zipfile_serialization=False)
    torch.save({"weight": thing}, forms[2])
    np.save(forms[3], held)
    np.savez(forms[4], x_train=held, y_train=held, x_test=held, y_test=held)
    return [form.getvalue() for form in forms]


STATE = "m.npz: .*; accepted is what torch.save makes of a state dict"
READERS = {
    "weights": (read_state_dict, STATE),
    "checkpoint": (lambda path: checkpoints.read(path), STATE),
    "recurrent weights": (rnn.read_model, "m.npz is refused: it .*; accepted are the authors' model"),
    "reference": (verify, "m.npz: it (is no .npz|is damaged, or no archive of numbers alone|has no 'config')"),
    "images": (lambda path: cifar10.read(path), "m.npz (lacks an array|cannot be read: it is damaged, or no archive)"),
}


@pytest.mark.parametrize("thing", [Malice(), Path("x"), torch.nn.Linear(1, 1)], ids=lambda thing: type(thing).__name__)
@pytest.mark.parametrize(("reader", "words"), READERS.values(), ids=READERS)
def test_what_holds_code_is_refused_in_our_words(reader, words, thing, tmp_path, monkeypatch, capfd):
    """The libraries' words advise to read it all the same."""
    monkeypatch.chdir(tmp_path)
    for form in forms_of(thing):
        Path("m.npz").write_bytes(form)
        with pytest.raises(ReproError, match=words) as caught:
            reader(Path("m.npz"))
        assert not re.search(r"weights_only|allow_pickle|trust|unsafe|torch\.load|pickle\.load|\n", str(caught.value))
        assert not Path("harm").exists()
    assert not capfd.readouterr().err


def test_a_refused_pickle_is_told_by_what_it_would_call(tmp_path):
    for form in forms_of(Malice())[:3]:
        (tmp_path / "m.pt").write_bytes(form)
        with pytest.raises(ReproError, match="it is a pickle that names eval, and so could run code"):
            read_state_dict(tmp_path / "m.pt")


def test_files_that_hold_anything_else_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(ReproError, match="cannot read"):
        read_state_dict(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ReproError, match="cannot read"):
        read_state_dict(path)
    path.write_bytes(pickle.dumps(Path("code that would run"), protocol=2))
    with pytest.raises(ReproError, match="cannot read"):
        read_state_dict(path)
    torch.save(nasnet(), path)
    with pytest.raises(ReproError, match="cannot read"):
        read_state_dict(path)
    torch.save([1, 2], path)
    with pytest.raises(ReproError, match="holds no state dict"):
        read_state_dict(path)
    torch.save({"epoch": 1}, path)
    with pytest.raises(ReproError, match="holds no state dict"):
        read_state_dict(path)
