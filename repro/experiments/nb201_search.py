"""DARTS in NAS-Bench-201's space (Dong and Yang, ICLR 2020): after every epoch the cell's true accuracy."""

from typing import Any

from repro.beyond.cell_network import CellNetwork
from repro.configs.nb201 import CellSearch
from repro.darts.cnn.search import ImageSearch
from repro.data.images import Images
from repro.experiments.cifar10_search import adam, search_epochs, sgd
from repro.experiments.image_data import augmentation, halves, load
from repro.experiments.nb201_table import facts, truth
from repro.runs.run import Run


def search(params: CellSearch, run: Run) -> dict[str, Any]:
    """Search for a cell; return the last one with its validation error and true accuracy (percent)."""
    table, images = truth(params, run), load(params, run)
    searcher = build_search(params, images)
    network = searcher.network
    train, valid = halves(images, params.train_fraction, params.batch, params.seed)

    def found() -> dict[str, Any]:
        return {**facts(table, network.derived()), "softmax_alpha": {"cell": network.probabilities().tolist()}}

    last = search_epochs(params, run, searcher, train, valid, augmentation(params, images), found)[-1]
    names = ("valid_error", "cell", "skips", "true_accuracy")
    return {**{name: last[name] for name in names if name in last}, "epochs": params.epochs}


def build_search(params: CellSearch, images: Images) -> ImageSearch:
    """Return the search for `images`, at its start."""
    network = build_network(params, images)
    how = {name: getattr(params, name) for name in ("order", "xi_scale", "eps", "grad_clip")}
    return ImageSearch(network, sgd(params, network.weights()), adam(params, network), **how)


def build_network(params: Any, images: Images) -> CellNetwork:
    """Return the network of all cells for `images`, on their device."""
    network = CellNetwork(params.channels, images.classes, params.cells, images.channels)
    return network.to(images.x_train.device)
