"""What the SPOS experiments start from: images, whole or as picture files, and the judge of candidates.

Candidates are judged by images held out of the training set, as many of each class and the same for every candidate.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torchvision.transforms import v2

from repro.configs.spos_networks import PathTraining, SposSupernet
from repro.data import loader
from repro.data.augment import Prepare
from repro.data.folders import Part, find
from repro.data.images import Batches
from repro.data.seeds import mixed_seed
from repro.errors import ReproError, UsageError
from repro.experiments import image_data
from repro.experiments.spos_networks import layout_of
from repro.runs.run import Run
from repro.settings import data_folder
from repro.spaces.space import Gene
from repro.spos.choice_blocks import bgr_255
from repro.spos.evolution import Evaluate, remembered
from repro.spos.network import SinglePath
from repro.spos.path_training import Judge, balanced_split
from repro.training.setup import Setup, start

LARGER = 256 / 224  # short side of a validation picture over that of its middle


@dataclass(frozen=True)
class Stream:
    """Shuffled batches of uint8 images with what augments them and what of it a checkpoint must hold."""

    batches: Batches | loader.Loader
    augment: Prepare
    parts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, index: int, done: int, steps: int) -> Iterable[tuple[Tensor, Tensor]]:
        """Return the batches of one pass over the images, at most `steps` of them, but for those that are done."""
        batches = self.batches.at(index, done) if isinstance(self.batches, loader.Loader) else self.batches
        return batches if steps >= len(batches) else islice(batches, steps - done)


class Data(Protocol):
    """A data set as the SPOS experiments see it; images are uint8, `normalise` makes floats of them on the device."""

    device: torch.device
    labels: Tensor  # (N,) of the training images
    normalise: Prepare

    def stream(self, indices: Tensor) -> Stream:
        """Return augmented batches of some of the training images."""
        ...

    def pick(self, indices: Tensor) -> Tensor:
        """Return some of the training images (M, C, H, W), as they are."""
        ...

    def test(self) -> tuple[Tensor, Tensor]:
        """Return the test images (N, C, H, W) and labels (N,)."""
        ...


def load(params: PathTraining, run: Run) -> Data:
    """Seed everything and return the data set; ReproError if it is missing or not as expected."""
    return (Pictures if params.dataset == "imagenet" else Whole)(params, run)


class Whole:
    """A data set of small images that lies on the device as a whole."""

    def __init__(self, params: PathTraining, run: Run) -> None:
        self.params, self.images = params, image_data.load(params, run)
        self.device, self.labels = self.images.x_train.device, self.images.y_train
        self.normalise = image_data.augmentation(params, self.images).normalise

    def stream(self, indices: Tensor) -> Stream:
        """Return augmented batches; what does not fill one is left out: BatchNorm cannot do with a single 1x1 map."""
        images, augment = self.images, image_data.augmentation(self.params, self.images)
        x, y = images.x_train[indices], images.y_train[indices]
        order = mixed_seed(self.params.seed, "order")
        batches = Batches(x, y, self.params.batch, seed=order, drop_last=True)
        return Stream(batches, augment, {"batches": batches, "augment": augment})

    def pick(self, indices: Tensor) -> Tensor:
        """Return some of the training images."""
        return self.images.x_train[indices]

    def test(self) -> tuple[Tensor, Tensor]:
        """Return the test images and labels."""
        return self.images.x_test, self.images.y_test


class Pictures:
    """ImageNet, decoded as it is needed; what is picked stays in the machine's memory (150 KB an image)."""

    def __init__(self, params: PathTraining, run: Run) -> None:
        layout, self.params = layout_of(params), params
        self.device, self.size = start(params, run), layout.size
        found = find(data_folder() / params.folder, layout.classes)
        run.record(data={params.dataset: found.checksum})
        self.train, self.valid = found.train.head(params.images), found.valid
        self.labels = self.train.labels

    def normalise(self, images: Tensor) -> Tensor:
        """Return floats of mean 0 and deviation 1 over ImageNet, on the device."""
        return loader.normalise(images.to(self.device))

    def stream(self, indices: Tensor) -> Stream:
        """Return batches augmented as in the released code."""
        jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)
        crop = v2.RandomResizedCrop(self.size)
        transform = v2.Compose([crop, jitter, v2.RandomHorizontalFlip(), v2.PILToTensor()])
        part = self.train._replace(names=self.train.names[indices.numpy()], labels=self.train.labels[indices])
        return Stream(self._loader(part, transform, self.params.batch, True), loader.normalise, {})

    def pick(self, indices: Tensor) -> Tensor:
        """Decode some of the training images."""
        return self._decode(self.train._replace(names=self.train.names[indices.numpy()], labels=self.labels[indices]))

    def test(self) -> tuple[Tensor, Tensor]:
        """Decode the validation images, which serve as test images."""
        return self._decode(self.valid), self.valid.labels.to(self.device)

    def _decode(self, part: Part) -> Tensor:
        transform = loader.valid_transform(self.size, round(LARGER * self.size))
        images = torch.empty(len(part.names), 3, self.size, self.size, dtype=torch.uint8)
        for batch, place in zip(self._loader(part, transform, 256, False), images.split(256), strict=True):
            place.copy_(batch[0])
        return images

    def _loader(self, part: Part, transform: v2.Transform, size: int, shuffled: bool) -> loader.Loader:
        options = {"seed": self.params.seed, "workers": self.params.workers, "device": self.device}
        return loader.Loader(part, transform, size, shuffled=shuffled, skip=None, **options)


def divide(params: SposSupernet, labels: Tensor, bn_images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of images that train a supernet, that are held out, and that recalibrate: some of the first.

    UsageError where there are not so many.
    """
    train, held = balanced_split(labels, params.valid_images, mixed_seed(params.seed, "split"))
    if bn_images > len(train):
        raise UsageError(f"bn_images={bn_images}, but {len(train)} images train the supernet: take fewer")
    generator = torch.Generator().manual_seed(mixed_seed(params.seed, "recalibration"))
    order = torch.randperm(len(train), generator=generator)
    return train, held, train[order[:bn_images].to(train.device)]


def judge(params: SposSupernet, run: Run, network: SinglePath, data: Data, bn_images: int) -> Judge:
    """Return the judge of candidates, the same for every one of this supernet."""
    _, held, some = divide(params, data.labels, bn_images)
    labels = data.labels[held].to(data.device)
    setup = Setup(params, run, network)
    prepare = setup.laid_out(preparation(network, data))
    return Judge(network, data.pick(some), data.pick(held), labels, prepare, setup.bf16)


def preparation(network: SinglePath, data: Data) -> Prepare:
    """Return what images go through: the authors' weights want them in BGR, 0 to 255."""
    return (lambda images: bgr_255(images.to(data.device))) if network.bgr else data.normalise


def recorded(run: Run, score: Evaluate, facts: Mapping[str, Callable[[Gene], float]]) -> Evaluate:
    """Return `score` with a memory in metrics.jsonl: a row for each gene with its accuracy and `facts`, once."""
    rows = run.metrics()
    run.restart(rows)  # whole lines only
    if not all(isinstance(row.get("gene"), list) and isinstance(row.get("accuracy"), int | float) for row in rows):
        raise ReproError(f"{run.path / 'metrics.jsonl'} is damaged: it has a line without gene and accuracy; delete it")
    known = {tuple(row["gene"]): row["accuracy"] for row in rows}

    def record(gene: Gene, accuracy: float) -> None:
        run.log({"gene": gene, "accuracy": accuracy, **{name: fact(gene) for name, fact in facts.items()}})

    return remembered(score, known, record)
