"""The authors' checkpoints: every released name has its place, and what does not fit is refused in one line."""

import pickle
from pathlib import Path

import pytest
import torch
from plain_supernet import PlainSearchNetwork

from repro.errors import ReproError
from repro.genotypes import PUBLISHED
from repro.network import EvaluationNetwork
from repro.reference import read
from repro.released import load_released, places, read_state_dict, released_view
from repro.supernet import SearchNetwork

REFERENCE = Path(__file__).parent / "reference"


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
