"""Latency of any path by a table of measured blocks (SPOS Sect. 4, Table 5): measured, checked, read by searches."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import torch

from repro import progress
from repro.configs.registry import find
from repro.configs.spos_mobile import SposLatency
from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_search import SposSearch
from repro.data.seeds import mixed_seed
from repro.errors import ReproError, unknown
from repro.experiments.spos_networks import build, uniform
from repro.runs.run import Run, find_needed
from repro.spaces.nas_bench import kendall_tau
from repro.spaces.path_spaces import SPACES
from repro.spaces.space import Cost, Space
from repro.spos import latency
from repro.spos.network import SinglePath
from repro.training import devices
from repro.training.setup import Setup, start

ALIKE = ("space", "blocks", "depth", "width", "dataset", "classes", "pixels")  # in a table and the supernet it is for


def measure(params: SposLatency, run: Run) -> dict[str, Any]:
    """Measure the blocks of a space and whole networks, in milliseconds of a batch; latency.json holds the table.

    metrics.jsonl has a row for each whole network, drawn at random or published: `measured`, and `summed` of blocks.
    """
    device = start(params, run)
    supernet = SposSupernet.like(params, dataset=params.layout, batch=SposSupernet.batch)
    networks = {"": build(supernet).to(device), **published(supernet, device)}
    setup = Setup(params, run, networks[""])
    x = setup.laid_out(lambda images: images)(_images(networks[""], params.batch, device))
    rng = np.random.default_rng(mixed_seed(params.seed, "networks"))
    paths = {name: [()] for name in networks} | {"": [networks[""].space.random(rng) for _ in range(params.networks)]}
    with progress.bar("latency", 0, params.rounds) as bar, setup.autocast():
        found = latency.measure(networks, paths, x, params.rounds, lambda: bar.update(1))
    of = {**here(device), "batch": params.batch, **{name: getattr(supernet, name) for name in ALIKE}}
    tables = {"cost": found[""].cost.to_json(), "spread": found[""].spread.to_json()}
    space = networks[""].space
    tables |= {"choices": [*map(list, space.kinds.values())], "lacking": sorted(space.lacking)}
    run.save("latency.json", {**of, **tables, "networks": {name: found[name].cost(()) for name in networks if name}})
    rows = [
        {"network": name or "random", "gene": gene, "measured": whole, "summed": each.cost(gene)}
        for name, each in found.items()
        for gene, whole in each.whole.items()
    ]
    run.restart([])
    for row in rows:
        run.log(row)
    times = {"stem_and_head_ms": found[""].cost.fixed, "spread_percent": _spread(found[""])}
    return {**errors(rows), **times, **of}


def errors(rows: list[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return how far the sums are from whole random networks, in percent of these, and Kendall's tau of both."""
    rows = [row for row in rows if row["network"] == "random"]
    off = [100 * (row["summed"] / row["measured"] - 1) for row in rows]
    return {
        "error_percent": mean(map(abs, off)),
        "bias_percent": mean(off),
        "worst_percent": max(off, key=abs),
        "kendall_tau": kendall_tau(*([row[name] for row in rows] for name in ("summed", "measured"))),
        "networks": len(rows),
    }


def published(supernet: SposSupernet, device: torch.device) -> dict[str, SinglePath]:
    """Return the published networks of the space that have sizes of their own, so that they fit any images."""
    return {
        name: build(supernet, each.gene, published=each).to(device)
        for name, each in SPACES[supernet.space].published.items()
        if each.layout
    }


def here(device: torch.device) -> dict[str, str | int]:
    """Return what a latency is of, beside the network: the machine and, on a CPU, the number of threads."""
    return {
        "machine": devices.machine(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
    }


@dataclass(frozen=True)
class Table:
    """Latency by measured blocks: milliseconds of any path, and of published networks by name."""

    cost: Cost
    networks: Mapping[str, float]

    def limit(self, params: SposSearch, space: Space) -> float:
        """Return the largest latency that `params` allows; UsageError for a network that is not known."""
        if params.latency or params.latency_of in self.networks:
            return params.latency or self.networks[params.latency_of]
        gene = uniform(space, params.latency_of)
        if gene is None:
            raise unknown("network", params.latency_of, [*self.networks, *next(iter(space.kinds.values()))])
        return self.cost(space.check(gene))


def read_table(run: Run, supernet: SposSupernet, device: torch.device) -> Table:
    """Return the table that a search names; ReproError where it is of another machine, thread count or network."""
    reference = find(run.experiment).references(run.params)["latency_table"]
    held = find_needed(reference, run.profile).load("latency.json", machine=str, cost=dict, networks=dict)
    refuse_unlike(held, {**here(device), **{name: getattr(supernet, name) for name in ALIKE}}, reference)
    return Table(Cost.from_json(held["cost"]), held["networks"])


def refuse_unlike(held: Mapping[str, Any], alike: Mapping[str, Any], named: object) -> None:
    """ReproError where what `named` made is of another machine, thread count or network than what is `alike` here."""
    for name, value in alike.items():
        if held.get(name) != value:
            raise ReproError(
                f"{named} was made with {name}={held.get(name)}, but here {name} is {value}: "
                "name a run that was made as this one computes, or delete it and make it again"
            )


def _images(network: SinglePath, count: int, device: torch.device) -> torch.Tensor:
    """Return images (count, C, H, W) for a network: noise, as what they show takes no time."""
    kind = next(network.parameters()).dtype
    return torch.rand(count, *network.shape, dtype=kind).to(device)


def _spread(measured: latency.Measured) -> float:
    """Return the distance of the quartiles of a block's time, in percent of its median, in the middle of all blocks."""
    return float(100 * np.median(measured.spread.table / measured.cost.table))
