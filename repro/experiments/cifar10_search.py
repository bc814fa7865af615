"""The searches for convolutional cells on CIFAR-10 (DARTS Sect. 3.1.1), and the alternatives to them (Sect. 3.3)."""

from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from repro.beyond.diagnosis import Diagnosis, diagnosed
from repro.beyond.lens import Lens, medians
from repro.configs.cifar10_search import CifarJoint, CifarSearch, SearchNetworkTraining
from repro.configs.common import SmallImageTraining
from repro.configs.nb201 import CellSearch
from repro.darts.cnn.search import (
    Batch,
    Comparison,
    ImageSearch,
    SimultaneousSearch,
    architecture,
    search_epoch,
    validate,
)
from repro.darts.cnn.search_network import SearchNetwork
from repro.data.augment import Augment, Prepare
from repro.data.batches import Batches
from repro.data.images import Images, load_images
from repro.data.seeds import mixed_seed
from repro.errors import ReproError
from repro.experiments.image_data import augmentation, halves, load, read
from repro.progress import note
from repro.runs.run import Run
from repro.training import devices
from repro.training.fit import Epoch, fit
from repro.training.setup import Setup, capturable


def search(params: CifarSearch, run: Run) -> dict[str, Any]:
    """Search for a cell, w on one half of the images and alpha on the other (Alg. 1)."""
    images = load(params, run)
    searcher = build_search(params, images)
    train, valid = halves(images, params.train_fraction, params.batch, params.seed)
    return run_search(params, run, searcher, train, valid, augmentation(params, images))


def one_step(
    params: CifarSearch | CellSearch, build: Callable[..., ImageSearch] | None = None
) -> tuple[ImageSearch, Batch, Batch]:
    """Return the search at its start and the first batch of either half, not augmented: for one step by hand.

    build: makes the search of parameters and images, by default in DARTS's own space. Where the data are not, as they
    need not be to read a finished run, digits stand in for them.
    """
    device = devices.pick(params.device, params.threads)
    devices.seed_everything(params.seed)
    try:
        images = read(params).to(device)
    except ReproError as error:
        note(f"digits in place of {params.dataset}: {error}")
        images = load_images("digits").to(device)
    batches = (half.next() for half in halves(images, params.train_fraction, params.batch, params.seed))
    normalise = augmentation(params, images).normalise
    return (build or build_search)(params, images), *((normalise(x), y) for x, y in batches)


def search_jointly(params: CifarJoint, run: Run) -> dict[str, Any]:
    """Search for a cell with alpha and w on the same images, all of them: in turn, or in one step (Sect. 3.3)."""
    images = load(params, run)
    network = build_network(params, images)
    if params.strategy == "coordinate":
        kind, optimizers = ImageSearch, (sgd(params, network.weights()), adam(params, network))
    elif params.strategy == "simultaneous":
        kind, optimizers = SimultaneousSearch, (sgd(params, [*network.weights(), *network.alphas]),) * 2
    else:
        decay = {"weight_decay": params.alpha_weight_decay}
        alphas = torch.optim.SGD(network.alphas, params.alpha_lr, params.momentum, **decay)
        kind, optimizers = SimultaneousSearch, (sgd(params, network.weights()), alphas)
    searcher = kind(network, *optimizers, order=1, grad_clip=params.grad_clip)
    seeds = (mixed_seed(params.seed, purpose) for purpose in ("order", "alpha-order"))
    whole = [Batches(images.x_train, images.y_train, params.batch, seed=seed) for seed in seeds]
    return run_search(params, run, searcher, *whole, augmentation(params, images))


def run_search(
    params: SearchNetworkTraining, run: Run, searcher: ImageSearch, train: Batches, valid: Batches, augment: Augment
) -> dict[str, Any]:
    """Search for all epochs; return the cell with the last validation error (percent)."""
    rows = search_epochs(params, run, searcher, train, valid, augment, partial(architecture, searcher.network))
    last = rows[-1]
    run.save("genotype.json", last["genotype"])
    cosines = [cosine for row in rows for cosine in row.get("cosines", ())]
    compared: dict[str, Any] = {"cosine": median(cosines)} if cosines else {}
    if looks := [look for row in rows for look in row.get("looks", ())]:
        compared["cosines"] = medians(looks)
    found = {"valid_error": last["valid_error"], "genotype": last["genotype"], "epochs": params.epochs}
    return {**found, **compared, **diagnosed(rows)}


