"""Images to train on and to judge by, wherever they are: whole in memory, or picture files decoded as they are needed.

Either source has `labels` (N,) of the training images, and gives augmented batches of any of these (`stream`), the same
as one tensor (`pick`), and the `test` images: uint8, of which `normalise` makes floats on the `device`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from repro.data import loader
from repro.data.augment import Augment, Prepare
from repro.data.batches import Batches
from repro.data.folders import Part, Pictures
from repro.data.images import Images
from repro.data.seeds import mixed_seed

LARGER = 256 / 224  # short side of a validation picture over that of its middle
DECODED = 256  # pictures decoded at a time, where all are


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


class InMemory:
    """Small images that lie on the device as a whole; every stream gets an augmentation of its own."""

    def __init__(self, images: Images, augmentation: Callable[[], Augment], batch: int, seed: int) -> None:
        self.images, self.augmentation, self.batch, self.seed = images, augmentation, batch, seed
        self.device, self.labels = images.x_train.device, images.y_train
        self.normalise = augmentation().normalise

    def stream(self, indices: Tensor) -> Stream:
        """Return augmented batches; what does not fill one is left out: BatchNorm cannot do with a single 1x1 map."""
        x, y, augment = self.images.x_train[indices], self.images.y_train[indices], self.augmentation()
        batches = Batches(x, y, self.batch, seed=mixed_seed(self.seed, "order"), drop_last=True)
        return Stream(batches, augment, {"batches": batches, "augment": augment})

    def pick(self, indices: Tensor) -> Tensor:
        """Return some of the training images (M, C, H, W)."""
        return self.images.x_train[indices]

    def test(self) -> tuple[Tensor, Tensor]:
        """Return the test images (N, C, H, W) and labels (N,)."""
        return self.images.x_test, self.images.y_test


class InFolders:
    """Picture files, decoded to (3, size, size), of which ImageNet's take 150 KB each.

    What is picked stays on the device if that takes at most half of its free memory, else in the machine's.
    """

    def __init__(
        self, pictures: Pictures, size: int, batch: int, *, seed: int, workers: int, device: torch.device
    ) -> None:
        self.train, self.valid = pictures
        self.size, self.batch, self.seed, self.device = size, batch, seed, device
        self.workers = loader.share_of_cores(workers, device)
        self.labels = self.train.labels

    def normalise(self, images: Tensor) -> Tensor:
        """Return floats of mean 0 and deviation 1 over ImageNet, on the device."""
        return loader.normalise(images.to(self.device))

    def stream(self, indices: Tensor) -> Stream:
        """Return batches augmented as in the released code of SPOS."""
        jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)
        crop = v2.RandomResizedCrop(self.size)
        transform = v2.Compose([crop, jitter, v2.RandomHorizontalFlip(), v2.PILToTensor()])
        return Stream(
            self._loader(self.train.take(indices), transform, self.batch, True, self.device), loader.normalise, {}
        )

    def pick(self, indices: Tensor) -> Tensor:
        """Decode some of the training images: (M, 3, size, size)."""
        return self._decode(self.train.take(indices))

    def test(self) -> tuple[Tensor, Tensor]:
        """Decode the validation images, which serve as test images."""
        return self._decode(self.valid), self.valid.labels.to(self.device)

    def _decode(self, part: Part) -> Tensor:
        transform = loader.valid_transform(self.size, round(LARGER * self.size))
        shape = len(part.names), 3, self.size, self.size
        place = self.device if _fits(math.prod(shape), self.device) else torch.device("cpu")
        images = torch.empty(shape, dtype=torch.uint8, device=place)
        batches = self._loader(part, transform, DECODED, False, place)
        for batch, rows in zip(batches, images.split(DECODED), strict=True):
            rows.copy_(batch[0])
        return images

    def _loader(
        self, part: Part, transform: v2.Transform, size: int, shuffled: bool, device: torch.device
    ) -> loader.Loader:
        options = {"seed": self.seed, "workers": self.workers, "device": device}
        return loader.Loader(part, transform, size, shuffled=shuffled, skip=None, **options)


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes take at most half of a GPU's free memory."""
    if device.type == "cpu":
        return True
    torch.cuda.empty_cache()
    return 2 * size <= torch.cuda.mem_get_info(device)[0]


ImageSource = InMemory | InFolders
