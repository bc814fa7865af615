"""What every experiment on small images starts from: seeds, device, images, augmentation, and how they are divided."""

from repro.configs.common import SmallImages, SmallImageTraining
from repro.data.augment import Augment
from repro.data.batches import Batches
from repro.data.draws import divide
from repro.data.images import Images, load_images, split
from repro.data.seeds import mixed_seed
from repro.errors import UsageError
from repro.runs.run import Run
from repro.training.setup import start

# Digits are not mirrored. Images shift by up to an eighth of their side: CIFAR-10's by 4 of 32 pixels.
FLIP = {"cifar10": True, "digits": False}


def load(params: SmallImageTraining, run: Run, last: int = 0) -> Images:
    """Seed everything and return the images on the run's device, `params.images` of them for training (0: all).

    last: so many of the data set's last training images come behind them.
    """
    device = start(params, run)
    images = read(params, last)
    run.record(data={params.dataset: images.checksum})
    return images.to(device)


def read(params: SmallImages, last: int = 0) -> Images:
    """Return the images that the parameters name; `last` as in `load`."""
    images = load_images(params.dataset)
    images = images.halved() if params.pixels else images
    return images.head(params.images, last)


def augmentation(params: SmallImageTraining, images: Images, cutout: int = 0) -> Augment:
    """Return the published augmentation for these images, seeded by the run; UsageError where it hides all of them."""
    side = images.x_train.shape[-1]
    if cutout > side:
        raise UsageError(f"cutout={cutout} hides images of {side}x{side} pixels: take less, or 0 for none")
    options = {"padding": side // 8, "flip": FLIP[params.dataset], "cutout": cutout}
    seed = mixed_seed(params.seed, "augmentation")
    return Augment(images.mean, images.std, seed=seed, device=images.x_train.device, **options)


def halves(images: Images, fraction: float, batch: int, seed: int) -> tuple[Batches, Batches]:
    """Return batches of the first `fraction` of the training images and of the rest (Sect. 3.1.1)."""
    first, rest = divide(images.y_train, split(len(images.x_train), fraction))
    return (
        Batches(images.x_train[first], images.y_train[first], batch, seed=mixed_seed(seed, "order")),
        Batches(images.x_train[rest], images.y_train[rest], batch, seed=mixed_seed(seed, "alpha-order")),
    )
