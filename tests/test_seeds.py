"""One generator for each purpose: no draw of a run depends on another, nor on those of the run with the next seed."""

import itertools
import random

import numpy as np
import pytest
import torch
from finished import run

from repro.configs.cifar10_search import CifarSearch
from repro.data.images import load_images
from repro.data.loader import _Order
from repro.data.seeds import mixed_seed
from repro.experiments import image_data
from repro.training import devices, fit

pytestmark = pytest.mark.usefixtures("folder")

CELL = {"genotype": "DARTS_V2"}
PATHS = {"images": 200, "batch": 20, "iterations": 1, "width": 0.5}
SUPERNET = {**PATHS, "valid_images": 50, "bn_images": 40, "evaluated_paths": 1}
NAMED = {"supernet": "run:spos-supernet/" + ",".join(f"{name}={value}" for name, value in SUPERNET.items())}
EVOLUTION = {"bn_images": 40, "generations": 1, "population": 2, "parents": 1, "mutation": 1, "crossover": 1}
# Experiment -> what keeps it small, and how many purposes draw before it trains, or until it ends
BEFORE_TRAINING = {
    "cifar10-search": ({}, 4),  # initialisation, order of either half, augmentation
    "cifar10-joint": ({}, 4),
    "cifar10-eval": (CELL, 3),
    "cifar10-random": ({"samples": 1}, 5),
    "ptb-search": ({}, 2),
    "ptb-eval": ({"genotype": "DARTS_V2_RNN"}, 2),
    "ptb-random": ({"samples": 1}, 3),
    "spos-supernet": (SUPERNET, 6),
    "spos-retrain": ({**PATHS, "architecture": "random"}, 4),
    "nb201-search": ({"images": 48, "batch": 16}, 4),
}


class Begun(Exception):
    """The training would begin."""


@pytest.fixture
def given(monkeypatch):
    """The seeds that any generator was given, as they take effect: PyTorch's on the CPU takes 32 bits.

    0 is not among them: it shuffles the topics of a corpus, shows what the paths of a space cost, and is given to the
    sampler of a network with one path.
    """
    load_images("digits")  # libraries draw while they are imported
    seeds = set()

    def note(seed):
        first = seed[0] if isinstance(seed, list) else seed
        seeds.update({first % 2**32} - {0} if isinstance(first, int) else ())
        return seed

    class Generator(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(note(seed))

    for module, name in ((torch, "manual_seed"), (np.random, "default_rng"), (random, "Random")):
        make = getattr(module, name)
        monkeypatch.setattr(module, name, lambda seed, make=make: make(note(seed)))
    monkeypatch.setattr(torch, "Generator", Generator)
    return seeds


@pytest.mark.parametrize(("name", "options", "purposes"), [(n, *rest) for n, rest in BEFORE_TRAINING.items()])
def test_every_purpose_of_every_seed_has_a_seed_of_its_own(monkeypatch, given, name, options, purposes):
    def begin(*arguments):
        raise Begun

    monkeypatch.setattr(fit, "restore", begin)
    seeds = []
    for seed in range(3):
        given.clear()
        with pytest.raises(Begun):
            run(name, seed=seed, **options)
        seeds.append(set(given))
    assert [len(each) for each in seeds] == [purposes] * 3
    assert len(set.union(*seeds)) == 3 * purposes


def test_a_search_over_paths_draws_apart_from_its_supernet(given):
    for space in ("blocks", "macro"):
        run("spos-supernet", space=space, **SUPERNET)
    seeds = [set(given)]
    for name, options in (("spos-blocks", EVOLUTION), ("spos-correlation", {"networks": 2, "iterations": 1})):
        for seed in range(2):
            given.clear()
            run(name, seed=seed, **{**NAMED, "bn_images": 40, **options})
            seeds.append(set(given) - seeds[0])
    assert all(seeds)
    for one, other in itertools.combinations(seeds, 2):
        assert not one & other


def orders(seed):
    """The first two orders of each half in a search, and those of a loader of picture files."""
    halves = image_data.halves(load_images("digits").head(200), 0.5, 100, seed)
    for batches in halves:
        yield batches.order
        batches.next(), batches.next()
        yield batches.order
    order = _Order(100, 100, seed, shuffled=True)
    for order.epoch in range(2):
        yield torch.tensor([index for index, _ in next(iter(order))])


def test_no_order_of_a_search_is_that_of_another():
    drawn = {tuple(order.tolist()) for seed in range(8) for order in orders(seed)}
    # w's orders are drawn alike for images in memory and in files, but for the epoch
    assert len(drawn) == 8 * 6


def test_augmentation_is_independent_of_initialisation_and_order():
    params = CifarSearch(dataset="digits", seed=3)
    devices.seed_everything(3)
    augment = image_data.augmentation(params, load_images("digits"))
    initial, drawn = torch.rand(5, 64), torch.rand(5, 64, generator=augment.generator)
    assert not torch.equal(initial, drawn)
    assert abs(torch.corrcoef(torch.stack((initial.flatten(), drawn.flatten())))[0, 1]) < 0.2
    order = _Order(64, 64, 3, shuffled=True)
    (keys,) = order
    generator = torch.Generator().manual_seed(mixed_seed(3, "order", 0))
    assert torch.equal(torch.randperm(64, generator=generator), torch.tensor([index for index, _ in keys]))
    seeds = torch.empty(64, dtype=torch.int64).random_(generator=generator)
    assert not set(seeds.tolist()) & {seed for _, seed in keys}


def test_purposes_share_nothing_with_neighbours():
    purposes = ("initialisation", "order", "alpha-order", "augmentation", "windows", "paths", "evolution")
    assert len({mixed_seed(seed, word) % 2**32 for seed in range(100) for word in purposes}) == 700
    assert mixed_seed(1, "order", 23) != mixed_seed(12, "order", 3) != mixed_seed(1, "order")
