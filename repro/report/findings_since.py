"""What the notebooks on what came since the papers say of their runs, of each run's numbers alone."""

from math import exp, sqrt

from repro.report import narration
from repro.report.findings_darts import perplexity
from repro.runs.run import Run, find_needed

FOUND_BY = {"": "evolution", "random_": "random search", "argmax_": "the largest alphas"}  # prefix of results -> method


def darts_evolution(run: Run) -> list[str]:
    """Say what evolution, random search and the largest alphas found with the weights of one search."""
    result, search = run.result, find_needed(run.params.search, run.profile)
    true = {how: result.get(f"{prefix}true_accuracy") for prefix, how in FOUND_BY.items()}
    found = [
        f"With the weights of {search.name} the cell of {how} has {result[f'{prefix}accuracy']:.1f} %"
        + (f", and in truth {true[how]:.2f} %." if true[how] is not None else ".")
        for prefix, how in FOUND_BY.items()
    ]
    if "kendall_tau" in result:
        n, tau = result["networks"], result["kendall_tau"]
        within = narration.NORMAL * sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))  # of two rankings drawn at random
        chance = ", at chance" if abs(tau) <= within else ""
        found.append(
            f"Over {n:,} random cells Kendall's tau with the truth is {tau:.2f}{chance}: unrelated rankings are within "
            f"{within:.2f} in 95 %. The number of weights alone gives {result['kendall_tau_cost']:.2f}."
        )
    return [*found, "One search: another seed trains other weights."]


def ptb_paths(run: Run) -> list[str]:
    """Say what evolution and random search found among recurrent cells, and how far candidates are apart."""
    result = run.result
    best, worst = (exp(-pick(row["log_likelihood"] for row in run.child("random").metrics())) for pick in (max, min))
    return [
        f"With inherited weights evolution's cell has a validation perplexity of "
        f"{perplexity(run, result['valid_perplexity'])}.",
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
    light, heavy = (pick(result["darts"], key=lambda row: row["weight"]) for pick in (min, max))
    found.append(
        f"With a weight of {light['weight']:g} the cost of the derived cell is {100 * light['share']:.0f} % of the way "
        f"from the cheapest to the dearest, with {heavy['weight']:g} it is {100 * heavy['share']:.0f} %."
    )
    known = all("true_accuracy" in row for row in (*result["darts"], *result["spos"]))
    name, how = ("true_accuracy", "in truth") if known else ("accuracy", "by the supernet")
    pairs = []
    for cell in result["spos"]:
        within = [row for row in result["darts"] if row["share"] <= cell["limit"]]
        beside = f"{max(within, key=lambda row: row['share'])[name]:.2f} %" if within else "none"
        pairs.append(f"within {cell['limit']:g} of that way {cell[name]:.2f} % against {beside}")
    found.append(f"Evolution's cells against the dearest of DARTS, {how}: {', '.join(pairs)}.")
    return [*found, "One search for each weight and one supernet: another seed finds other cells."]
