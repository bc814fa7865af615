"""Images as whole tensors: x (N, C, H, W) uint8 and y (N,) int64, loaded in under a second and never copied per batch.

CIFAR-10 comes from the data folder (`cifar10`). `digits` is inside scikit-learn and needs no folder.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro.data import cifar10
from repro.data.cifar10 import ARRAYS, Arrays, checksum
from repro.data.draws import divide
from repro.errors import ReproError, UsageError, unknown
from repro.presence import TRAINING_IMAGES, require_images
from repro.settings import data_folder


class ExpectedImages(NamedTuple):
    """What a data set must look like to be taken for what it says it is."""

    train: int
    test: int
    shape: tuple[int, int, int]  # H, W, C
    classes: int
    mean: tuple[float, ...] | None  # of pixels in 0..1, per channel; None: taken from the training images
    std: tuple[float, ...] | None
    sha1: tuple[str, ...] = ()  # of every 10,000 images, the test set last, as they are released; none: not known


SOURCES = {
    "digits": ExpectedImages(TRAINING_IMAGES["digits"], 300, (8, 8, 1), 10, None, None),
    # the constants of the DARTS release, to the last digit
    # and the sums that MXNet publishes of the files of the binary version: 10,000 times a label, then the three planes
    "cifar10": ExpectedImages(
        TRAINING_IMAGES["cifar10"],
        10_000,
        (32, 32, 3),
        10,
        (0.49139968, 0.48215827, 0.44653124),
        (0.24703233, 0.24348505, 0.26158768),
        (
            "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
            "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
            "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
            "aab85764eb3584312d3c7f65fd2fd016e36a258e",
            "26e2849e66a845b7f1e4614ae70f4889ae604628",
            "67eb016db431130d61cd03c7ad570b013799c88c",
        ),
    ),
}


@dataclass(frozen=True)
class Images:
    """A data set: x (N, C, H, W) uint8, y (N,) int64 in 0..classes-1; mean and std of pixels in 0..1, per channel."""

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    checksum: str  # sha256 of the four arrays, so the same for every file that holds them

    @property
    def channels(self) -> int:
        """Return the number of colour channels C."""
        return self.x_train.shape[1]

    def head(self, count: int, last: int = 0) -> "Images":
        """Return the same data with the first `count` and the `last` training images only; a count of 0 keeps all.

        Where these lose classes, others are drawn (see `divide`).
        """
        if not count and not last:
            return self
        total = len(self.x_train)
        require_images(self.name, total, count, last)
        train, held_out = divide(self.y_train, total - last) if last else (slice(None), slice(0))
        some, _ = divide(self.y_train[train], count, both=False) if count else (slice(None), slice(0))
        x, y = (torch.cat([part[train][some], part[held_out]]) for part in (self.x_train, self.y_train))
        return replace(self, x_train=x, y_train=y)

    def halved(self) -> "Images":
        """Return the same data at half the height and width: each pixel is the mean of four, rounded half up.

        Mean and deviation are those of the halved training images; the checksum stays that of what was read.
        """
        x_train, x_test = _halved(self.x_train), _halved(self.x_test)
        mean, std = _moments(x_train)
        return replace(self, x_train=x_train, x_test=x_test, mean=mean, std=std)

    def to(self, device: torch.device | str) -> "Images":
        """Return the same images on `device`, still as uint8 (CIFAR-10: 184 MB)."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ARRAYS})


def load_images(name: str, folder: str | os.PathLike | None = None) -> Images:
    """Load the data set `name` (see SOURCES); CIFAR-10 from `folder`, by default the one of --data or REPRO_DATA.

    Raises ReproError when the folder lacks it or holds something damaged or of another shape.
    """
    if name not in SOURCES:
        raise unknown("image data set", name, SOURCES)
    arrays = _digits() if name == "digits" else cifar10.load(Path(folder or data_folder()))
    return _images(name, arrays, SOURCES[name])


