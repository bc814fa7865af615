"""The authors' checkpoints: every released name has its place, and what does not fit is refused in one line."""

import pickle
from pathlib import Path

import pytest
import torch
from plain_network import PlainNetwork
from plain_supernet import PlainSearchNetwork

from repro.errors import ReproError
from repro.genotypes import CELL_OPERATIONS, PUBLISHED, ConvGenotype
from repro.network import EvaluationNetwork
from repro.reference import read
from repro.released import load_released, places, read_state_dict, released_view
from repro.supernet import SearchNetwork

REFERENCE = Path(__file__).parent / "reference"
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
    network, plain = SearchNetwork(4, 10, 4, 3), PlainSearchNetwork(4, 10, 4, 3)
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
    plain = PlainNetwork(genotype, channels=4, cells=3)
    for value in plain.state_dict().values():
        value.copy_(0.5 + torch.rand_like(value) if value.ndim == 1 else value)  # BatchNorm as it never starts
    network = EvaluationNetwork(genotype, channels=4, cells=3, auxiliary=False)
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
    load_released(nasnet(auxiliary=False), read_state_dict(path))  # the head is left out


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
