"""Cells trained on CIFAR-10: in full (DARTS A.2.1, Table 1), and briefly to compare them (Sect. 3.2, Figure 3, left).

A short training is on one half of the training images, and the other half decides; the test images stay untouched until
`cifar10-eval`.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from repro.configs.cifar10_cells import (
    CifarEval,
    CifarProgress,
    CifarRandom,
    CifarSelect,
    ConvTraining,
    ShortConvTraining,
)
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.complexity import count_mult_adds, count_parameters
from repro.darts.discretise import random_conv_genotype
from repro.data.augment import Augment
from repro.data.batches import Batches
from repro.data.images import Images
from repro.data.seeds import mixed_seed
from repro.experiments import selection
from repro.experiments.found import find_genotype
from repro.experiments.image_data import augmentation, halves, load
from repro.originals.cnn import load_released
from repro.runs.run import Run
from repro.spaces.genotypes import ConvGenotype, to_json
from repro.training import checkpoints, devices
from repro.training.classifier import ImageTraining, evaluate, train_epoch
from repro.training.fit import Epoch, fit
from repro.training.setup import Setup

MEASURE = "valid_error"  # percent


def evaluate_cell(params: CifarEval, run: Run) -> dict[str, Any]:
    """Train a cell from scratch; return its test error (percent) after the last epoch, and its size."""
    genotype = find_genotype(params.genotype, run.profile, snapshot=params.snapshot)
    run.keep("genotype.json", to_json(genotype))
    held_out = params.valid_images
    images = load(params, run, last=held_out)
    augment = augmentation(params, images, params.cutout)
    network = build_network(params, genotype, images)
    tested = lambda: _test(network, images, held_out, augment)
    if params.weights:
        checkpoints.fill(network, params.weights, load_released)
    else:
        order = mixed_seed(params.seed, "order")
        batches = Batches(
            images.x_train[: -held_out or None], images.y_train[: -held_out or None], params.batch, seed=order
        )
        train_cell(params, run, network, batches, augment, tested if params.test_each_epoch else dict)
    return {
        **tested(),
        "parameters_millions": count_parameters(network) / 1e6,
        "mult_adds_millions": count_mult_adds(network, *images.x_train.shape[1:]) / 1e6,
        "epochs": params.epochs,
        "genotype": to_json(genotype),
    }


def _test(network: EvaluationNetwork, images: Images, held_out: int, augment: Augment) -> dict[str, float]:
    """Return loss and error on the test images and, where some are held out, on the last training images."""
    valid = {"valid": (images.x_train[-held_out:], images.y_train[-held_out:])} if held_out else {}
    parts = {**valid, "test": (images.x_test, images.y_test)}
    rows = (evaluate(network, *part, augment.normalise, name) for name, part in parts.items())
    return {name: value for row in rows for name, value in row.items()}


def build_network(params: ConvTraining, genotype: ConvGenotype, images: Images) -> EvaluationNetwork:
    """Return the evaluation network of a cell for `images`, on their device."""
    return EvaluationNetwork(
        genotype,
        channels=params.channels,
        classes=images.classes,
        cells=params.cells,
        auxiliary_head=params.auxiliary_weight > 0,
        in_channels=images.channels,
    ).to(images.x_train.device)


def train_cell(
    params: ConvTraining,
    run: Run,
    network: EvaluationNetwork,
    batches: Batches,
    augment: Augment,
    after_epoch: Callable[[], dict[str, float]] = dict,
) -> None:
    """Train the network for `params.epochs` epochs, checkpointed in `run` (A.2.1).

    after_epoch: returns what each epoch's row has beside the training loss and error.
    """
    optimizer = torch.optim.SGD(network.parameters(), params.lr, params.momentum, weight_decay=params.weight_decay)
    schedule = CosineAnnealingLR(optimizer, params.epochs)
    setup = Setup(params, run, network)
    prepare = setup.laid_out(augment)
    training = ImageTraining(network, optimizer, params.grad_clip, params.auxiliary_weight, bf16=setup.bf16)
    step = setup.captured(training.step, optimizer)

    def train_once(epoch: Epoch) -> dict[str, Any]:
        rate = optimizer.param_groups[0]["lr"]
        network.set_drop_path_rate(params.drop_path_rate * epoch.index / params.epochs)
        row = train_epoch(training, batches, prepare, epoch, step)
        schedule.step()
        return {"lr": rate, **row, **after_epoch()}

    parts = {"network": network, "optimizer": optimizer, "schedule": schedule, "batches": batches, "augment": augment}
    fit(run, parts, params.epochs, train_once)


def select(params: CifarSelect, run: Run) -> dict[str, Any]:
    """Return the cell with the lowest validation error among those of several searches."""
    return selection.select(run, params.search, params.search_seeds, judge(params, load(params, run)), MEASURE)


def draw_randomly(params: CifarRandom, run: Run) -> dict[str, Any]:
    """Return the cell with the lowest validation error among random ones."""
    dice = random.Random(mixed_seed(params.seed, "cells"))
    draw = lambda: random_conv_genotype(dice, params.nodes)
    return selection.draw_randomly(run, draw, params.samples, judge(params, load(params, run)), MEASURE)


def follow_progress(params: CifarProgress, run: Run) -> dict[str, Any]:
    """Return the validation errors of the published cells; snapshots.json has those of the searches' cells."""
    images = load(params, run)
    judge_of = lambda channels: judge(replace(params, channels=channels), images)
    own = judge_of(params.channels)
    return {
        **selection.follow_progress(run, params.search, params.search_seeds, params.snapshots, own, MEASURE),
        **selection.judge_references(run, params.dataset, params.channels, judge_of, MEASURE),
    }


def judge(params: ShortConvTraining, images: Images) -> selection.CellJudge:
    """Return what trains a cell briefly on one half of the images and measures it on the other."""

    def valid_error(part: Run, genotype: ConvGenotype) -> float:
        devices.seed_everything(params.seed)
        train, valid = halves(images, params.train_fraction, params.batch, params.seed)
        augment = augmentation(params, images, params.cutout)
        network = build_network(params, genotype, images)
        train_cell(params, part, network, train, augment)
        return evaluate(network, valid.x, valid.y, augment.normalise, "valid")["valid_error"]

    return valid_error
