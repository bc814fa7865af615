"""Convolutional cells compared after a short training (DARTS Sect. 3.2): selection, random search, Figure 3, left.

One half of the training images trains, the other half decides; the test images stay untouched until `cifar10-eval`.
"""

import random
from dataclasses import replace
from typing import Any

from repro.configs.cifar10_cells import CifarProgress, CifarRandom, CifarSelect, ShortTraining
from repro.darts.discretise import random_conv_genotype
from repro.data.images import Images
from repro.data.seeds import mixed_seed
from repro.experiments import selection
from repro.experiments.cifar10_eval import build_network, train_cell
from repro.experiments.image_data import augmentation, halves, load
from repro.runs.run import Run
from repro.spaces.genotypes import ConvGenotype
from repro.training import devices
from repro.training.classifier import evaluate

MEASURE = "valid_error"  # percent


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


def judge(params: ShortTraining, images: Images) -> selection.Judge:
    """Return what trains a cell briefly on one half of the images and measures it on the other."""

    def valid_error(part: Run, genotype: ConvGenotype) -> float:
        devices.seed_everything(params.seed)
        train, valid = halves(images, params.train_fraction, params.batch, params.seed)
        augment = augmentation(params, images, params.cutout)
        network = build_network(params, genotype, images)
        train_cell(params, part, network, train, augment)
        return evaluate(network, valid.x, valid.y, augment.normalise, "valid")["valid_error"]

    return valid_error
