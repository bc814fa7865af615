"""State dicts in the naming of the authors' release, read into this package's networks and written from them.

The release has one module for every edge and operation (`cells.1._ops.5._ops.4.op.1.weight`: cell 1, edge 5,
operation 4, second layer); our search network keeps the edges of one source together. So a released name stands for a
place: a part of one of our tensors. Evaluation networks differ in names only.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.mixed_edges import MixedEdges
from repro.darts.cnn.operations import MIXED, POOLINGS, Conv7x1
from repro.darts.cnn.search_network import SearchNetwork
from repro.errors import ReproError
from repro.spaces.genotypes import CONVOLUTIONAL, SEARCH_OPERATIONS
from repro.training.checkpoints import refuse_other


class Place(NamedTuple):
    """Where a released tensor is: a part of the tensor that we call `name`."""

    name: str
    index: int | slice = slice(None)


def places(network: SearchNetwork | EvaluationNetwork) -> dict[str, Place]:
    """Return for every released name of a parameter or BatchNorm statistic its place in our state dict."""
    apart = re.compile(r"alphas_|.*\.groups\.|.*num_batches_tracked")
    bare = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, BARE))
    found = {
        _released_name(name, wrapped=not name.startswith(bare)): Place(name)
        for name in network.state_dict()
        if not apart.match(name)
    }
    if isinstance(network, SearchNetwork):
        for index, cell in enumerate(network.cells):
            for source, rows in enumerate(CONVOLUTIONAL.by_source(network.nodes)):
                for number, row in enumerate(rows):
                    for suffix, place in _edge_places(cell.groups[source], number):
                        found[f"cells.{index}._ops.{row}._ops.{suffix}"] = Place(
                            f"cells.{index}.groups.{source}.{place.name}", place.index
                        )
    return found


def _edge_places(group: MixedEdges, edge: int) -> Iterator[tuple[str, Place]]:
    """Yield what belongs to one mixed edge, by its released name inside the edge."""
    number = {name: column for column, name in enumerate(SEARCH_OPERATIONS)}
    maps = slice(edge * group.channels, (edge + 1) * group.channels)
    for index, name in enumerate(POOLINGS):
        yield from _statistics(f"{number[name]}.1", "norm_pool", index * group.edges + edge)
    twice = [name for name, kind in MIXED.items() if kind.twice]
    for index, name in enumerate(MIXED):
        row = index * group.edges + edge
        yield f"{number[name]}.op.1.weight", Place(f"depthwise.{index}", maps)
        yield f"{number[name]}.op.2.weight", Place("pointwise", row)
        yield from _statistics(f"{number[name]}.op.3", "norm", row)
        if name in twice:
            index = twice.index(name)
            row = index * group.edges + edge
            yield f"{number[name]}.op.5.weight", Place(f"depthwise_again.{index}", maps)
            yield f"{number[name]}.op.6.weight", Place("pointwise_again", row)
            yield from _statistics(f"{number[name]}.op.7", "norm_again", row)
    if group.stride == 2:
        skip = number["skip_connect"]
        yield f"{skip}.conv_1.weight", Place("skip_even", edge)
        yield f"{skip}.conv_2.weight", Place("skip_odd", edge)
        yield from _statistics(f"{skip}.bn", "norm_skip", edge)


def _statistics(released: str, ours: str, index: int) -> Iterator[tuple[str, Place]]:
    for value in ("running_mean", "running_var"):
        yield f"{released}.{value}", Place(f"{ours}.{value}", index)


RENAMED = (
    (r"^stem\.layers", "stem"),
    (r"^stem\.quarter", "stem0"),
    (r"^stem\.eighth", "stem1"),
    (r"\.preprocess\.before", ".preprocess0"),
    (r"\.preprocess\.last", ".preprocess1"),
    (r"\.operations\.(\d+)", r"._ops.\1"),
    (r"\.even\.", ".conv_1."),
    (r"\.odd\.", ".conv_2."),
    (r"\.norm\.", ".bn."),
    (r"^auxiliary\.", "auxiliary_head."),
)
BARE = Conv7x1  # the release holds the layers of any other operation in a module of their own, `op`


def _released_name(name: str, wrapped: bool) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"(preprocess\d|_ops\.\d+)\.(\d)", r"\1.op.\2", name) if wrapped else name


def released_view(tensors: Mapping[str, Tensor], place: Place) -> Tensor:
    """Return the part of `tensors` (our names; parameters, gradients, momenta ...) at this place."""
    return tensors[place.name][place.index]


def load_released(network: SearchNetwork | EvaluationNetwork, state: Mapping[str, Tensor]) -> None:
    """Copy a released state dict into the network; ReproError if it is that of another network.

    An auxiliary head in the state dict is left out if the network has none.
    """
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    own = network.state_dict()  # its tensors are the network's own memory
    targets = {name: released_view(own, place) for name, place in places(network).items()}
    if not any(name.startswith("auxiliary_head.") for name in targets):
        state = {name: value for name, value in state.items() if not name.startswith("auxiliary_head.")}
    theirs, ours = _facts(state), _facts(targets)
    for fact, expected in ours.items():
        if theirs.get(fact, expected) != expected:
            raise ReproError(
                f"the checkpoint has {fact}={theirs[fact]}, the network {fact}={expected}: make them equal"
            )
    refuse_other(state, targets, "another genotype, or of another kind of network", "genotype", _trimmed)
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(state[name].reshape(target.shape))


def _facts(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes of a network off its released state dict."""
    facts = {}
    cells = {int(name.split(".")[1]) for name in state if re.match(r"cells\.\d+\.", name)}
    if cells:
        facts["cells"] = len(cells)
    sized = {"channels": "cells.0.preprocess1.op.1.weight", "classes": "classifier.weight"}
    return facts | {fact: len(state[name]) for fact, name in sized.items() if name in state}


def _trimmed(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a weight, of a 1x1 convolution without the 1x1."""
    return tuple(tensor.shape[:2] if tensor.shape[2:] == (1, 1) else tensor.shape)
