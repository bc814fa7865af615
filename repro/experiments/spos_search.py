"""Evolution and random search over the paths of a trained supernet (SPOS Sect. 3, Algorithm 1; Sect. 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from repro import progress
from repro.configs.common import Evolution
from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_search import LIMITS, PathSearch, SposSearch
from repro.data.seeds import mixed_seed
from repro.errors import ReproError, UsageError
from repro.execution.preflight import check_latency
from repro.experiments.spos_data import judge, load, logged
from repro.experiments.spos_latency import read_table
from repro.experiments.spos_networks import in_units
from repro.experiments.spos_training import load_supernet
from repro.runs.run import Run
from repro.settings import data_folder
from repro.spaces.nas_bench import Table, equal_cost, nas_bench_macro
from repro.spaces.path_spaces import SPACES
from repro.spaces.space import Budget, Cost, Gene, Space
from repro.spos.evolution import Evaluate, SearchState, Settings, search

BESIDE = 20  # random networks of the winner's cost


def search_paths(params: SposSearch, run: Run) -> dict[str, Any]:
    """Search for the path with the highest held-out accuracy (percent), by evolution and by random search.

    Both try the same number of networks. found.json holds their winners, metrics.jsonl of their parts every candidate.
    """
    check_latency(params)
    settings = settings_of(params)
    supernet, network = load_supernet(run)
    costs, latency = network.costs(), 0.0
    if params.latency_table:
        measured = read_table(run, supernet, next(network.parameters()).device)
        costs["milliseconds"], latency = measured.cost, measured.limit(params, network.space)
    budgets, table = limits(params, costs, latency), truth(supernet)
    score = judge(supernet, run, network, load(supernet, run), params.bn_images)
    run.record(data=table.checksums if table else {})
    explored = explore_both(run, network.space, score, mixed_seed(params.seed, "evolution"), settings, budgets, costs)
    best = {name: state.best(1)[0] for name, state in explored.items()}
    run.save("found.json", {"space": {k: supernet.values()[k] for k in ("space", "blocks", "depth")}, **best})
    evolved, drawn = (state.scores[best[name]] for name, state in explored.items())
    looked_up = look_up(table, costs["multiply-adds"], best, mixed_seed(params.seed, "equal-cost"))
    return {
        "accuracy": evolved,
        "random_accuracy": drawn,
        **looked_up,
        "candidates": len(explored["evolution"].scores),
        **({"latency_limit": latency} if latency else {}),
        **in_units(costs, best["evolution"]),
        "choices": network.names(best["evolution"]),
        "sizes": network.sizes(),
    }


def settings_of(params: Evolution) -> Settings:
    """Return the numbers of the search that parameters name."""
    return Settings(**{name: getattr(params, name) for name in Settings.__dataclass_fields__ if name != "tries"})


def explore_both(
    run: Run, space: Space, score: Evaluate, seed: int, settings: Settings, *more: Any, suffix: str = ""
) -> dict[str, SearchState]:
    """Search by `evolution`, and at `random` over as many networks, in parts of `run` of these names with `suffix`."""
    both = {"evolution": settings, "random": replace(settings, parents=0)}
    return {name: explore(run.child(name + suffix), space, score, seed, how, *more) for name, how in both.items()}


def explore(
    run: Run,
    space: Space,
    score: Evaluate,
    seed: int,
    settings: Settings,
    budgets: Sequence[Budget] = (),
    costs: Mapping[str, Cost] = MappingProxyType({}),
    measure: str = "accuracy",
) -> SearchState:
    """Search in `run`, one row of metrics for each candidate; what the rows know is not evaluated again.

    measure: what its rows call the score.
    """
    remembers = logged(run, score, costs, measure)
    with progress.bar(run.path.name, 0, settings.generations * settings.population) as bar:

        def follow(gene: Gene) -> float:
            bar.update(1)
            return remembers(gene)

        return search(space, follow, seed=seed, settings=settings, budgets=budgets)


def truth(supernet: SposSupernet) -> Table | None:
    """Return the table that has the true accuracy of every network of the supernet's space, where there is one."""
    if SPACES[supernet.space].truth != supernet.dataset:
        return None
    try:
        return nas_bench_macro(data_folder())
    except ReproError as error:
        progress.note_once(f"true accuracies are left out: {error}")
        return None


def look_up(table: Table | None, cost: Cost, best: Mapping[str, Gene], seed: int) -> dict[str, float | None]:
    """Return the true accuracy (percent) of both winners, and the mean of 20 random networks of evolution's cost.

    None where no other network has that cost, as beside the largest one.
    """
    if table is None:
        return {}
    beside = equal_cost(table.space, cost, best["evolution"], BESIDE, seed)
    return {
        "true_accuracy": table.accuracy(best["evolution"]),
        "random_true_accuracy": table.accuracy(best["random"]),
        "equal_cost_true_accuracy": float(np.mean([table.accuracy(gene) for gene in beside])) if beside else None,
    }


def limits(params: PathSearch, costs: Mapping[str, Cost], latency: float = 0.0) -> list[Budget]:
    """Return the hard limits that `params` sets; ReproError names the cheapest network where none can meet one.

    latency: the largest, in milliseconds; 0: any.
    """
    if params.bitops and "BitOps" not in costs:
        raise UsageError(
            f"bitops={params.bitops:g}, but only the space bits has BitOps: limit mult_adds, or set bitops=0"
        )
    sizes = {name: getattr(params, each.parameter, 0) * each.unit for name, each in LIMITS.items()}
    sizes["milliseconds"] = latency
    return [Budget(cost, sizes[name]) for name, cost in costs.items() if sizes[name]]
