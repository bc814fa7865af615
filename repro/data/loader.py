"""From picture files to batches (DARTS A.2.3): (B, 3, S, S) uint8 and (B,) int64, decoded by worker processes.

Each picture's augmentation is drawn from its own seed, made of the run's seed, the epoch and the picture's number: what
the network sees does not depend on the number of workers or of training processes, and a resumed run sees it too.
A picture that cannot be read never ends a worker: it is named, counted, and refused or skipped.
"""

import signal
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from repro.data.folders import Part
from repro.data.seeds import mixed_seed
from repro.errors import ReproError, UsageError
from repro.files import plain
from repro.settings import cores

LONGEST = 70  # characters of a folder in which a socket can have a name of its own: 107 in all
SIXTEEN = ("PNG", "PPM")  # formats that have 16 bits where Pillow says 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in 0..1


def train_transform(size: int) -> v2.Transform:
    """Return the training augmentation: a picture -> (3, size, size) uint8."""
    jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)  # released code
    return v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), jitter, v2.PILToTensor()])


def valid_transform(size: int, resize: int) -> v2.Transform:
    """Return what a validation picture gets: the short side to `resize`, the middle of it (3, size, size)."""
    return v2.Compose([v2.Resize(resize), v2.CenterCrop(size), v2.PILToTensor()])


