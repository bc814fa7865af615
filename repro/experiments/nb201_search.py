"""DARTS in NAS-Bench-201's space (Dong and Yang, ICLR 2020): after every epoch the cell's true accuracy."""

from collections.abc import Mapping
from typing import Any

from repro.beyond.cell_network import CellNetwork
from repro.beyond.diagnosis import diagnosed
from repro.configs.nb201 import CellSearch
from repro.darts.cnn.search import ImageSearch
from repro.data.images import Images
from repro.experiments.cifar10_search import adam, search_epochs, sgd
from repro.experiments.image_data import augmentation, halves, load
from repro.experiments.nb201_table import facts, space_accuracies, truth
from repro.runs.run import Run
from repro.spaces.nas_bench import Table


def search(params: CellSearch, run: Run) -> dict[str, Any]:
    """Search for a cell; return the last one with its validation error and true accuracy (percent)."""
    table, images = truth(params, run), load(params, run)
    return search_cell(params, run, table, images, build_search(params, images))


def search_cell(
    params: CellSearch, run: Run, table: Table | None, images: Images, searcher: ImageSearch
) -> dict[str, Any]:
    """Search from the start of `searcher` on; return what `search` returns."""
    network = searcher.network
    train, valid = halves(images, params.train_fraction, params.batch, params.seed)

    def found() -> dict[str, Any]:
        return {**facts(table, network.derived()), "softmax_alpha": {"cell": network.probabilities().tolist()}}

    def anneal(index: int) -> None:
        network.temperature.fill_(params.temperature ** (index / max(params.epochs - 1, 1)))

    rows = search_epochs(params, run, searcher, train, valid, augmentation(params, images), found, anneal)
    seen = diagnosed(rows)
    stopped = told(rows[seen["stopped_epoch"] - 1], "stopped_") if "stopped_epoch" in seen else {}
    return {**told(rows[-1]), **seen, **stopped, **space_accuracies(table), "epochs": params.epochs}


def told(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what results hold of a row: the cell and its errors and accuracy (percent)."""
    names = ("valid_error", "cell", "skips", "true_accuracy")
    return {f"{prefix}{name}": row[name] for name in names if name in row}


def build_search(params: CellSearch, images: Images) -> ImageSearch:
    """Return the search for `images`, at its start."""
    network = build_network(params, images)
    how = {name: getattr(params, name) for name in ("order", "terms", "xi_scale", "eps", "grad_clip")}
    return ImageSearch(network, sgd(params, network.weights()), adam(params, network), **how)


def build_network(params: Any, images: Images) -> CellNetwork:
    """Return the network of all cells for `images`, on their device."""
    network = CellNetwork(params.channels, images.classes, params.cells, images.channels)
    return network.to(images.x_train.device)
