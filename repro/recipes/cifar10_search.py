"""The search for convolutional cells on CIFAR-10 (DARTS Sect. 3.1.1)."""

from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from repro.fit import fit
from repro.hyperparameters import CifarSearch
from repro.image_search import ImageSearch, architecture, search_epoch, validate
from repro.images import Images
from repro.recipes.image_data import augmentation, halves, load
from repro.runs import Run
from repro.supernet import SearchNetwork


def search(params: CifarSearch, run: Run) -> dict[str, Any]:
    """Search for a cell; return it with the last validation error (percent)."""
    images = load(params, run)
    searcher = build_search(params, images)
    train, valid = halves(images, params.train_fraction, params.batch, params.seed)
    augment = augmentation(params, images)
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
    last = run.metrics()[-1]
    run.save("genotype.json", last["genotype"])
    return {"valid_error": last["valid_error"], "genotype": last["genotype"], "epochs": params.epochs}


def build_search(params: CifarSearch, images: Images) -> ImageSearch:
    """Return the search network for `images`, on their device, with its optimizers (A.1.1)."""
    network = SearchNetwork(
        channels=params.channels,
        classes=images.classes,
        cells=params.cells,
        nodes=params.nodes,
        in_channels=images.channels,
        alpha_scale=params.alpha_init,
    ).to(images.x_train.device)
    weights = torch.optim.SGD(network.weights(), params.lr, params.momentum, weight_decay=params.weight_decay)
    alphas = torch.optim.Adam(network.alphas, params.alpha_lr, (0.5, 0.999), weight_decay=params.alpha_weight_decay)
    return ImageSearch(network, weights, alphas, params.order, params.xi_scale, params.eps, params.clip)
