"""The experiments on CIFAR-10 (DARTS Sect. 3.1.1 and 3.2, Table 1)."""

from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from repro import devices
from repro.augment import Augment
from repro.cost import parameters
from repro.discretise import conv_genotype
from repro.fit import fit
from repro.genotypes import ConvGenotype, to_json
from repro.hyperparameters import CifarEval, CifarSearch
from repro.hyperparameters import ImageTraining as Training
from repro.image_search import ImageSearch, architecture, search_epoch, validate
from repro.image_training import ImageTraining, evaluate, train_epoch
from repro.images import Batches, Images, load_images, split
from repro.network import CifarNetwork
from repro.recipes.found import find_genotype
from repro.runs import Run
from repro.supernet import SearchNetwork

# Digits are not mirrored, and 8x8 images leave room for a shift of one pixel.
AUGMENTATION = {"cifar10": {"padding": 4, "flip": True}, "digits": {"padding": 1, "flip": False}}


def search(params: CifarSearch, run: Run) -> dict[str, Any]:
    """Search for a cell; return it with the last validation error (percent)."""
    images, augment = _load(params, run)
    train, valid = _halves(params, images)
    searcher = build_search(params, images)
    optimizer = searcher.weight_optimizer
    schedule = CosineAnnealingLR(optimizer, params.epochs, params.lr_min)

    def epoch(index: int) -> dict[str, Any]:
        rate = optimizer.param_groups[0]["lr"]
        row = search_epoch(searcher, train, valid, augment)
        schedule.step()
        row |= validate(searcher, valid.x, valid.y, augment.normalise, params.batch)
        return {"lr": rate, **row, **architecture(searcher.network)}

    parts = {"network": searcher.network, "weight_optimizer": optimizer, "alpha_optimizer": searcher.alpha_optimizer}
    parts |= {"schedule": schedule, "train": train, "valid": valid, "augment": augment}
    fit(run, parts, params.epochs, epoch)
    genotype = to_json(conv_genotype(*searcher.network.alphas))
    run.save("genotype.json", genotype)
    return {"valid_error": run.metrics()[-1]["valid_error"], "genotype": genotype, "epochs": params.epochs}


def build_search(params: CifarSearch, images: Images) -> ImageSearch:
    """Return the search network for `images`, on their device, with its optimizers (A.1.1)."""
    network = SearchNetwork(
        params.channels, images.classes, params.cells, params.nodes, 3, images.channels, params.alpha_init
    ).to(images.x_train.device)
    weights = torch.optim.SGD(network.weights(), params.lr, momentum=params.momentum, weight_decay=params.weight_decay)
    alphas = torch.optim.Adam(
        network.alphas, params.alpha_lr, betas=(0.5, 0.999), weight_decay=params.alpha_weight_decay
    )
    return ImageSearch(network, weights, alphas, params.order, params.xi_scale, params.eps, params.clip)


def evaluate_cell(params: CifarEval, run: Run) -> dict[str, Any]:
    """Train a cell from scratch; return its test error (percent) after the last epoch."""
    genotype = find_genotype(params.genotype, run.profile)
    run.save("genotype.json", to_json(genotype))
    images, augment = _load(params, run, cutout=params.cutout)
    network = train_cell(params, run, genotype, images, augment)
    test = evaluate(network, images.x_test, images.y_test, augment.normalise, "test")
    size = parameters(network) / 1e6
    return {**test, "parameters_millions": size, "epochs": params.epochs, "genotype": to_json(genotype)}


def train_cell(params: CifarEval, run: Run, genotype: ConvGenotype, images: Images, augment: Augment) -> CifarNetwork:
    """Train `genotype` from scratch on the training images, in `run` (A.2.1)."""
    network = CifarNetwork(
        genotype, params.channels, images.classes, params.cells, params.auxiliary > 0, images.channels
    ).to(images.x_train.device)
    optimizer = torch.optim.SGD(
        network.parameters(), params.lr, momentum=params.momentum, weight_decay=params.weight_decay
    )
    schedule = CosineAnnealingLR(optimizer, params.epochs)
    training = ImageTraining(network, optimizer, params.clip, params.auxiliary)
    count = params.images or len(images.x_train)
    batches = Batches(images.x_train[:count], images.y_train[:count], params.batch, seed=params.seed)

    def epoch(index: int) -> dict[str, Any]:
        rate = optimizer.param_groups[0]["lr"]
        network.drop_path = params.drop_path * index / params.epochs
        row = train_epoch(training, batches, augment)
        schedule.step()
        return {"lr": rate, **row}

    parts = {"network": network, "optimizer": optimizer, "schedule": schedule, "batches": batches, "augment": augment}
    fit(run, parts, params.epochs, epoch)
    return network


def _load(params: Training, run: Run, cutout: int = 0) -> tuple[Images, Augment]:
    """Return the images on the run's device and their augmentation; seeds everything."""
    device = devices.pick(params.device)
    devices.seed_everything(params.seed)
    images = load_images(params.dataset).to(device)
    run.record(device=devices.describe(device), data={params.dataset: images.checksum})
    augment = Augment(
        images.mean, images.std, seed=params.seed, cutout=cutout, device=device, **AUGMENTATION[params.dataset]
    )
    return images, augment


def _halves(params: CifarSearch, images: Images) -> tuple[Batches, Batches]:
    """Return the images that train w and those that train alpha."""
    count = params.images or len(images.x_train)
    parts = split(count, params.train_fraction)
    train, valid = (
        Batches(images.x_train[part], images.y_train[part], params.batch, seed=params.seed + offset)
        for offset, part in enumerate(parts)
    )
    return train, valid
