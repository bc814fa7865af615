"""One network of a space trained from scratch and tested (SPOS Sect. 4)."""

from typing import Any

import torch

from repro.configs.spos_networks import PathTraining, SposRetrain
from repro.experiments.spos_data import Data, load, preparation
from repro.experiments.spos_networks import choose, give_weights
from repro.experiments.spos_search import LIMITS
from repro.experiments.spos_supernet import train_paths
from repro.runs.run import Run
from repro.spaces.space import PathSampler
from repro.spos.network import SinglePath
from repro.spos.path_training import accuracy


def retrain(params: SposRetrain, run: Run) -> dict[str, Any]:
    """Train the network that the parameters name on all training images; return its test accuracy (percent)."""
    data = load(params, run)
    network, choices = choose(params, run.profile)
    network.to(data.device)
    run.keep("choices.json", choices)
    if params.weights:
        give_weights(network, params.weights)
    else:
        train_alone(params, run, network, data)
    return {
        "test_accuracy": accuracy(network, (), *data.test(), preparation(network, data)),
        **{LIMITS[name][2]: cost(()) / LIMITS[name][1] for name, cost in network.costs().items()},
        "iterations": params.iterations,
        "choices": choices,
        "sizes": network.sizes(),
    }


def train_alone(params: PathTraining, run: Run, network: SinglePath, data: Data) -> None:
    """Train a network on all training images; as in the released code, a pass over them at rate 0 ends it.

    In that pass BatchNorm averages the statistics of all batches, where training lets the older ones fade.
    """
    stream = data.stream(torch.arange(len(data.labels)))
    train_paths(params, run, network, PathSampler(network.space, seed=0), stream, last_steps=len(stream))
