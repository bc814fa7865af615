"""Training along sampled paths: a supernet (SPOS Sect. 3), and one network of its space from scratch (Sect. 4)."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from repro.configs.references import Reference
from repro.configs.registry import find
from repro.configs.spos_networks import SinglePathTraining, SposSupernet
from repro.configs.spos_retrain import SposRetrain
from repro.darts.complexity import count_parameters
from repro.data.seeds import mixed_seed
from repro.data.sources import ImageSource, Stream
from repro.experiments.spos_data import judge, load, preparation, supernet_split
from repro.experiments.spos_networks import build, choose, give_weights, in_units, layout_of, wants_bgr
from repro.runs.run import Run, find_needed
from repro.spaces.layouts import Layout
from repro.spaces.path_spaces import SPACES
from repro.spaces.space import PathSampler
from repro.spos.network import SinglePath
from repro.spos.path_training import accuracy, path_training
from repro.training import checkpoints, devices, fit
from repro.training.classifier import train_epoch
from repro.training.setup import Setup


def train_supernet(params: SposSupernet, run: Run) -> dict[str, Any]:
    """Train a supernet; return the accuracy (percent) on held-out images of random paths, which paths.json lists."""
    data = load(params, run)
    network = build(params, profile=run.profile).to(data.device)
    train, _, _ = supernet_split(params, data.labels, params.bn_images)
    if params.weights:
        give_weights(network, params.weights)
        fit.save(run, {"network": network, "images": fit.Values(bgr=network.bgr)}, 0)
    else:
        train_paths(params, run, network, path_sampler(params, network), data.stream(train))
    score = judge(params, run, network, data, params.bn_images)
    rng = np.random.default_rng(mixed_seed(params.seed, "evaluated-paths"))
    rows = [
        {"gene": gene, "accuracy": score(gene)}
        for gene in (network.space.random(rng) for _ in range(params.evaluated_paths))
    ]
    run.save("paths.json", rows)
    return {
        "accuracy": float(np.mean([row["accuracy"] for row in rows])),
        "networks": network.space.count,
        "parameters_millions": count_parameters(network) / 1e6,
        "iterations": params.iterations,
    }


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
        **in_units(network.costs(), ()),
        "iterations": params.iterations,
        "choices": choices,
        "sizes": network.sizes(),
    }


def path_sampler(params: SposSupernet, network: SinglePath) -> PathSampler:
    """Return the sampler of paths; bins are of BitOps where there are such, else of multiply-adds."""
    seed = mixed_seed(params.seed, "paths")
    if params.sampling == "uniform":
        return PathSampler(network.space, seed)
    costs = network.costs()
    cost = costs.get("BitOps", costs["multiply-adds"])
    layout = layout_of(replace(params, dropout=Layout.dropout))  # which changes no cost
    published = params.blocks == "all" and layout == type(layout)()
    return PathSampler(network.space, seed, cost, SPACES[params.space].bins if published else ())


def train_paths(
    params: SinglePathTraining, run: Run, network: SinglePath, sampler: PathSampler, stream: Stream, last_steps: int = 0
) -> None:
    """Train `network` for `params.iterations` steps, checkpointed in `run`; an epoch is a pass over the images.

    last_steps: further ones at rate 0, which change nothing but BatchNorm's statistics.
    """
    rates = {name: getattr(params, name) for name in ("lr", "momentum", "weight_decay", "label_smoothing")}
    setup = Setup(params, run, network)
    augment = setup.laid_out(stream.augment)
    training = path_training(network, sampler, params.iterations, **rates, bf16=setup.bf16)
    steps = params.iterations + last_steps

    def train_once(epoch: fit.Epoch) -> dict[str, Any]:
        first = epoch.index * len(stream)
        batches = stream.epoch(epoch.index, epoch.done("train"), steps - first)
        return {"lr": training.rate(first), **train_epoch(training, batches, augment, epoch)}

    fit.fit(run, training.parts() | stream.parts, -(-steps // len(stream)), train_once)


def train_alone(params: SinglePathTraining, run: Run, network: SinglePath, data: ImageSource) -> None:
    """Train a network on all training images; as in the released code, a pass over them at rate 0 ends it.

    In that pass BatchNorm averages the statistics of all batches, where training lets the older ones fade.
    """
    stream = data.stream(torch.arange(len(data.labels)))
    train_paths(params, run, network, PathSampler(network.space, seed=0), stream, last_steps=len(stream))


def load_supernet(run: Run, reference: Reference | None = None) -> tuple[SposSupernet, SinglePath]:
    """Return the parameters and the weights of a supernet that `run` needs, by default the only one.

    It computes as `run` does. ReproError if its run is not finished, or its checkpoint gone.
    """
    needed = find_needed(reference or find(run.experiment).references(run.params)["supernet"], run.profile)
    how = {name: getattr(run.params, name) for name in ("device", "threads", "precision", "channels_last")}
    params = replace(needed.params, **how)
    state = checkpoints.state_of(needed)
    network = build(params, profile=run.profile)
    network.load_state_dict(state["network"])
    network.bgr = wants_bgr(state)
    return params, network.to(devices.pick(params.device, params.threads))
