"""The single-path networks that parameters name: one layout for each space and data set, whole or cut to one path."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from repro.configs.references import MARK, Reference, parse_reference
from repro.configs.spos_networks import SinglePathTraining
from repro.configs.spos_retrain import SposRetrain
from repro.configs.spos_search import LIMITS
from repro.data.seeds import mixed_seed
from repro.errors import ReproError, UsageError
from repro.execution.preflight import check_architecture
from repro.files import read_json
from repro.runs.run import find_needed, needed_run
from repro.spaces.layouts import RESNETS, Layout
from repro.spaces.path_spaces import PUBLISHED, SPACES, Published, named
from repro.spaces.space import Budget, Cost, Gene, Space
from repro.spos.choice_blocks import load_released
from repro.spos.evolution import random_gene
from repro.spos.network import SinglePath
from repro.training import checkpoints

AnyLayout = TypeVar("AnyLayout")


def build(
    params: SinglePathTraining,
    gene: Sequence[int] | None = None,
    bits: tuple[int, int] | None = None,
    profile: str = "",
    published: Published | None = None,
) -> SinglePath:
    """Return the supernet of `params.space` or, with `gene`, the network to train from scratch that it names.

    bits: of weights and activations, in all layers instead of a choice; profile: of the run that found the blocks;
    published: whose sizes and choices it has. UsageError where it is so narrow that a block has no channels.
    """
    space, options = SPACES[params.space], {} if gene is None else {"gene": gene, "affine": True}
    published = published or Published(())
    layout, choices = layout_of(params, **published.layout), {**space.choices, **published.choices}
    if "blocks" in space.options and params.blocks != "all":
        single = params.blocks in choices["block"]
        choices["block"] = (params.blocks,) if single else _fixed_blocks(params, profile, layout)
        options |= {} if single else {"fixed": True}
    if bits is not None:
        choices["bits"] = (bits,)
    if "ends_bits" in space.options:
        options |= {name: params.values()[name] for name in ("clip_each", "ends_bits") if hasattr(params, name)}
    network = space.network_class()(layout, *choices.values(), **options)
    if not all(weight.numel() for weight in network.parameters()):
        raise UsageError(f"width={params.width:g} leaves a block without channels: take a larger one")
    return network


def _fixed_blocks(params: SinglePathTraining, profile: str, layout: Layout) -> list[str]:
    """Return the block of each layer, published or found; UsageError where the search was not one of blocks."""
    space, name = SPACES["blocks"], params.blocks
    if isinstance(name, Reference):
        found = _load_found(name, profile)
        if (own := found["space"]["space"]) != "blocks":
            raise UsageError(f"blocks={name} found a network of the space {own}: take a search of blocks")
        gene = found["evolution"]
    else:
        gene = space.published[name].gene
    return Space(sum(layout.repeats), named(space.choices)).names(gene)["block"]


def layout_of(params: SinglePathTraining, **changes: Any) -> Any:
    """Return the layout of `params.space` for the data set, with these changes; UsageError if there is none."""
    space = SPACES[params.space]
    if params.dataset not in space.layouts:
        raise UsageError(
            f"space={params.space} has no layout for {params.dataset}: take dataset={' or '.join(space.layouts)}"
        )
    layout = replace(space.layouts[params.dataset], **changes)
    if params.dataset == "imagenet":
        layout = replace(layout, classes=params.classes)
    if "depth" in space.options:
        layout = replace(layout, repeats=RESNETS[params.depth].repeats[: len(layout.widths)])
    if hasattr(layout, "dropout"):
        layout = replace(layout, dropout=params.dropout)
    return _scaled(layout, params)


def _scaled(layout: AnyLayout, params: SinglePathTraining) -> AnyLayout:
    """Return the layout for images of `params.pixels`, its numbers of channels times `params.width`, even, from 2."""
    factor, size = params.width, params.pixels or layout.size
    scale = lambda channels: max(2, 2 * round(channels * factor / 2))
    single = {name: scale(getattr(layout, name)) for name in ("stem", "first", "head") if getattr(layout, name, 0)}
    stages = {"widths": tuple(map(scale, layout.widths))} if hasattr(layout, "widths") else {}
    return replace(layout, size=size, **single, **stages)


def in_units(costs: Mapping[str, Cost], gene: Gene) -> dict[str, float]:
    """Return the costs of one path as results name them, in the units of the parameters that limit them."""
    return {LIMITS[name].measure: cost(gene) / LIMITS[name].unit for name, cost in costs.items()}


def give_weights(network: SinglePath, path: str) -> None:
    """Give a network the weights of a run or of an authors' checkpoint, and note which images they want."""
    state = checkpoints.fill(network, path, load_released)
    network.bgr = state is None or wants_bgr(state)


