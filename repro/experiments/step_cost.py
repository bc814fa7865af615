"""What a step costs: two kinds of step take turns on one machine, so that other load on it affects both alike.

First against second order (DARTS Table 1, search cost), and the whole mixture, and two paths, against one path (SPOS
Table 7).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from repro.configs.cifar10_search import CifarCost, CifarSearch
from repro.configs.spos_networks import SposCost, SposSupernet
from repro.darts.complexity import peak_bytes
from repro.data.augment import Prepare
from repro.data.images import Images
from repro.data.seeds import mixed_seed
from repro.data.sources import ImageSource
from repro.experiments import image_data, spos_data
from repro.experiments.cifar10_search import build_search
from repro.experiments.spos_networks import build
from repro.runs.run import Run
from repro.spaces.space import Gene, PathSampler, Space
from repro.spos.network import Mixture
from repro.spos.path_training import PathTraining, path_training
from repro.training import devices
from repro.training.setup import Setup

ORDERS = {"first": 1, "second": 2}
RATIOS = {"bytes": "memory", "seconds": "seconds"}  # what is measured -> what its ratios to that of a path are called
Steps = Mapping[str, Callable[..., tuple[Tensor, Tensor]]]  # batches -> loss and logits


def compare_orders(params: CifarCost, run: Run) -> dict[str, Any]:
    """Time search steps of both orders, from one start and on the same batches; metrics.jsonl has a row for each turn.

    A step moves alpha, then w; preparing its images is not timed. `seconds` are the median of a step's.
    """
    images = image_data.load(params, run)
    device = images.x_train.device
    steps, prepare = _search_steps(params, run, images)
    halves = image_data.halves(images, CifarSearch.train_fraction, params.batch, params.seed)
    run.restart([])
    for number in range(-params.warm_up_steps, params.steps):
        batches = [(prepare(x), y) for x, y in (half.next() for half in halves)]
        row = _turn(steps, batches, device)
        if number >= 0:
            run.log({"step": number, **row})
    found = {f"seconds_{name}": median(row[f"seconds_{name}"] for row in run.metrics()) for name in ORDERS}
    return {**found, "ratio": found["seconds_second"] / found["seconds_first"], **_machine(device)}


def compare_paths(params: SposCost, run: Run) -> dict[str, Any]:
    """Measure training steps along a path, of two paths, as ProxylessNAS runs them, and of the whole mixture.

    All move the same supernet on the same batch. `bytes` are the most in a step and `seconds` the median of a step's:
    in the result, their means over the paths, of which metrics.jsonl has a row for each.
    """
    supernet = SposSupernet.like(params)
    data = spos_data.load(supernet, run)
    whole, batch = _mixture(supernet, run, data)
    network = whole.network.network
    sampler = PathSampler(network.space, mixed_seed(params.seed, "paths"))
    rng = np.random.default_rng(mixed_seed(params.seed, "second-paths"))
    run.restart([])
    for number in range(params.paths):
        gene = sampler()
        along = replace(whole, network=network, sampler=lambda gene=gene: gene)
        both = (*gene, *other_path(gene, network.space, rng))
        two = replace(whole, sampler=lambda both=both: both)
        steps = {"path": along.step, "two_paths": two.step, "mixture": whole.step}
        for _ in range(0 if number else params.warm_up_steps):
            _turn(steps, batch, data.device)
        row = {f"bytes_{name}": _peak(whole, step, batch) for name, step in steps.items()}
        turns = [_turn(steps, batch, data.device) for _ in range(params.steps)]
        run.log({"gene": gene, **row, **{name: median(turn[name] for turn in turns) for name in turns[0]}})
    rows = run.metrics()
    found = {name: mean(row[name] for row in rows) for name in rows[0] if name.startswith(("bytes", "seconds"))}
    for what, name in RATIOS.items():
        found[f"{name}_ratio"] = found[f"{what}_mixture"] / found[f"{what}_path"]
        found[f"{name}_ratio_two_paths"] = found[f"{what}_two_paths"] / found[f"{what}_path"]
    return {**found, "paths": params.paths, **_machine(data.device)}


def other_path(gene: Gene, space: Space, rng: np.random.Generator) -> Gene:
    """Return a path that differs from `gene` in every layer, drawn uniformly from those."""
    sizes = np.asarray(space.sizes)
    return tuple(((gene + rng.integers(1, sizes)) % sizes).tolist())


def _search_steps(params: CifarCost, run: Run, images: Images) -> tuple[Steps, Prepare]:
    """Return a step of each order, both from one start, and what prepares their images; the rest is the paper's."""
    steps, augment = {}, image_data.augmentation(params, images)
    for name, order in ORDERS.items():
        devices.seed_everything(params.seed)
        search = build_search(CifarSearch.like(params, order=order), images)
        setup = Setup(params, run, search.network, differentiable_twice=True)
        search.bf16, prepare = setup.bf16, setup.laid_out(augment)
        steps[name] = setup.captured(search.step, *search.optimizers)
    return steps, prepare


def _mixture(params: SposSupernet, run: Run, data: ImageSource) -> tuple[PathTraining, tuple[Tensor, Tensor]]:
    """Return the training of the whole mixture of a supernet, and a batch for it."""
    mixture = Mixture(build(params)).to(data.device)
    stream = data.stream(torch.arange(len(data.labels)))
    setup = Setup(params, run, mixture)
    prepare = setup.laid_out(stream.augment)
    ((images, labels),) = stream.epoch(0, 0, 1)
    rate = params.lr * params.batch / SposSupernet.batch  # the paper's rate is that of its larger batch
    return path_training(mixture, tuple, params.iterations, lr=rate, bf16=setup.bf16), (prepare(images), labels)


def _peak(whole: PathTraining, step: Callable[..., object], batch: tuple[Tensor, Tensor]) -> int:
    """Return the most bytes of tensors in a step, with the supernet, what its optimizer keeps of it, and the batch."""
    whole.optimizer.zero_grad()
    moments = [each for each in tree_leaves(dict(whole.optimizer.state)) if isinstance(each, Tensor)]
    alive = [*whole.network.parameters(), *whole.network.buffers(), *moments, *batch]
    return peak_bytes(lambda: step(*batch), alive, batch[0].device)


def _turn(steps: Steps, batches: tuple[Any, Any], device: torch.device) -> dict[str, float]:
    """Take one step of each kind; return the seconds and the loss of each."""
    row = {}
    for name, step in steps.items():
        (loss, _), seconds = devices.timed(lambda step=step: step(*batches), device)
        row |= {f"seconds_{name}": seconds, f"loss_{name}": loss.item()}
    return row


def _machine(device: torch.device) -> dict[str, Any]:
    """Return what was timed."""
    return {"device": devices.describe(device), "threads": torch.get_num_threads()}
