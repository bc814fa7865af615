"""What every experiment on small images starts from: seeds, device, images, augmentation, and how they are divided."""

import torch

from repro import devices
from repro.acceleration import precision
from repro.augment import Augment
from repro.hyperparameters import Accelerated, ImageTraining
from repro.images import Batches, Images, load_images, split
from repro.runs import Run

# Digits are not mirrored, and 8x8 images leave room for a shift of one pixel.
AUGMENTATION = {"cifar10": {"padding": 4, "flip": True}, "digits": {"padding": 1, "flip": False}}


def load(params: ImageTraining, run: Run) -> Images:
    """Seed everything and return the images on the run's device, `params.images` of them for training (0: all)."""
    device = devices.pick(params.device, params.threads)
    devices.seed_everything(params.seed)
    images = load_images(params.dataset)
    run.record(device=devices.describe(device), data={params.dataset: images.checksum})
    return images.head(params.images).to(device)


def uses_bf16(params: Accelerated, run: Run, device: torch.device) -> bool:
    """Choose in what the steps compute, record it, and return whether it is bfloat16, by autocast."""
    chosen = precision(params.precision, device)
    run.record(precision=chosen)
    return chosen == "bf16"


def augmentation(params: ImageTraining, images: Images, cutout: int = 0) -> Augment:
    """Return the published augmentation for these images, seeded by the run."""
    options = AUGMENTATION[params.dataset]
    device = images.x_train.device
    seed = devices.mixed_seed(params.seed, "augmentation")
    return Augment(images.mean, images.std, seed=seed, cutout=cutout, device=device, **options)


def halves(images: Images, fraction: float, batch: int, seed: int) -> tuple[Batches, Batches]:
    """Return batches of the first `fraction` of the training images and of the rest (Sect. 3.1.1)."""
    first, rest = split(len(images.x_train), fraction)
    return (
        Batches(images.x_train[first], images.y_train[first], batch, seed=devices.mixed_seed(seed, "order")),
        Batches(images.x_train[rest], images.y_train[rest], batch, seed=devices.mixed_seed(seed, "alpha-order")),
    )