def check(name: str) -> str:
    """Load a data set and return its checksum; ReproError where its images are not those released, in order."""
    images = load_images(name)
    for part, (known, found) in enumerate(zip(SOURCES[name].sha1, _sha1(images), strict=False)):
        if found != known:
            raise ReproError(
                f"{name} is not the released one: the sha1 of its images from {part * 10_000:,} on is {found}, "
                f"expected {known}; replace it by the original (delete it and run `repro data fetch {name}`)"
            )
    return images.checksum


def _sha1(images: Images) -> Iterator[str]:
    """Yield the sum of every 10,000 images, the test set last, in the form of CIFAR-10's binary version."""
    for x, y in ((images.x_train, images.y_train), (images.x_test, images.y_test)):
        for some, labels in zip(x.split(10_000), y.split(10_000), strict=True):
            records = torch.cat([labels[:, None].to(torch.uint8), some.flatten(1)], dim=1)
            yield hashlib.sha1(records.numpy().data, usedforsecurity=False).hexdigest()


def split(n: int, fraction: float = 0.5) -> int:
    """Return where the release cuts n images: floor(n x fraction) train w, the rest trains alpha."""
    if not 0 < fraction < 1:
        raise UsageError(f"a train fraction of {fraction} leaves one half empty: give a number between 0 and 1")
    cut = int(n * fraction)
    if not 0 < cut < n:
        raise UsageError(f"{n} images cut at a fraction of {fraction} leave one half empty: take more images")
    return cut


def _digits() -> Arrays:
    """Return scikit-learn's 1,797 grey digits, 8x8, of which 30 of each class are the test set."""
    from sklearn.datasets import load_digits

    data = load_digits()
    n = len(data.target)
    order = np.arange(n) * 1009 % n  # 1009 and 1797 are coprime: a fixed shuffle that no library version changes
    x = np.rint(data.images * (255 / 16)).astype(np.uint8)[order, :, :, None]
    y = data.target.astype(np.int64)[order]
    test = np.zeros(n, dtype=bool)
    for label in range(10):
        test[np.flatnonzero(y == label)[-30:]] = True
    return {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}


def _images(name: str, arrays: Arrays, source: ExpectedImages) -> Images:
    """Check the arrays against their source and view them as (N, C, H, W) tensors, without a copy."""
    for part, count in (("train", source.train), ("test", source.test)):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape != (count, *source.shape):
            raise ReproError(f"{name}: x_{part} is {x.dtype} {x.shape}, expected uint8 {(count, *source.shape)}")
        if y.dtype != np.int64 or y.shape != (count,):
            raise ReproError(f"{name}: y_{part} is {y.dtype} {y.shape}, expected int64 {(count,)}")
        if np.unique(y).tolist() != list(range(source.classes)):
            raise ReproError(f"{name}: y_{part} has labels {y.min()} to {y.max()}, expected all of {source.classes}")
    tensors = {key: torch.from_numpy(arrays[key]) for key in ARRAYS}
    tensors |= {key: tensors[key].permute(0, 3, 1, 2) for key in ("x_train", "x_test")}
    mean, std = source.mean, source.std
    if mean is None:
        mean, std = _moments(tensors["x_train"])
    return Images(name, **tensors, classes=source.classes, mean=mean, std=std, checksum=checksum(arrays))


def _halved(x: Tensor) -> Tensor:
    """Return the mean of every square of four pixels of x (N, C, H, W) uint8: (N, C, H / 2, W / 2) uint8."""
    rows = x[:, :, ::2].to(torch.int16) + x[:, :, 1::2]
    return ((rows[..., ::2] + rows[..., 1::2] + 2) // 4).to(torch.uint8)


def _moments(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of the pixels of x (N, C, H, W) uint8, in 0..1, per channel."""
    pixels = x.double() / 255
    return tuple(pixels.mean(dim=(0, 2, 3)).tolist()), tuple(pixels.std(dim=(0, 2, 3)).tolist())