def wants_bgr(state: Mapping[str, Any]) -> bool:
    """Whether the weights in a checkpoint's state are the authors'; older versions saved nothing beside such."""
    return state["images"]["bgr"] if "images" in state else state.keys() == {"network"}


def choose(params: SposRetrain, profile: str) -> tuple[SinglePath, dict[str, list[str]]]:
    """Return the network that `params.architecture` names, to train from scratch, and what it chooses in each layer.

    ReproError or UsageError where there is no such network in the space.
    """
    check_architecture(params)
    name = params.architecture
    pair = re.fullmatch(r"(\d+)W(\d+)A", str(name))
    bits = tuple(int(digits) for digits in pair.groups()) if pair else None
    published = PUBLISHED[name][1] if name in PUBLISHED else None
    whole = build(params, bits=bits, profile=profile, published=published)
    if isinstance(name, Reference):
        gene = _found(params, profile)
    elif published:
        gene = published.gene
    elif name == "random":
        rng = np.random.default_rng(mixed_seed(params.seed, "network"))
        gene = random_gene(whole.space, rng, _budgets(params, whole.costs()["multiply-adds"]))
    else:
        gene = uniform(whole.space, name) or _from_file(name)
    return build(params, gene, bits, profile, published), whole.names(gene)


def _budgets(params: SposRetrain, cost: Cost) -> list[Budget]:
    """Return the limits of a random network; UsageError where no network of the space has so many multiply-adds."""
    if not params.mult_adds:
        return []
    most, opposite = params.mult_adds * 1e6, replace(cost, fixed=-cost.fixed, table=-cost.table)
    least, largest = params.least_fraction * most, cost(opposite.cheapest())
    if least > largest:
        raise UsageError(
            f"least_fraction={params.least_fraction:g} of mult_adds={params.mult_adds:g} million is more than any "
            f"network has: {largest / 1e6:g} million; lower one of them"
        )
    return [Budget(cost, most), *([Budget(opposite, -least)] if least else [])]


def _load_found(reference: Reference, profile: str) -> dict[str, Any]:
    """Return what a search found, and in which space."""
    return find_needed(reference, profile).load("found.json", space=dict, evolution=list, random=list)


def _found(params: SposRetrain, profile: str) -> Gene:
    """Return what a search found; UsageError where it was in another space than the parameters'."""
    found, own = _load_found(params.architecture, profile), params.values()
    for name, value in found["space"].items():
        if not _same(own.get(name), value, profile):
            raise UsageError(
                f"{params.architecture} found a network with {name}={value}, not {own.get(name)}: add {name}={value}"
            )
    return tuple(found[params.winner])


def _same(one: Any, other: Any, profile: str) -> bool:
    """Whether two values of a parameter are one, or name one run."""
    if not all(str(value).startswith(MARK) for value in (one, other)):
        return one == other
    return needed_run(parse_reference(one), profile).path == needed_run(parse_reference(other), profile).path


def uniform(space: Space, name: str) -> Gene | None:
    """Return the gene that chooses `name` in all layers, and the usual width; None where no kind has such a choice."""
    if not any(name in names for names in space.kinds.values()):
        return None
    usual = [next(choice for choice in (name, "x1") if choice in names) for names in space.kinds.values()]
    return tuple(
        names.index(choice)
        for names, choice in zip(space.kinds.values(), usual, strict=True)
        for _ in range(space.layers)
    )


def _from_file(name: str) -> Gene:
    """Read a gene, a list of whole numbers, from a JSON file."""
    gene = read_json(Path(name))
    if not isinstance(gene, list):
        raise ReproError(f"{name} holds {json.dumps(gene)[:60]}: expected a list of choices, such as [0, 2, 1]")
    return tuple(gene)
