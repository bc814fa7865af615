"""A cell trained from scratch on ImageNet (DARTS A.2.3, Table 3), on one GPU or many."""

from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from repro.configs.imagenet import ImageNetEval
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.complexity import count_mult_adds, count_parameters
from repro.data.augment import Prepare
from repro.data.folders import Pictures, find, pictures
from repro.data.loader import Loader, normalise, share_of_cores, train_transform, valid_transform
from repro.experiments.found import find_genotype
from repro.originals.cnn import load_released
from repro.runs.run import Run
from repro.settings import data_folder
from repro.spaces.genotypes import ConvGenotype, to_json
from repro.training import checkpoints, devices, parallel
from repro.training.classifier import ImageTraining, LossAndErrors, measure
from repro.training.fit import Epoch, fit
from repro.training.setup import Setup, start


def evaluate_cell(params: ImageNetEval, run: Run) -> dict[str, Any]:
    """Train a cell from scratch; return its validation errors (percent) of the last and the best epoch, and its size.

    The paper does not say of which epoch its errors are; the released code keeps the best one.
    """
    genotype = find_genotype(params.genotype, run.profile)
    run.keep("genotype.json", to_json(genotype))
    device = start(params, run)
    train, valid = loaders(params, run, load(params, run), device)
    network = build_network(params, genotype).to(device)
    size = {
        "parameters_millions": count_parameters(network) / 1e6,
        "mult_adds_millions": count_mult_adds(network, 3, params.size, params.size) / 1e6,
    }
    if params.weights:
        checkpoints.fill(network, params.weights, load_released)
        rows = [{"epoch": None, **test(network, valid, Epoch(0))}]
    else:
        train_network(params, run, network, train, valid)
        rows = run.metrics()
    best = min(rows, key=lambda row: row["valid_error"])
    return {
        "top1_error": rows[-1]["valid_error"],
        "top5_error": rows[-1]["valid_top5_error"],
        "best_top1_error": best["valid_error"],
        "best_top5_error": best["valid_top5_error"],
        "best_epoch": best["epoch"],
        "valid_images": rows[-1]["valid_images"],
        **size,
        "epochs": params.epochs,
        "genotype": to_json(genotype),
    }


def load(params: ImageNetEval, run: Run) -> Pictures:
    """Return the pictures that the parameters name; ReproError says what is wrong with their folders."""
    folder = data_folder() / params.folder
    if params.dataset == "pictures":
        folder = Path(parallel.from_leader(lambda: str(pictures(run.path / "pictures"))))
    found = find(folder, params.classes)
    run.record(processes=parallel.size(), data={params.dataset: found.checksum})
    return found._replace(train=found.train.head(params.images))


def loaders(params: ImageNetEval, run: Run, data: Pictures, device: torch.device) -> tuple[Loader, Loader]:
    """Return batches of the training pictures, augmented, and of the validation pictures."""
    common = {
        "seed": params.seed,
        "workers": share_of_cores(params.workers, device),
        "device": device,
        "skip": params.unreadable == "skip",
    }
    common |= {"process": parallel.rank(), "processes": parallel.size()}
    return (
        Loader(data.train, train_transform(params.size), params.batch, shuffled=True, **common),
        Loader(data.valid, valid_transform(params.size, params.resize), params.batch, shuffled=False, **common),
    )


def build_network(params: ImageNetEval, genotype: ConvGenotype) -> EvaluationNetwork:
    """Return the evaluation network of a cell for ImageNet."""
    return EvaluationNetwork(
        genotype,
        "imagenet",
        channels=params.channels,
        classes=params.classes,
        cells=params.cells,
        auxiliary_head=params.auxiliary_weight > 0,
    )


def train_network(params: ImageNetEval, run: Run, network: EvaluationNetwork, train: Loader, valid: Loader) -> None:
    """Train for `params.epochs` epochs, each with a validation, checkpointed in `run` (A.2.3)."""
    optimizer = torch.optim.SGD(network.parameters(), params.lr, params.momentum, weight_decay=params.weight_decay)
    schedule = LambdaLR(optimizer, lambda step: rate(params, step, len(train)))
    setup = Setup(params, run, network)
    prepare = setup.laid_out(normalise)
    how = (params.grad_clip, params.auxiliary_weight, params.label_smoothing)
    training = ImageTraining(network, optimizer, *how, setup.bf16)

    def train_once(epoch: Epoch) -> dict[str, Any]:
        network.set_drop_path_rate(params.drop_path_rate * epoch.index / params.epochs)
        first = params.lr * rate(params, epoch.index * len(train), len(train))
        row = {"lr": first, **train_epoch(training, schedule, train, prepare, epoch)}
        return {**row, **test(network, valid, epoch), **unreadable(run, train, valid)}

    fit(run, {"network": network, "optimizer": optimizer, "schedule": schedule}, params.epochs, train_once)


def rate(params: ImageNetEval, step: int, steps: int) -> float:
    """Return the factor of the learning rate in a step, `steps` an epoch: it warms up by steps and decays by epochs."""
    warm = min(1.0, (step + 1) / (params.warmup * steps)) if params.warmup else 1.0
    return warm * params.lr_decay ** (step // steps)


def train_epoch(
    training: ImageTraining, schedule: LambdaLR, loader: Loader, prepare: Prepare, epoch: Epoch
) -> dict[str, Any]:
    """Train on every batch once; return loss, errors, and images a second of the steps and of the input pipeline."""
    training.network.train()
    average, stopwatch = LossAndErrors((1, 5)), devices.Stopwatch(loader.device)
    batches = loader.at(epoch.index, epoch.done("train"))
    for images, labels in epoch.steps("train", batches, average=average, stopwatch=stopwatch, loader=loader):
        with stopwatch:
            average.add(*training.step(prepare(images), labels), labels)
        schedule.step()
    row = average.row("train")
    step, pipeline = parallel.sums(average.count / stopwatch.seconds(), loader.rate())
    return {**row, "step_images_per_second": round(step, 1), "input_images_per_second": round(pipeline, 1)}


def test(network: EvaluationNetwork, loader: Loader, epoch: Epoch) -> dict[str, Any]:
    """Return loss, top-1 and top-5 error, and the number of pictures they are over."""
    average = LossAndErrors((1, 5))
    batches = epoch.steps("valid", loader.at(epoch.index, epoch.done("valid")), average=average, loader=loader)
    measure(network, ((normalise(images), labels) for images, labels in batches), average)
    return {**average.row("valid"), "valid_images": int(parallel.sums(average.count)[0])}


def unreadable(run: Run, *loaders: Loader) -> dict[str, int]:
    """Name the pictures that were skipped so far in unreadable.json, and count them; nothing where all were read."""
    names = sorted(set(parallel.gathered([name for loader in loaders for name in loader.unreadable])))
    if names:
        run.save("unreadable.json", names)
    return {"unreadable": len(names)} if names else {}
