"""Does the supernet rank networks as training from scratch does? Kendall's tau (SPOS Sect. 4, correlation)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_search import SposCorrelation
from repro.data.seeds import mixed_seed
from repro.data.sources import ImageSource
from repro.errors import UsageError
from repro.experiments.spos_data import judge, load, logged
from repro.experiments.spos_networks import build
from repro.experiments.spos_training import load_supernet, train_alone
from repro.runs.run import Run
from repro.settings import data_folder
from repro.spaces.nas_bench import kendall_tau, kendall_tau_equal_cost, nas_bench_macro
from repro.spaces.space import Gene, Space
from repro.spos.path_training import accuracy
from repro.training import devices


def correlate(params: SposCorrelation, run: Run) -> dict[str, Any]:
    """Compare accuracies (percent) with inherited weights and from scratch; networks.json has a row for each."""
    table = nas_bench_macro(data_folder()) if params.benchmark == "nas-bench-macro" else None
    supernet, network = load_supernet(run)
    if table and network.space != table.space:
        raise UsageError(
            f"{params.supernet} is not of the networks of {table.name}: "
            "take a supernet with space=macro and dataset=cifar10, or benchmark=trained"
        )
    data = load(supernet, run)
    run.record(data=table.checksums if table else {})
    genes = draw(network.space, params.networks, mixed_seed(params.seed, "networks"))
    score = judge(supernet, run, network, data, params.bn_images)
    # before any is recalibrated: from then on the training's statistics are gone
    as_trained = [*map(logged(run.child("not-recomputed"), replace(score, recalibrates=False), {}), genes)]
    inherited = [*map(logged(run.child("inherited"), score, {}), genes)]
    changed = replace(supernet, iterations=params.iterations or supernet.iterations)
    alone = [table.accuracy(gene) if table else from_scratch(changed, run, data, gene) for gene in genes]
    cost = network.costs()["multiply-adds"]
    found = {"inherited": inherited, "not_recomputed": as_trained, "stand_alone": alone}
    found["mult_adds_millions"] = [cost(gene) / 1e6 for gene in genes]
    rows = {"gene": genes, **found}
    run.save("networks.json", [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)])
    return {**correlations(**found), "networks": len(genes), "of": network.space.count}


def correlations(
    inherited: Sequence[float],
    not_recomputed: Sequence[float],
    stand_alone: Sequence[float],
    mult_adds_millions: Sequence[float],
) -> dict[str, float | None]:
    """Return Kendall's tau of each ranking with that of training from scratch, and accuracies in percent.

    The tau that cost alone gives stands beside them. Of pairs whose ranking is all ties, tau is None.
    """
    best = int(np.argmax(inherited))
    return {
        "kendall_tau": kendall_tau(inherited, stand_alone),
        "kendall_tau_cost": kendall_tau(mult_adds_millions, stand_alone),
        "kendall_tau_equal_cost": kendall_tau_equal_cost(inherited, stand_alone, mult_adds_millions),
        "kendall_tau_not_recomputed": kendall_tau(not_recomputed, stand_alone),
        "accuracy": float(np.mean(inherited)),
        "accuracy_not_recomputed": float(np.mean(not_recomputed)),
        "best_accuracy": inherited[best],
        "best_true_accuracy": stand_alone[best],
    }


def draw(space: Space, count: int, seed: int) -> list[Gene]:
    """Return `count` different networks of the space, drawn uniformly; all of them where there are not more."""
    if count >= space.count:
        return list(space.genes())
    rng, genes = np.random.default_rng(seed), {}
    while len(genes) < count:
        genes[space.random(rng)] = None
    return list(genes)


def from_scratch(params: SposSupernet, run: Run, data: ImageSource, gene: Gene) -> float:
    """Train one network in its own part of the run, from the same seed for all; return its test accuracy (percent)."""
    part = run.child("network-" + "".join(map(str, gene)))
    if part.result is None:
        devices.seed_everything(params.seed)
        network = build(params, gene, profile=run.profile).to(data.device)
        train_alone(params, part, network, data)
        part.finish({"test_accuracy": accuracy(network, (), *data.test(), data.normalise)})
    return part.load("result.json", test_accuracy=int | float)["test_accuracy"]
