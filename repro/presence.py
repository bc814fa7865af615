"""Whether the data folder holds what a run reads, and what to do where not: seen by names alone, without torch."""

import os
from pathlib import Path

from repro.errors import ReproError, UsageError

PARTS = ("train", "valid", "test")
CORPORA = {  # the files of each corpus, of its PARTS
    "ptb": tuple(f"ptb/ptb.{part}.txt" for part in PARTS),
    "wikitext-2": tuple(f"wikitext-2/wiki.{part}.tokens" for part in PARTS),
}
# Data that are not quite what was released, by their checksum: what of them is said wherever they are named
COPIES = {
    "323c94e3faf00df4134da1ec58ed0cd4764af0c4dff2b11f5a0d17d70731f667": "92 of 60,000 pictures are JPEG approximations",
}
TRAINING_IMAGES = {"cifar10": 50_000, "digits": 1_497}  # of data sets that are always the same
CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")  # of a run, the newest first
MACRO = "nas-bench-macro/nas-bench-macro_cifar10.json"  # every network's accuracy
TABLE_201 = "nas-bench-201/nats_bench.csv"


def require_cifar10(folder: Path) -> None:
    """ReproError unless a data folder holds CIFAR-10, in either form."""
    if not (folder / "cifar10.npz").exists() and not (folder / "cifar-10-batches-py").is_dir():
        raise ReproError(f"CIFAR-10 is not in {folder}: {what_to_put(folder)}")


def what_to_put(folder: Path) -> str:
    """Say how CIFAR-10 comes into a data folder."""
    return (
        f"run `repro data fetch cifar10`, or put cifar10.npz or torchvision's cifar-10-batches-py/ into {folder} "
        "(--data or REPRO_DATA names another folder)"
    )


def require_images(name: str, total: int, count: int, last: int = 0) -> None:
    """UsageError unless `count` of a data set's training images, 0 being all others, and the `last` are different."""
    if count + last > total or last >= total:
        more = f" and {last} held out" if last else ""
        raise UsageError(f"images={count}{more}, but {name} has {total} for training: take fewer, or 0")


def require_weights(path: Path) -> None:
    """ReproError unless there is such a file, or a run's folder with a checkpoint."""
    if not os.path.exists(path):
        raise ReproError(f"weights={path} does not exist: name a file that does, or leave it out to train")
    if path.is_dir() and not any((path / name).exists() for name in CHECKPOINTS):
        raise ReproError(f"{path} holds no checkpoint: name a run's folder, or a checkpoint of the released code")


def require_corpus(name: str, folder: Path) -> None:
    """ReproError unless a data folder holds all files of a corpus; what ships with a dependency has none."""
    if missing := next((file for file in CORPORA.get(name, ()) if not (folder / file).exists()), None):
        path = folder / missing
        raise ReproError(f"{path} does not exist: run `repro data fetch {name}`, or put {name} into {folder}")


def require_classes(root: Path) -> None:
    """ReproError unless there is a folder for the class folders of pictures."""
    if not root.is_dir():
        raise ReproError(f"{root} is missing: put pictures into {root}/<class>/, or name another folder by folder=PATH")


def require_table(name: str, path: Path) -> None:
    """ReproError unless the file of a tabular benchmark is there."""
    if not path.exists():
        raise ReproError(f"{name} needs {path}, which is missing: put the file there or take another table")
