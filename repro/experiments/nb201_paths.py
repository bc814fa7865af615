"""SPOS in NAS-Bench-201's space: a supernet of all cells, searched as it trains, and its ranking against the truth."""

from functools import partial
from typing import Any

import numpy as np

from repro.beyond.cell_network import KERNELS
from repro.beyond.fair import FairSampler, FairTraining
from repro.configs.crossing import DartsEvolution
from repro.configs.nb201 import CellPaths
from repro.data.images import Images
from repro.data.seeds import mixed_seed
from repro.data.sources import InMemory
from repro.experiments.image_data import augmentation, load
from repro.experiments.nb201_search import build_network
from repro.experiments.nb201_table import facts, space_accuracies, truth
from repro.experiments.spos_correlation import draw
from repro.experiments.spos_data import judge, logged, supernet_split
from repro.experiments.spos_search import explore_both, settings_of
from repro.runs.run import Run
from repro.spaces.nas_bench import Table, kendall_tau
from repro.spaces.space import PathSampler
from repro.spos.evolution import Evaluate
from repro.spos.path_training import PathTraining, path_training
from repro.training.classifier import train_epoch
from repro.training.fit import Epoch, fit
from repro.training.setup import Setup

SAMPLING = {"uniform": (PathSampler, PathTraining), "fair": (FairSampler, FairTraining)}


def search_paths(params: CellPaths, run: Run) -> dict[str, Any]:
    """Train a supernet along uniform paths; return what evolution and random search find with the last weights.

    Rows of epochs with a search hold what it found by then; ranked/metrics.jsonl the random cells of the ranking.
    """
    table, images = truth(params, run), load(params, run)
    network, data = build_network(params, images), source(params, images)
    train, _, _ = supernet_split(params, data.labels, params.bn_images)
    stream, setup = data.stream(train), Setup(params, run, network)
    augment = setup.laid_out(stream.augment)
    rates = {name: getattr(params, name) for name in ("lr", "momentum", "weight_decay", "label_smoothing")}
    steps = params.epochs * len(stream)
    sampled, kind = SAMPLING[params.sampling]
    sampler = sampled(network.space, mixed_seed(params.seed, "paths"))
    training = path_training(network, sampler, steps, **rates, bf16=setup.bf16, kind=kind)
    score = judge(params, run, network, data, params.bn_images)

    def train_once(epoch: Epoch) -> dict[str, Any]:
        row = {"lr": training.rate(epoch.index * len(stream)), **train_epoch(training, stream.batches, augment, epoch)}
        last = epoch.index + 1 == params.epochs
        due = last or (epoch.index + 1) % params.search_every == 0
        seed, suffix = mixed_seed(params.seed, "evolution", epoch.index), f"_{epoch.index + 1}"
        return row | (searched(params, run, table, score, seed, suffix) if due else {})

    fit(run, training.parts() | stream.parts, params.epochs, train_once)
    found = {name: value for name, value in run.metrics()[-1].items() if name not in NOT_FOUND}
    return {**found, **ranked(params, run, table, score), **space_accuracies(table), "epochs": params.epochs}


def source(params: CellPaths, images: Images) -> InMemory:
    """Return the images as a supernet takes them."""
    return InMemory(images, partial(augmentation, params, images), params.batch, params.seed)


NOT_FOUND = ("epoch", "lr", "train_loss", "train_error", "seconds")  # of a row


def searched(
    params: CellPaths | DartsEvolution, run: Run, table: Table | None, score: Evaluate, seed: int, suffix: str = ""
) -> dict[str, Any]:
    """Return what evolution, and random search over as many cells, find with the weights as they are.

    The parts of `run` that hold every candidate are named evolution and random, with `suffix`.
    """
    found, row = explore_both(run, score.network.space, score, seed, settings_of(params), suffix=suffix), {}
    for prefix, state in zip(("", "random_"), found.values(), strict=True):
        (best,) = state.best(1)
        row |= {f"{prefix}accuracy": state.scores[best], **facts(table, best, prefix)}
    return row


def ranked(params: CellPaths | DartsEvolution, run: Run, table: Table | None, score: Evaluate) -> dict[str, Any]:
    """Return Kendall's tau of inherited with true accuracies over random cells, and that of the weights' number alone.

    Without a table, the mean alone.
    """
    genes = draw(score.network.space, params.ranked, mixed_seed(params.seed, "networks"))
    known = {"true_accuracy": table.accuracy} if table else {}
    inherited = [*map(logged(run.child("ranked"), score, known), genes)]
    found = {"mean_accuracy": float(np.mean(inherited)), "networks": len(genes)}
    if table:
        true = [*map(table.accuracy, genes)]
        weights = [sum(KERNELS.get(choice, 0) ** 2 for choice in gene) for gene in genes]
        found |= {"kendall_tau": kendall_tau(inherited, true), "kendall_tau_cost": kendall_tau(weights, true)}
    return found
