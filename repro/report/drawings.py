"""The drawings of the report: each reads what runs left, and writes the figure.

What is drawn for every group of runs is a function (group, stem), as `sections.each` calls it; `stem` is the place of
its files, without their endings.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from repro.errors import ReproError, is_number
from repro.report import figures_darts, figures_spos, figures_training, film, graphs, style, truth
from repro.results import compare, others, protocol
from repro.results.arms import Runs, units
from repro.results.claims_darts import ERROR, FIRST, RANDOM, SECOND, TRAININGS
from repro.results.columns import heading
from repro.results.compare import Group
from repro.results.lines import SIZES
from repro.runs.run import Run
from repro.spaces.genotypes import from_json
from repro.spaces.path_spaces import PUBLISHED, SPACES

# How names of numbers end in metrics.jsonl
MEASURED = ("epoch", "_loss", "_error", "_perplexity", "accuracy", "_likelihood")
# Experiment -> the half of Figure 3 that it is, and the entry of snapshots.json that it shows
FIGURE_3 = {"cifar10-progress": ("left", "valid_error"), "ptb-progress": ("right", "valid_perplexity")}


def rows(run: Run, part: str = "") -> list[dict[str, Any]]:
    """Return the metrics of a run, or of a part of it; ReproError where there are none, or no numbers."""
    found, file = replace(run, path=run.path / part).metrics(), Path(part) / "metrics.jsonl"
    if not found:
        raise ReproError(f"{file} is missing or empty")
    for name, value in (entry for row in found for entry in row.items() if entry[0].endswith(MEASURED)):
        if not (value is None or is_number(value)):
            raise ReproError(f"{file} is damaged: {name!r} is no number, or too large")
    return found


def toy(group: Group, stem: Path) -> None:
    """Draw DARTS Figure 2."""
    style.save(figures_darts.bilevel_toy(group.first.load("trajectories.json")), stem.with_name("figure2"), group.first)


def curves(group: Group, stem: Path) -> None:
    """Draw loss, error and perplexity over the epochs."""
    metrics = [pd.DataFrame(rows(run)).assign(run=place) for place, run in enumerate(group.runs)]
    style.save(figures_training.curves(pd.concat(metrics)), stem, group.first)


def alphas(group: Group, stem: Path) -> None:
    """Draw how alpha moves in the first search."""
    history = [row["softmax_alpha"] for row in rows(group.first)]
    if isinstance(history[0], list):
        style.save(figures_darts.alpha_history(history, "recurrent"), stem, group.first)
        return
    for cell in history[0]:
        figure = figures_darts.alpha_history([softmax[cell] for softmax in history], cell)
        style.save(figure, stem.with_name(f"{stem.name}-{cell}"), group.first)


def films(group: Group, stem: Path) -> None:
    """Draw the most likely cell of the first search, epoch by epoch."""
    film.save([row["genotype"] for row in rows(group.first)], stem.with_name(f"{stem.name}.gif"), group.first)


def progress(group: Group, stem: Path) -> None:
    """Draw one half of DARTS Figure 3."""
    side, measure = FIGURE_3[group.first.experiment]
    judged = pd.DataFrame(group.first.load("snapshots.json")).rename(columns={"epoch": "cost", measure: "value"})
    figure = figures_darts.progress(
        judged, group.first.result["references"], cost="epoch of the search", measure=heading(measure)
    )
    style.save(figure, stem.with_name(f"figure3_{side}"), group.first)


def cells(group: Group, stem: Path) -> None:
    """Draw the cell that was chosen."""
    graphs.save_cells(from_json(group.first.result["genotype"]), stem, group.first, ("svg", "pdf"))


def candidates(group: Group, stem: Path) -> None:
    """Draw every candidate of a search of SPOS in the order of evaluation."""
    parts = {"evolution": "evolution", "random search": "random"}
    found = {name: pd.DataFrame(rows(group.first, part)) for name, part in parts.items()}
    style.save(figures_spos.search_progress(found), stem, group.first)


def skips(group: Group, stem: Path) -> None:
    """Draw how many skip connections the derived cells have, epoch by epoch."""
    cells = {place: [row["genotype"] for row in rows(run)] for place, run in enumerate(group.runs)}
    counts = {
        name: pd.DataFrame({run: [_skips(each[name]) for each in epochs] for run, epochs in cells.items()})
        for name in ("normal", "reduce")
    }
    style.save(figures_darts.skips(counts), stem.with_name(f"{stem.name}-skips"), group.first)


def _skips(edges: list[list[Any]]) -> int:
    return sum(op == "skip_connect" for op, _ in edges)


def random_cells(group: Group, stem: Path) -> None:
    """Draw random cells, and the cells of searches that were trained alike on them."""
    run, selection = group.first, group.first.experiment.replace("random", "select")
    own, entry = run.params.values(), next(name for name in run.result if name.startswith("valid_"))
    values = lambda alike: [value for run in alike.runs for value in run.load("result.json", values=list)["values"]]
    searched = {
        f"searched, {protocol.label(other.first)}": values(other)
        for other in compare.groups(selection)
        if other.first.profile == run.profile
        and all(own.get(name, value) == value for name, value in other.first.params.values().items() if name != "seed")
    }
    style.save(figures_darts.random_cells(values(group), searched, heading(entry)), stem, run)


def random_cells_of_claims(folder: Path) -> None:
    """Draw, for each size of the claims, the test errors of random and searched cells: means of a cell's trainings."""
    arms = {"random": RANDOM, "first order": FIRST, "second order": SECOND}
    for size in SIZES:
        runs = Runs(size.name)
        found = {
            name: [sum(each) / len(each) for each in units(runs, arm, ERROR, TRAININGS).values() if each]
            for name, arm in arms.items()
        }
        if random := found.pop("random"):
            searched = {name: values for name, values in found.items() if values}
            figure = figures_darts.random_cells(random, searched, f"test error (%), {size.name}")
            style.save(figure, folder / f"random_cells-{size.name}", None)  # its axis says the size


