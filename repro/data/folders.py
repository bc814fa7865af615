"""Pictures in folders of classes, as ImageNet's (DARTS A.2.3): <root>/{train,val}/<class>/<picture>.

What is wrong with the folders is said in one line before anything starts. `pictures` is a small data set of this
layout, cut from the photographs that ship with scikit-learn.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro.data.draws import divide
from repro.errors import ReproError, UsageError
from repro.files import make_folder, private
from repro.presence import require_classes
from repro.progress import note

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # those of torchvision
THUMBNAILS = ("@eadir", "__macosx", "thumbnails", "thumbs")  # of Synology, macOS and galleries
DELETED = ("#recycle", "@recycle", "$recycle.bin", "lost+found", "system volume information")  # of NAS, Windows, ext4
ARRANGE = (
    "this is the official layout; move each picture into the folder of its class, {root}/<wordnet id>/: "
    "torchvision.datasets.ImageNet(folder, 'val') does it from ILSVRC2012_img_val.tar and the development kit"
)


class Part(NamedTuple):
    """The training or the validation pictures, in the order of their paths."""

    root: Path
    classes: tuple[str, ...]
    names: np.ndarray  # (N,) bytes: `<class>/<picture>`; an array, since workers would copy a list as they count it
    labels: Tensor  # (N,) int64, numbers of classes

    def path(self, index: int) -> Path:
        """Return where picture `index` is."""
        return self.root / os.fsdecode(self.names[index])

    def head(self, count: int) -> "Part":
        """Return `count` pictures spread evenly over the classes, in the same order; 0 keeps all."""
        if count > len(self.names):
            raise UsageError(f"images={count}, but {self.root} has {len(self.names)}: take fewer, or 0 for all")
        if not count:
            return self
        chosen = torch.from_numpy(np.linspace(0, len(self.names), count, endpoint=False).astype(np.int64))
        if len(self.labels[chosen].unique()) < len(self.classes):
            chosen, _ = divide(self.labels, count, both=False)
        return self.take(chosen)

    def take(self, indices: Tensor) -> "Part":
        """Return the pictures of these numbers (M,)."""
        return self._replace(names=self.names[indices.numpy()], labels=self.labels[indices])


class Pictures(NamedTuple):
    """A data set of pictures in folders."""

    train: Part
    valid: Part

    @property
    def checksum(self) -> str:
        """The sha256 of all paths below the root; the pictures themselves are too many to be read for it."""
        digest = hashlib.sha256()
        for part in self:
            digest.update(b"\n".join([os.fsencode(part.root.name), *part.names.tolist(), b""]))
        return digest.hexdigest()


def find(root: Path, classes: int) -> Pictures:
    """Return the pictures below `root`/train and `root`/val; ReproError if the folders are not as they should be."""
    train, valid = (scan(root / name) for name in ("train", "val"))
    for part in (train, valid):
        if part is train and len(part.classes) != classes:
            raise ReproError(
                f"{part.root} has {len(part.classes)} classes, expected {classes}: "
                f"complete it, or give classes={len(part.classes)}"
            )
        other = valid if part is train else train
        if apart := sorted(set(part.classes) - set(other.classes)):
            raise ReproError(f"{other.root} lacks the class {apart[0]}{_more(apart)} of {part.root}: complete it")
    return Pictures(train, valid)


def scan(root: Path) -> Part:
    """Return the pictures of the class folders in `root`; ReproError if it is missing, flat, or has an empty class."""
    require_classes(root)
    entries, passed = sorted(root.iterdir()), []
    passed += [entry.name for entry in entries if entry.is_dir() and _passed_over(entry.name)]
    classes = [entry.name for entry in entries if entry.is_dir() and not _passed_over(entry.name)]
    if not classes:
        flat = sum(entry.suffix.lower() in SUFFIXES for entry in entries)
        what = f"{flat} pictures and no class folders: {ARRANGE.format(root=root)}" if flat else "no class folders"
        raise ReproError(f"{root} holds {what}")
    seen = {os.path.realpath(each) for each in (root, *(root / name for name in classes))}
    names = [sorted(_pictures(root, name, seen, passed)) for name in classes]
    if passed:
        what = "hidden, of thumbnails or deleted files, seen already, or files of no kind that is read"
        note(f"{root}: {len(passed)} entries passed over, {what}, as {passed[0]}")
    if empty := [name for name, found in zip(classes, names, strict=True) if not found]:
        raise ReproError(
            f"{root / empty[0]}{_more(empty)} holds no picture: fill it or remove it ({', '.join(SUFFIXES)})"
        )
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(found) for found in names]))
    return Part(root, tuple(classes), np.array([name for found in names for name in found]), labels)


def _pictures(root: Path, name: str, seen: set[str], passed: list[str]) -> Iterator[bytes]:
    """Yield the paths, from `root`, of the pictures anywhere in the class folder `name`.

    Each real folder is entered once, also through links: `seen` holds those that were, and `passed` is told which
    folders, and which files that are not hidden, were left out.
    """
    for folder, folders, files in os.walk(root / name, followlinks=True):
        inside, folders[:] = sorted(folders), []
        for place in sorted(inside, key=lambda each: os.path.islink(os.path.join(folder, each))):
            path = os.path.join(folder, place)
            real = os.path.realpath(path)
            if _passed_over(place) or real in seen:
                passed.append(os.path.relpath(path, root))
            else:
                seen.add(real)
                folders.append(place)
        for file in files:
            path = os.path.relpath(os.path.join(folder, file), root)
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                yield os.fsencode(path)
            elif not file.startswith("."):
                passed.append(path)


def _passed_over(name: str) -> bool:
    """Whether a folder of that name is hidden, or holds what was deleted, or made of the pictures beside it."""
    return name.startswith(".") or name.lower() in (*THUMBNAILS, *DELETED)


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


# ---- pictures that ship with a dependency

STRIPS, TILE = 4, 53  # each photograph is cut into 4 classes, 160 pixels wide; each class into 3 x 8 tiles
EVERY = 4  # of the tiles of a class, one in so many is for validation


def pictures(folder: Path) -> Path:
    """Write the embedded data set into `folder`, unless it is there, and return it: 8 classes of 18 + 6 tiles, 53x53.

    Tiles do not overlap, so that no pixel is both trained on and tested.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    if folder.exists():
        return folder
    photographs = load_sample_images()
    with private(folder) as aside:
        for path, photograph in zip(photographs.filenames, photographs.images, strict=True):
            width = photograph.shape[1] // STRIPS
            for strip in range(STRIPS):
                across = photograph[:, strip * width : (strip + 1) * width]
                corners = product(*(range(0, pixels - TILE + 1, TILE) for pixels in across.shape[:2]))
                for number, (top, left) in enumerate(corners):
                    part = "val" if number % EVERY == EVERY - 1 else "train"
                    place = make_folder(aside / folder.name / part / f"{Path(path).stem}-{strip}")
                    tile = across[top : top + TILE, left : left + TILE]
                    Image.fromarray(tile).save(place / f"{number:02d}.jpg", quality=95)
        (aside / folder.name).rename(folder)
    return folder
