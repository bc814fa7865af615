"""Cells of finished searches derived by performance, beside the same searches' largest alphas (Wang et al., 2021)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from repro.beyond.cell_network import CellNetwork
from repro.beyond.derivation import Errors, Judge, choose_edges, choose_operation, order
from repro.beyond.diagnosis import errors
from repro.configs.cifar10_search import CifarSearch
from repro.configs.derivation import Derivation
from repro.configs.nb201 import CellSearch
from repro.darts.cnn.search import ImageSearch
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.discretise import conv_genotype
from repro.data.images import Images
from repro.data.seeds import mixed_seed
from repro.errors import UsageError
from repro.experiments import cifar10_search, nb201_search
from repro.experiments.image_data import augmentation, halves, load
from repro.experiments.nb201_table import facts, truth
from repro.runs.run import Run, find_needed
from repro.spaces.genotypes import CONVOLUTIONAL, to_json
from repro.spaces.nas_bench import OPERATIONS_201
from repro.training import checkpoints
from repro.training.classifier import LossAndErrors
from repro.training.fit import Epoch, Values, fit

SEARCHES = {"nb201-search": nb201_search.build_search, "cifar10-search": cifar10_search.build_search}


def derive(params: Derivation, run: Run) -> dict[str, Any]:
    """Derive a cell by performance; return it, and the one of the largest alphas, each with what its space tells of it.

    metrics.jsonl has a row for every decision: the errors (percent) without each operation, or each edge.
    """
    searched, images, search = finished(params, run)
    network, tell = search.network, telling(searched, run)
    by_alpha = {f"argmax_{name}": value for name, value in tell(network).items()}
    decide_all(params, run, search, images, searched)
    found = tell(network)
    if "genotype" in found:
        run.save("genotype.json", found["genotype"])
    return {**found, **by_alpha, "decisions": len(run.metrics())}


def finished(params: Derivation, run: Run) -> tuple[CellSearch | CifarSearch, Images, ImageSearch]:
    """Return the parameters, images and last state of the search that `params` names; ReproError if it is not there."""
    if params.search.experiment not in SEARCHES:
        raise UsageError(f"search={params.search} has no alphas to decide on: name {' or '.join(SEARCHES)}")
    needed = find_needed(params.search, run.profile)
    searched = replace(needed.params, device=params.device, threads=params.threads)
    images = load(searched, run)
    search, state = SEARCHES[needed.experiment](searched, images), checkpoints.state_of(needed)
    for name in ("network", "weight_optimizer"):
        getattr(search, name).load_state_dict(state[name])
    return searched, images, search


def telling(searched: CellSearch | CifarSearch, run: Run) -> Callable[[Any], dict[str, Any]]:
    """Return what tells the cell that a network's alphas stand for: in the table, or as a genotype."""
    if isinstance(searched, CellSearch):
        table = truth(searched, run)
        return lambda network: facts(table, network.derived())
    return lambda network: {"genotype": to_json(conv_genotype(*network.alphas))}


def operations(network: CellNetwork | SearchNetwork) -> tuple[str, ...]:
    """Return what an edge may be derived as: the last columns of alpha, in DARTS's own space all but `none`."""
    return OPERATIONS_201 if isinstance(network, CellNetwork) else CONVOLUTIONAL.operations[1:]


def decisions(network: CellNetwork | SearchNetwork, seed: int) -> list[tuple[str, Callable[..., list[Errors]]]]:
    """Return what is decided, in order, each with its name: operations at random, then the edges into each node.

    In NAS-Bench-201's space `none` may be chosen, and every edge stays.
    """
    alphas = network.alphas
    first = alphas[0].shape[1] - len(operations(network))
    found = [
        (f"edge {row} of alpha {which}", partial(choose_operation, alphas[which], row, first=first))
        for which, row in order([len(alpha) for alpha in alphas], seed)
    ]
    if isinstance(network, SearchNetwork):
        found += [
            (f"node {node} of alpha {which}", partial(choose_edges, alpha, node, space=CONVOLUTIONAL))
            for which, alpha in enumerate(alphas)
            for node in range(network.nodes)
        ]
    return found


def judging(params: Derivation, search: ImageSearch, images: Images, searched: CellSearch | CifarSearch) -> Judge:
    """Return what judges the network as its alphas are: by the images that trained them, `params.judged_images`."""
    _, valid = halves(images, searched.train_fraction, searched.batch, searched.seed)
    normalise, some = augmentation(searched, images).normalise, slice(params.judged_images or None)
    parts = zip(valid.x[some].split(searched.batch), valid.y[some].split(searched.batch), strict=True)
    return partial(errors, search, search.alphas, [(normalise(x), y) for x, y in parts if len(y) > 1])


def decide_all(
    params: Derivation, run: Run, search: ImageSearch, images: Images, searched: CellSearch | CifarSearch
) -> None:
    """Decide for one operation or edge after another, tuning the weights in between; a checkpoint follows each."""
    train, _ = halves(images, searched.train_fraction, searched.batch, searched.seed)
    augment, judge = augmentation(searched, images), judging(params, search, images, searched)
    todo = decisions(search.network, mixed_seed(params.seed, "edges"))
    for group in search.weight_optimizer.param_groups:
        group["lr"] = params.lr

    def decide_once(epoch: Epoch) -> dict[str, Any]:
        (name, decide), seen, average = todo[epoch.index], Values(errors=[]), LossAndErrors()
        epoch.hold("decision", seen=seen)
        seen.errors = seen.errors or decide(judge=judge)
        batches = (train.next() for _ in range(params.tune_steps - epoch.done("tune")))
        for x, y in epoch.steps("tune", batches, average=average):
            average.add(*search.weight_step((augment(x), y)), y)
        return {
            "decision": name,
            "errors": [error for error, _ in seen.errors],
            **(average.row("tune") if params.tune_steps else {}),
        }

    state = {"network": search.network, "weight_optimizer": search.weight_optimizer, "train": train, "augment": augment}
    fit(run, state, len(todo), decide_once)