def published_networks(*spaces: str) -> dict[str, dict[str, list[str]]]:
    """Return what the networks that SPOS published of these spaces choose, layer by layer, by name."""
    held = [(name, SPACES[space], found.gene) for name, (space, found) in PUBLISHED.items() if space in spaces]
    return {name: space.names(gene) for name, space, gene in held}


def iterations(group: Group, stem: Path) -> None:
    """Draw SPOS Figures 2 and 3."""
    figure = figures_spos.iterations(pd.DataFrame(group.first.load("iterations.json")), others.evolution())
    style.save(figure, stem.with_name(f"figures2-3-{stem.name}"), group.first)


def rankings(group: Group, stem: Path) -> None:
    """Draw the agreement of two rankings, of the first supernet and, where there are several, tau of each."""
    run = group.first
    names = ("kendall_tau", "kendall_tau_cost", "kendall_tau_equal_cost", "kendall_tau_not_recomputed")
    if len(group.runs) > 1:
        found = pd.DataFrame({heading(name): group.numbers(name) for name in names})
        style.save(figures_spos.taus(found), stem.with_name(f"{stem.name}-tau"), run)
    networks, tau, of_cost = pd.DataFrame(run.load("networks.json")), *map(run.result.get, names[:2])
    style.save(figures_spos.rankings(networks, tau, of_cost), stem, run)


def true_accuracies(group: Group, stem: Path) -> None:
    """Draw the true accuracy of the current cells of searches; where none was looked up, how the first went."""
    found, run = [course for each in group.runs for course in truth.of(each) if course.epochs], group.first
    space = {name: run.result.get(f"space_{name}") for name in ("best", "mean")}
    style.save(truth.true_accuracies(found, space) if found else truth.diagnosis(rows(run)), stem, run)


def fronts(group: Group, stem: Path) -> None:
    """Draw accuracy against cost of the first run."""
    result, cost = group.first.result, group.first.params.cost
    style.save(truth.front(result, heading(f"cost_{cost}")), stem, group.first)


def orders(group: Group, stem: Path) -> None:
    """Draw the seconds of search steps of both orders."""
    style.save(figures_training.orders(pd.DataFrame(rows(group.first))), stem, group.first)


def sums(group: Group, stem: Path) -> None:
    """Draw the sums of measured blocks against whole networks."""
    figure = figures_spos.sums(pd.DataFrame(rows(group.first)), group.first.result["error_percent"])
    style.save(figure, stem, group.first)


def one_path(group: Group, stem: Path) -> None:
    """Draw what one path needs beside the whole mixture."""
    style.save(figures_training.one_path(pd.DataFrame(rows(group.first))), stem, group.first)
