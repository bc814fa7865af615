"""What the SPOS experiments start from: images, whole or as picture files, and the judge of candidates.

Candidates are judged by images held out of the training set, as many of each class and the same for every candidate.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from repro.beyond.cell_network import CellNetwork
from repro.configs.nb201 import CellPaths
from repro.configs.spos_networks import SinglePathTraining, SposSupernet
from repro.data.augment import Prepare
from repro.data.draws import balanced_split
from repro.data.folders import find
from repro.data.seeds import mixed_seed
from repro.data.sources import ImageSource, InFolders, InMemory
from repro.errors import ReproError, UsageError
from repro.experiments import image_data
from repro.experiments.spos_networks import layout_of
from repro.runs.run import Run
from repro.settings import data_folder
from repro.spaces.space import Gene
from repro.spos.choice_blocks import bgr_255
from repro.spos.evolution import Evaluate, remembered
from repro.spos.network import SinglePath
from repro.spos.path_training import PathJudge
from repro.training.setup import Setup, start


def load(params: SinglePathTraining, run: Run) -> ImageSource:
    """Seed everything and return the data set; ReproError if it is missing or not as expected."""
    if params.dataset != "imagenet":
        images = image_data.load(params, run)
        return InMemory(images, partial(image_data.augmentation, params, images), params.batch, params.seed)
    layout, device = layout_of(params), start(params, run)
    found = find(data_folder() / params.folder, layout.classes)
    run.record(data={params.dataset: found.checksum})
    found = found._replace(train=found.train.head(params.images))
    return InFolders(found, layout.size, params.batch, seed=params.seed, workers=params.workers, device=device)


def supernet_split(params: SposSupernet | CellPaths, labels: Tensor, bn_images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of images that train a supernet, that are held out, and that recalibrate: some of the first.

    UsageError where there are not so many.
    """
    train, held_out = balanced_split(labels, params.valid_images, mixed_seed(params.seed, "split"))
    if bn_images > len(train):
        raise UsageError(f"bn_images={bn_images}, but {len(train)} images train the supernet: take fewer")
    generator = torch.Generator().manual_seed(mixed_seed(params.seed, "recalibration"))
    order = torch.randperm(len(train), generator=generator)
    return train, held_out, train[order[:bn_images].to(train.device)]


def judge(
    params: SposSupernet | CellPaths, run: Run, network: SinglePath | CellNetwork, data: ImageSource, bn_images: int
) -> PathJudge:
    """Return the judge of candidates, the same for every one of this supernet."""
    _, held_out, some = supernet_split(params, data.labels, bn_images)
    labels = data.labels[held_out].to(data.device)
    setup = Setup(params, run, network)
    prepare = setup.laid_out(preparation(network, data))
    return PathJudge(network, data.pick(some), data.pick(held_out), labels, prepare, setup.bf16)


def preparation(network: SinglePath | CellNetwork, data: ImageSource) -> Prepare:
    """Return what images go through: the authors' weights want them in BGR, 0 to 255."""
    return (lambda images: bgr_255(images.to(data.device))) if network.bgr else data.normalise


def logged(
    run: Run, score: Evaluate, facts: Mapping[str, Callable[[Gene], float]], measure: str = "accuracy"
) -> Evaluate:
    """Return `score` with a memory in metrics.jsonl: a row for each gene with its score, as `measure`, and `facts`."""
    rows = run.metrics()
    run.restart(rows)  # whole lines only
    if not all(isinstance(row.get("gene"), list) and isinstance(row.get(measure), int | float) for row in rows):
        raise ReproError(
            f"{run.path / 'metrics.jsonl'} is damaged: it has a line without gene and {measure}; delete it"
        )
    known = {tuple(row["gene"]): row[measure] for row in rows}

    def record(gene: Gene, value: float) -> None:
        run.log({"gene": gene, measure: value, **{name: fact(gene) for name, fact in facts.items()}})

    return remembered(score, known, record)
