"""Every data set by name: fetch it into the data folder, or check what is there."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from repro.data import cifar10, folders, images, text
from repro.errors import UsageError, unknown
from repro.settings import data_folder


class DataSet(NamedTuple):
    """How a data set is loaded and checked, which gives its checksums, and downloaded (None: it is embedded)."""

    load: Callable[[], object]
    download: Callable[[Path], object] | None


def _get_imagenet(folder: Path) -> None:
    raise UsageError(
        f"ImageNet is to be had at https://image-net.org after registration: "
        f"sort it into {folder}/imagenet/train/CLASS/ and val/CLASS/"
    )


DATASETS: Mapping[str, DataSet] = {
    "digits": DataSet(lambda: images.check("digits"), None),
    "cifar10": DataSet(lambda: images.check("cifar10"), cifar10.fetch),
    "imagenet": DataSet(lambda: folders.find(data_folder() / "imagenet", 1000).checksum, _get_imagenet),
    "english": DataSet(lambda: text.check("english"), None),
    "ptb": DataSet(lambda: text.check("ptb"), partial(text.fetch, "ptb")),
    "wikitext-2": DataSet(lambda: text.check("wikitext-2"), partial(text.fetch, "wikitext-2")),
}


def fetch(name: str) -> str:
    """Download a data set into the data folder and check it; return a line that says where it is."""
    download = _find(name).download
    if download is None:
        raise UsageError(f"{name} needs no download: it is part of a dependency")
    download(data_folder())
    return check(name)


def check(name: str) -> str:
    """Load a data set, which checks it, and return a line that says so; ReproError if it is missing or damaged."""
    return f"{name}: complete and as expected ({_find(name).load()})"


def _find(name: str) -> DataSet:
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS, UsageError)
    return DATASETS[name]
