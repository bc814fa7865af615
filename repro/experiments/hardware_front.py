"""Hardware in the objective: DARTS with a weighted expected cost, beside SPOS within hard limits (NAS-Bench-201)."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from repro import progress
from repro.beyond import hardware
from repro.configs.hardware import HardwareFront
from repro.data.images import Images
from repro.data.seeds import mixed_seed
from repro.experiments.image_data import load
from repro.experiments.nb201_paths import source
from repro.experiments.nb201_search import build_network, build_search, search_cell
from repro.experiments.nb201_table import facts, space_accuracies, truth
from repro.experiments.spos_data import judge
from repro.experiments.spos_latency import errors, here, refuse_unlike
from repro.experiments.spos_search import explore, settings_of
from repro.runs.run import Run, find_needed
from repro.spaces.nas_bench import SPACE_201, Table, gene_201
from repro.spaces.space import Budget, Cost, Gene
from repro.spos.evolution import Evaluate
from repro.training import checkpoints, devices

BATCH = 32  # images whose latency is measured, as in SPOS
ALIKE = ("dataset", "pixels", "channels", "cells")  # of a search and the supernet that is searched beside it


def draw_front(params: HardwareFront, run: Run) -> dict[str, Any]:
    """Return the cells that searches with each weight, and evolution within each limit, found, with their costs.

    Each is told with its accuracy (percent) as the supernet's weights have it, and its true one where that is known.
    cost.json holds the table of operations, metrics.jsonl of the parts `weight-W` the searches and of `paths` every
    candidate.
    """
    settings, table, images = settings_of(params), truth(params, run), load(params, run)
    supernet = find_needed(params.supernet, run.profile)
    refuse_unlike(supernet.params.values(), {name: getattr(params, name) for name in ALIKE}, supernet.name)
    cost, checked = priced(params, run, images)
    shares = hardware.relative(cost)
    budgets = [Budget(shares, limit) for limit in params.cost_limits]  # before anything is trained
    score, seed = inherited(params, run, supernet), mixed_seed(params.seed, "evolution")

    def told(gene: Gene, **how: float) -> dict[str, Any]:
        return {**how, **facts(table, gene), "accuracy": score(gene), "cost": cost(gene), "share": shares(gene)}

    darts = [told(search(params, run, table, images, shares, weight), weight=weight) for weight in params.cost_weights]
    spos = []
    for budget in budgets:
        state = explore(run.child("paths"), SPACE_201, score, seed, settings, [budget], {params.cost: cost})
        spos.append(told(*state.best(1), limit=budget.limit))
    return {"darts": darts, "spos": spos, **checked, **space_accuracies(table), "epochs": params.epochs}


def priced(params: HardwareFront, run: Run, images: Images) -> tuple[Cost, dict[str, Any]]:
    """Return the cost of any cell, and how far sums of latencies are from whole networks (percent).

    A table that this run measured before goes on to count; ReproError where that was on another machine.
    """
    network, device = build_network(params, images), images.x_train.device
    if params.cost == "multiply-adds":
        return hardware.multiply_adds(network, images.x_train.shape[-1]), {}
    if (run.path / "cost.json").exists():
        held = run.load("cost.json", machine=str, cost=dict, checked=dict)
        refuse_unlike(held, here(device), f"{run.name}, cost.json")
        return Cost.from_json(held["cost"]), held["checked"]
    rng = np.random.default_rng(mixed_seed(params.seed, "networks"))
    genes = [SPACE_201.random(rng) for _ in range(params.networks)]
    x = torch.rand(BATCH, *images.x_train.shape[1:], device=device)
    with progress.bar("latency", 0, params.rounds) as bar:
        cost, whole = hardware.measure(network, genes, x, params.rounds, lambda: bar.update(1))
    rows = [
        {"network": "random", "gene": gene, "measured": value, "summed": cost(gene)}
        for gene, value in zip(genes, whole, strict=True)
    ]
    checked = errors(rows)
    run.save("cost.json", {**here(device), "batch": BATCH, "cost": cost.to_json(), "checked": checked, "rows": rows})
    return cost, checked


def search(params: HardwareFront, run: Run, table: Table | None, images: Images, shares: Cost, weight: float) -> Gene:
    """Return the cell that a search finds with the expected cost, as a share, in its validation loss."""
    devices.seed_everything(params.seed)
    searcher = build_search(params, images)
    searcher.penalty = hardware.expected(searcher.network, shares, weight) if weight else None
    return gene_201(search_cell(params, run.child(f"weight-{weight:g}"), table, images, searcher)["cell"])


def inherited(params: HardwareFront, run: Run, supernet: Run) -> Evaluate:
    """Return what judges a cell with the weights of a finished supernet."""
    how = {name: getattr(params, name) for name in ("device", "threads", "precision", "channels_last")}
    own = replace(supernet.params, **how)
    images = load(own, run)
    network = build_network(own, images)
    network.load_state_dict(checkpoints.state_of(supernet)["network"])
    return judge(own, run, network, source(own, images), own.bn_images)
