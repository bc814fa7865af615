"""What the notebooks on what came since the papers say of their runs, of each run's numbers alone."""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from repro.report import findings_darts, narration
from repro.results import claims_since
from repro.runs.run import Run, find_needed
from repro.spaces.nas_bench import gene_201

FOUND_BY = {"": "evolution", "random_": "random search", "argmax_": "the largest alphas"}  # prefix of results -> method


def search(run: Run) -> list[str]:
    """Say how a search in NAS-Bench-201's space went, and what its cell is."""
    result, (*said, one_search) = run.result, findings_darts.image_search(run)
    space = f", where the space has {result['space_mean']:.2f} on average" if "space_mean" in result else ""
    gap = (
        [f"With its derived operations alone the network errs by {result['gap']:+.1f} points more than as a mixture."]
        if "gap" in result
        else []
    )
    return [*said, f"{_cell('The derived cell', result)}{space}.", *gap, one_search]


def paths(run: Run) -> list[str]:
    """Say what evolution and random search found with the last weights, and how these rank cells."""
    result, images = run.result, run.params.valid_images
    best, drawn = result["accuracy"], result["random_accuracy"]
    return [
        f"{_cell('The best cell of evolution', result)}, with a held-out accuracy of "
        f"{narration.accuracy(best, images, findings_darts.CLASSES)}.",
        f"{_cell('That of random search', result, 'random_')}, with {drawn:.1f} %: the two are "
        f"{narration.difference(best, drawn, images)}.",
        f"Cells drawn at random have {result['mean_accuracy']:.1f} % on average.",
        *_ranking(result),
        "This is one training: another seed trains other weights.",
    ]


def derivation(run: Run) -> list[str]:
    """Say on how many places both derivations differ, what that is worth, and how clear the decisions were."""
    result, searched = run.result, find_needed(run.params.search, run.profile).params
    decided, largest = (_choices(result, prefix) for prefix in ("", "argmax_"))
    other = sum(one != another for one, another in zip(decided, largest, strict=True))
    images = run.params.judged_images or findings_darts.judged_images(searched)
    lead = [sorted(row["errors"])[-2:] for row in run.metrics()]
    next_worst, worst = max(lead, key=lambda two: two[1] - two[0])
    return [
        f"By performance the cell differs from that of the largest alphas in {other} of {len(decided)} edges.",
        *(
            f"{_cell(f'The cell {how}', result, prefix)}."
            for prefix, how in (("", "by performance"), ("argmax_", "of the largest alphas"))
            if f"{prefix}cell" in result
        ),
        "In the clearest decision the errors without what was kept and without the next to it are "
        f"{narration.difference(worst, next_worst, images)}.",
        "The edges came in one random order: another `seed` is another order.",
    ]


def darts_evolution(run: Run) -> list[str]:
    """Say what evolution, random search and the largest alphas found with the weights of one search."""
    result, search = run.result, find_needed(run.params.search, run.profile)
    images = findings_darts.judged_images(search.params)
    images = min(run.params.judged_images or images, images)
    found = [
        f"{_cell(f'The cell of {how}', result, prefix)}; with the weights of {search.name} it has "
        f"{narration.accuracy(result[f'{prefix}accuracy'], images, findings_darts.CLASSES)}."
        for prefix, how in FOUND_BY.items()
    ]
    return [*found, *_ranking(result), "One search: another seed trains other weights."]


def ptb_paths(run: Run) -> list[str]:
    """Say what evolution and random search found among recurrent cells, and how far candidates are apart."""
    result = run.result
    best, worst = (exp(-pick(row["log_likelihood"] for row in run.child("random").metrics())) for pick in (max, min))
    return [
        f"With inherited weights evolution's cell has a validation perplexity of "
        f"{findings_darts.perplexity(run, result['valid_perplexity'])}.",
        f"The best of as many random cells has {result['random_valid_perplexity']:.1f}, the worst {worst:.1f}: "
        f"choosing among them is worth {100 * (worst / best - 1):.0f} %.",
        "Weights that all cells share fit none of them: only training from scratch tells how good the cell is.",
        "One supernet: another seed trains other weights.",
    ]


def hardware_front(run: Run) -> list[str]:
    """Say what the weights do to the cost, and what evolution finds within each limit beside the searches."""
    result, found = run.result, []
    if "error_percent" in result:
        found.append(
            f"Sums of measured operations are {result['error_percent']:.1f} % away from {result['networks']} whole "
            f"networks on average, at most {abs(result['worst_percent']):.1f} %."
        )
    light, heavy = claims_since.weighted(result)
    found.append(
        f"With a weight of {light['weight']:g} the cost of the derived cell is {100 * light['share']:.0f} % of the way "
        f"from the cheapest to the dearest, with {heavy['weight']:g} it is {100 * heavy['share']:.0f} %."
    )
    known = all("true_accuracy" in row for row in (*result["darts"], *result["spos"]))
    name, how = ("true_accuracy", "in truth") if known else ("accuracy", "by the supernet")
    pairs = []
    for cell in result["spos"]:
        other = claims_since.dearest_within(result, cell["limit"])
        beside = f"{other[name]:.2f} %" if other else "none"
        pairs.append(f"within {cell['limit']:g} of that way {cell[name]:.2f} % against {beside}")
    found.append(f"Evolution's cells against the dearest of DARTS, {how}: {', '.join(pairs)}.")
    return [*found, "One search for each weight and one supernet: another seed finds other cells."]


def _cell(what: str, result: Mapping[str, Any], prefix: str = "") -> str:
    """Say of a cell how many of its edges are skip connections, and its true accuracy where the table is there."""
    skips, true = result[f"{prefix}skips"], result.get(f"{prefix}true_accuracy")
    return f"{what} has {skips} skip connection{'s' * (skips != 1)}" + (
        f" and in truth {true:.2f} %" if true is not None else ""
    )


def _ranking(result: Mapping[str, Any]) -> list[str]:
    """Say how inherited weights rank random cells, where the table has the truth."""
    if "kendall_tau" not in result:
        return []
    count = result["networks"]
    return [
        f"Over {count:,} random cells Kendall's tau with the truth is {narration.tau(result['kendall_tau'], count)}: "
        f"unrelated rankings are within {narration.unrelated(count):.2f} in 95 %. The number of weights alone gives "
        f"{result['kendall_tau_cost']:.2f}."
    ]


def _choices(result: Mapping[str, Any], prefix: str) -> Sequence[Any]:
    """Return the operation of each edge, or in DARTS's own space the edges that its cells keep."""
    if f"{prefix}cell" in result:
        return gene_201(result[f"{prefix}cell"])
    genotype = result[f"{prefix}genotype"]
    return [*genotype["normal"], *genotype["reduce"]]