def search_epochs(
    params: SmallImageTraining,
    run: Run,
    searcher: ImageSearch,
    train: Batches,
    valid: Batches,
    augment: Augment,
    found: Callable[[], dict[str, Any]],
    begin: Callable[[int], None] = lambda index: None,
) -> list[dict[str, Any]]:
    """Search for all epochs, checkpointed, in whichever space; return a row for each.

    found: what its row holds of the cell after an epoch. begin: what is set before each.
    """
    network, optimizer = searcher.network, searcher.weight_optimizer
    schedule = CosineAnnealingLR(optimizer, params.epochs, params.lr_min)
    setup = Setup(params, run, network, differentiable_twice=True)
    searcher.bf16 = setup.bf16
    prepare, prepare_valid = setup.laid_out(augment), setup.laid_out(augment.normalise)
    step = setup.captured(searcher.step, *searcher.optimizers)
    # where the step is not captured, validation is not either, and the line that says why stands once
    judge = searcher.judge if step == searcher.step else setup.captured(searcher.judge)

    def search_once(epoch: Epoch) -> dict[str, Any]:
        rate = optimizer.param_groups[0]["lr"]
        begin(epoch.index)
        observers: dict[str, Any] = comparison(params, searcher, epoch, epoch.index * len(train))
        observers |= lens(params, searcher, epoch.index * len(train))
        observers |= diagnosis(params, searcher, valid, prepare_valid, len(train) - 1)
        row = search_epoch(step, train, valid, prepare, epoch, **observers)
        for observer in observers.values():
            row |= observer.found
        row |= validate(judge, valid.x, valid.y, prepare_valid, params.batch, epoch)
        schedule.step()
        return {"lr": rate, **row, **found()}

    parts = {"network": network, "weight_optimizer": optimizer, "alpha_optimizer": searcher.alpha_optimizer}
    parts |= {"schedule": schedule, "train": train, "valid": valid, "augment": augment}
    fit(run, parts, params.epochs, search_once)
    return run.metrics()


def comparison(params: SmallImageTraining, searcher: ImageSearch, epoch: Epoch, done: int) -> dict[str, Comparison]:
    """Return the observer of Eq. 8 that `params.compare_every` asks for, from the second epoch on, or none."""
    every = getattr(params, "compare_every", 0)
    return {"compared": Comparison(searcher, every, done)} if every and epoch.index and searcher.order == 2 else {}


def lens(params: SmallImageTraining, searcher: ImageSearch, done: int) -> dict[str, Lens]:
    """Return the observer of gradients that `params.look_every` asks for, or none."""
    every = getattr(params, "look_every", 0)
    return {"looked": Lens(searcher, every, done, params.eps_seen, params.terms_seen)} if every else {}


def diagnosis(
    params: SmallImageTraining, searcher: ImageSearch, valid: Batches, prepare: Prepare, last: int
) -> dict[str, Diagnosis]:
    """Return the observer of curvature and gap that the parameters ask for, or none."""
    eigenvalue, gap = (getattr(params, name, False) for name in ("eigenvalue", "gap"))
    if eigenvalue in ("off", False) and not gap:
        return {}

    def batches() -> list[tuple[Tensor, Tensor]]:
        parts = zip(valid.x.split(params.batch), valid.y.split(params.batch), strict=True)
        return [(prepare(x), y) for x, y in parts if len(y) > 1]

    return {"diagnosis": Diagnosis(searcher, batches, last, eigenvalue, gap)}


def build_search(params: CifarSearch, images: Images) -> ImageSearch:
    """Return the search for `images`, at its start."""
    network = build_network(params, images)
    return ImageSearch(
        network,
        sgd(params, network.weights()),
        adam(params, network),
        params.order,
        params.xi_scale,
        params.eps,
        params.grad_clip,
        terms=params.terms,
    )


def build_network(params: SearchNetworkTraining, images: Images) -> SearchNetwork:
    """Return the search network for `images`, on their device (A.1.1)."""
    return SearchNetwork(
        channels=params.channels,
        classes=images.classes,
        cells=params.cells,
        nodes=params.nodes,
        in_channels=images.channels,
        alpha_scale=params.alpha_init,
        recomputes=params.recompute,
        dense=params.dense,
    ).to(images.x_train.device)


def adam(params: SearchNetworkTraining, network: nn.Module) -> torch.optim.Adam:
    """Return the optimizer of alpha."""
    options = {"lr": params.alpha_lr, "betas": (0.5, 0.999), "weight_decay": params.alpha_weight_decay}
    return capturable(torch.optim.Adam, network.alphas, **options)


def sgd(params: SmallImageTraining, parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    """Return the optimizer of w, or of w and alpha."""
    return torch.optim.SGD(parameters, params.lr, params.momentum, weight_decay=params.weight_decay)
