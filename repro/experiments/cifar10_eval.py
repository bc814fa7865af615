"""A cell trained from scratch on CIFAR-10 (DARTS Sect. 3.2, A.2.1, Table 1)."""

from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from repro.configs.cifar10_cells import CellTraining, CifarEval
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.complexity import count_mult_adds, count_parameters
from repro.data.augment import Augment
from repro.data.images import Batches, Images
from repro.data.seeds import mixed_seed
from repro.experiments.found import find_genotype
from repro.experiments.image_data import augmentation, load, uses_bf16
from repro.originals.cnn import load_released
from repro.runs.run import Run
from repro.spaces.genotypes import ConvGenotype, to_json
from repro.training import checkpoints, parallel
from repro.training.acceleration import compile_network, lay_out
from repro.training.classifier import ImageTraining, evaluate, train_epoch
from repro.training.cuda_graph import captured
from repro.training.fit import Epoch, fit


def evaluate_cell(params: CifarEval, run: Run) -> dict[str, Any]:
    """Train a cell from scratch; return its test error (percent) after the last epoch, and its size."""
    genotype = find_genotype(params.genotype, run.profile, snapshot=params.snapshot)
    run.keep("genotype.json", to_json(genotype))
    held = params.valid_images
    images = load(params, run, last=held)
    augment = augmentation(params, images, params.cutout)
    network = build_network(params, genotype, images)
    parallel.synchronise(network)
    if params.weights:
        checkpoints.fill(network, params.weights, load_released)
    else:
        order = mixed_seed(params.seed, "order")
        batches = Batches(images.x_train[: -held or None], images.y_train[: -held or None], params.batch, seed=order)
        train_cell(params, run, network, batches, augment)
    valid = (images.x_train[-held:], images.y_train[-held:], augment.normalise, "valid")
    return {
        **(evaluate(network, *valid) if held else {}),
        **evaluate(network, images.x_test, images.y_test, augment.normalise, "test"),
        "parameters_millions": count_parameters(network) / 1e6,
        "mult_adds_millions": count_mult_adds(network, *images.x_train.shape[1:]) / 1e6,
        "epochs": params.epochs,
        "genotype": to_json(genotype),
    }


def build_network(params: CellTraining, genotype: ConvGenotype, images: Images) -> EvaluationNetwork:
    """Return the evaluation network of a cell for `images`, on their device."""
    return EvaluationNetwork(
        genotype,
        channels=params.channels,
        classes=images.classes,
        cells=params.cells,
        auxiliary_head=params.auxiliary_weight > 0,
        in_channels=images.channels,
    ).to(images.x_train.device)


def train_cell(params: CellTraining, run: Run, network: EvaluationNetwork, batches: Batches, augment: Augment) -> None:
    """Train the network for `params.epochs` epochs, checkpointed in `run` (A.2.1)."""
    optimizer = torch.optim.SGD(network.parameters(), params.lr, params.momentum, weight_decay=params.weight_decay)
    schedule = CosineAnnealingLR(optimizer, params.epochs)
    device = batches.x.device
    bf16 = uses_bf16(params, run, device)
    prepare = lay_out(params.channels_last, network, augment, device)
    compile_network(params.compile, network, device)
    training = ImageTraining(network, optimizer, params.grad_clip, params.auxiliary_weight, bf16=bf16)
    step = captured(params.capture, training.step, network, [optimizer])

    def train_once(epoch: Epoch) -> dict[str, Any]:
        rate = optimizer.param_groups[0]["lr"]
        network.set_drop_path_rate(params.drop_path_rate * epoch.index / params.epochs)
        row = train_epoch(training, batches, prepare, epoch, step)
        schedule.step()
        return {"lr": rate, **row}

    parts = {"network": network, "optimizer": optimizer, "schedule": schedule, "batches": batches, "augment": augment}
    fit(run, parts, params.epochs, train_once)