def in_colour(file: Image.Image) -> Image.Image:
    """Return a picture, of which the header alone has been read, with 8 bits in RGB.

    ValueError where it claims more pixels than Pillow deems harmless, or where its numbers have no range that says what
    is white: Pillow clips numbers of more bits instead of scaling them, and cameras leave 12 bits where they were.
    """
    if file.width * file.height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{file.width} x {file.height} pixels, more than {Image.MAX_IMAGE_PIXELS:,}")
    sixteen = file.mode.startswith("I;16") or (file.mode == "I" and file.format in SIXTEEN)
    if file.mode in ("I", "F") and not sixteen:
        raise ValueError(f"its mode is {file.mode}, which has no white: save it with 8 or 16 bits")
    if sixteen:
        values = np.asarray(file).astype(np.int64)
        if 0 < (most := values.max()) < 2**12:
            raise ValueError(f"no value of its 16 bits is above {most}, so that it would be black: scale it to 65,535")
        file = Image.fromarray((values // 257).astype(np.uint8))
    return file.convert("RGB")


def normalise(images: Tensor) -> Tensor:
    """Return uint8 pictures as floats of mean 0 and deviation 1 over ImageNet, on their device."""
    images = v2.functional.to_dtype(images, torch.get_default_dtype(), scale=True)
    return v2.functional.normalize(images, MEAN, STD, inplace=True)


class Batch(NamedTuple):
    """What a worker makes of a list of pictures."""

    images: Tensor  # (B, 3, S, S) uint8; only those that could be read
    labels: Tensor  # (B,) int64
    seconds: float  # that reading and augmenting them took
    unreadable: list[str]  # path and reason


Key = tuple[int, int]  # number of a picture, seed of its augmentation


class _Files(Dataset):
    """A batch by its keys."""

    def __init__(self, part: Part, transform: v2.Transform) -> None:
        self.part, self.transform = part, transform

    def __getitem__(self, keys: list[Key]) -> Batch:
        began, images, unreadable = time.perf_counter(), [], {}
        for index, seed in keys:
            try:
                with open(self.part.path(index), "rb", opener=plain) as file, Image.open(file) as image:
                    picture = in_colour(image)
            except Exception as error:  # whatever a decoder stumbles over
                unreadable[index] = f"{self.part.path(index)} ({str(error) or type(error).__name__})"
                continue
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                images.append(self.transform(picture))
        labels = self.part.labels[[index for index, _ in keys if index not in unreadable]]
        whole = torch.stack(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8)
        return Batch(whole, labels, time.perf_counter() - began, list(unreadable.values()))


class _Order(Sampler):
    """The keys of this process's part of every batch in an epoch, from the batch `start` on; a part may be empty."""

    def __init__(self, count: int, size: int, seed: int, shuffled: bool, process: int = 0, processes: int = 1) -> None:
        self.count, self.size, self.seed, self.shuffled = count, size, seed, shuffled
        self.process, self.processes = process, processes
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return len(self._batches(torch.arange(self.count)))

    def __iter__(self) -> Iterator[list[Key]]:
        order, seeds = torch.arange(self.count), torch.zeros(self.count, dtype=torch.int64)
        if self.shuffled:
            order = torch.randperm(self.count, generator=self._generator("order"))
            seeds.random_(generator=self._generator("augmentation"))
        for batch in self._batches(order)[self.start :]:
            rows = batch[self.process :: self.processes]
            yield list(zip(rows.tolist(), seeds[rows].tolist(), strict=True))

    def _batches(self, order: Tensor) -> Sequence[Tensor]:
        """Divide the pictures; BatchNorm can do nothing with a last batch of one, which is not trained on."""
        batches = order.split(self.size)
        return batches[:-1] if self.shuffled and len(batches[-1]) == 1 < self.size else batches

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(mixed_seed(self.seed, purpose, self.epoch))


def share_of_cores(workers: int, device: torch.device) -> int:
    """Return how many processes decode: `workers`, or for -1 four, and on a GPU one for each core of its share."""
    if workers >= 0:
        return workers
    return max(1, cores() // max(1, torch.cuda.device_count())) if device.type == "cuda" else 4


class Loader:
    """This process's part of every batch, on the run's device; iterating gives one epoch.

    size: pictures in a batch of all processes together.
    shuffled: in an order drawn for each epoch; else every picture once, in the order of the files.
    skip: True leaves out pictures that cannot be read, and lists them in `unreadable`; False raises a ReproError that
        offers to skip them; None one that does not, where every picture is needed.
    process, processes: the number of this process, and how many there are.
    """

    def __init__(
        self,
        part: Part,
        transform: v2.Transform,
        size: int,
        *,
        seed: int,
        workers: int,
        device: torch.device,
        shuffled: bool,
        skip: bool | None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.order = _Order(len(part.names), size, seed, shuffled, process, processes)
        self.device, self.skip = device, skip
        self.workers, self.images, self.seconds, self.unreadable = max(1, workers), 0, 0.0, set()
        tail = len(part.names) % size or size
        if shuffled and 1 < tail < processes:
            raise UsageError(f"batch={size} leaves {tail} images to {processes} processes: take another batch")
        if workers and len(place := tempfile.gettempdir()) > LONGEST:
            raise UsageError(f"TMPDIR={place} is too long for workers to meet there: set a shorter one, or workers=0")
        self.loader = DataLoader(
            _Files(part, transform),
            batch_size=None,
            sampler=self.order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=_quiet,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.order)

    def at(self, epoch: int, start: int = 0) -> "Loader":
        """Give this epoch from now on, from the batch `start` on, and measure anew."""
        self.order.epoch, self.order.start, self.images, self.seconds = epoch, start, 0, 0.0
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured since `at`, and what could not be read."""
        return {"images": self.images, "seconds": self.seconds, "unreadable": sorted(self.unreadable)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what was measured before."""
        self.images, self.seconds = state["images"], state["seconds"]
        self.unreadable.update(state["unreadable"])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            for batch in self.loader:
                if fault := self._look(batch):
                    break
                yield tuple(part.to(self.device, non_blocking=True) for part in batch[:2])
            else:
                return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ReproError("a process that reads pictures was killed (out of memory?): take fewer workers") from None
        self.loader = None  # ends its workers
        raise ReproError(fault)

    def rate(self) -> float:
        """Return how many pictures a second all workers of this process could deliver."""
        return self.workers * self.images / self.seconds if self.seconds else 0.0

    def _look(self, batch: Batch) -> str | None:
        """Count what the batch holds, and return what is wrong with it."""
        self.images += len(batch.labels)
        self.seconds += batch.seconds
        self.unreadable.update(batch.unreadable)
        count, whole = len(batch.unreadable), len(batch.unreadable) + len(batch.labels)
        if count and not self.skip:
            leave_out = ", or leave them out by unreadable=skip" if self.skip is False else ""
            what = f"{count} of {whole} in its batch: replace such pictures{leave_out}"
            return f"{batch.unreadable[0]} cannot be read, {what}"
        if self.order.shuffled and count and len(batch.labels) < 1 + (self.order.processes == 1):  # BatchNorm needs two
            left = "nor any other" if count == whole else "and all but one"
            return f"{batch.unreadable[0]} cannot be read, {left} of the {whole} of its batch"
        return None


def _quiet(worker: int) -> None:
    """Leave Ctrl-C to the main process, and silence the decoder's warnings of odd but readable files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
