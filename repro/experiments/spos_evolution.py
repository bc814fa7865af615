"""SPOS Figures 2 and 3: how good the best candidate is after each iteration, by sampling and by search."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import mean
from typing import Any

from repro.configs.registry import find
from repro.configs.spos_search import SposEvolution
from repro.data.seeds import mixed_seed
from repro.experiments.spos_data import judge, load
from repro.experiments.spos_search import explore, limits, settings_of
from repro.experiments.spos_training import load_supernet
from repro.runs.run import Run

# Parameter that names the supernets -> what is searched on them: name of the search, and its parents where they differ
SEARCHES: dict[str, dict[str, dict[str, int]]] = {
    "supernet": {"evolution": {}, "random": {"parents": 0}},
    "uniform": {"uniform": {}},
}


def follow_iterations(params: SposEvolution, run: Run) -> dict[str, Any]:
    """Search on the supernets of both samplings and every seed; iterations.json has a row for each iteration of each.

    Iterations count from 0, the population that is drawn at random. Accuracies are held-out ones (percent) of the best
    candidate so far; in the result, those of the last iteration, their means over the seeds.
    """
    searched = [(name, seed, scores) for seed in params.search_seeds for name, scores in _searches(params, run, seed)]
    rows = [
        {"search": name, "run": seed, "iteration": iteration, "accuracy": best}
        for name, seed, scores in searched
        for iteration, best in enumerate(best_so_far(scores, params.population))
    ]
    run.save("iterations.json", rows)
    last = {
        name: mean(max(scores) for other, _, scores in searched if other == name)
        for searches in SEARCHES.values()
        for name in searches
    }
    return {
        "accuracy": last["evolution"],
        "random_accuracy": last["random"],
        "uniform_accuracy": last["uniform"],
        "candidates": len(searched[0][2]),
        "searches": len(searched),
    }


def best_so_far(scores: list[float], population: int) -> list[float]:
    """Return the best of all scores up to the end of each population."""
    return [max(scores[: first + population]) for first in range(0, len(scores), population)]


def _searches(params: SposEvolution, run: Run, seed: int) -> Iterator[tuple[str, list[float]]]:
    """Search on the supernets of one seed, each search from the same random population; yield the scores in order."""
    references = find(run.experiment).references(params)
    for parameter, searches in SEARCHES.items():
        supernet, network = load_supernet(run, references[parameter].changed(seed=seed))
        costs = network.costs()
        score = judge(supernet, run, network, load(supernet, run), params.bn_images)
        for name, changed in searches.items():
            part, settings = run.child(f"{name}-{seed}"), replace(settings_of(params), **changed)
            drawn = mixed_seed(params.seed, "evolution", seed)
            found = explore(part, network.space, score, drawn, settings, limits(params, costs), costs)
            yield name, list(found.scores.values())
