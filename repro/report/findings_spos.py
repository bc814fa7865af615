"""What the notebooks of SPOS say of their runs: one function (run) -> sentences for each, of that run's numbers alone.

Intervals are over the images or networks that were judged; another seed of the training adds to them.
"""

from collections.abc import Mapping, Sequence
from operator import sub
from statistics import fmean
from typing import Any

from repro.configs.registry import find
from repro.configs.spos_networks import PathImages, SinglePathTraining
from repro.configs.spos_search import LIMITS
from repro.data.images import SOURCES
from repro.report.narration import accuracy, difference, mean_of, tau, unrelated
from repro.runs.run import Run, find_needed

PICTURES = 50_000  # validation pictures of ImageNet, which are its test set here
ONE_TRAINING = "This is one training: how much another seed moves these numbers, this run does not show."


def supernet(run: Run) -> list[str]:
    """Say how well random paths do with the weights of one training, and whether they can be told apart."""
    params, rows = run.params, sorted(run.load("paths.json"), key=lambda row: row["accuracy"])
    worst, best = (rows[end]["accuracy"] for end in (0, -1))
    return [
        f"One training gave weights to {run.result['networks']:,} networks; {params.evaluated_paths} of them, drawn at "
        "random, were judged.",
        f"The best of these has an accuracy of {accuracy(best, params.valid_images, classes(params))}.",
        f"The worst has {accuracy(worst, params.valid_images, classes(params))}: the two are "
        f"{difference(best, worst, params.valid_images)}.",
        ONE_TRAINING,
    ]


def search(run: Run) -> list[str]:
    """Say what evolution found beside random search, and how its candidates improved."""
    reference, found = find(run.experiment).references(run.params)["supernet"], run.result
    supernet = find_needed(reference, run.profile).params
    images = supernet.valid_images
    evolved, drawn = ([row["accuracy"] for row in run.child(part).metrics()] for part in ("evolution", "random"))
    apart = difference(found["accuracy"], found["random_accuracy"], images)
    return [
        f"The best candidate of evolution has an accuracy of {accuracy(found['accuracy'], images, classes(supernet))}.",
        f"The best of as many random ones has {found['random_accuracy']:.1f} %: the two are {apart}.",
        f"From the first {run.params.population} candidates of evolution to its last its mean accuracy went from "
        f"{fmean(evolved[: run.params.population]):.1f} to {fmean(evolved[-run.params.population :]):.1f} %; that of "
        f"random search is {fmean(drawn):.1f} %.",
        *_limits(run.params, found),
        "A winner was picked on the images that it is judged by, so its accuracy is too high by some unknown amount.",
    ]


def _limits(params: Any, found: Mapping[str, float]) -> list[str]:
    """Say of every limit that was set how much of it the winner takes."""
    limits = {name: (getattr(params, limit.parameter), limit.measure) for name, limit in LIMITS.items()}
    return [
        f"It takes {100 * found[measure] / most:.0f} % of the {name} that were allowed."
        for name, (most, measure) in limits.items()
        if most
    ]


def retrained(run: Run) -> list[str]:
    """Say how well a network does that was trained from scratch, and how large it is."""
    params, result = run.params, run.result
    tested = PICTURES if params.dataset == "imagenet" else SOURCES[params.dataset].test
    size = f"{result['parameters_millions']:.3g}M parameters and {result['mult_adds_millions']:.3g}M multiply-adds"
    return [
        f"The test accuracy is {accuracy(result['test_accuracy'], tested, classes(params))}.",
        f"The network has {size}.",
        "The test images were touched once, after the last step: nothing was chosen by them.",
        ONE_TRAINING,
    ]


def correlation(run: Run) -> list[str]:
    """Say how far the two rankings agree, beside what unrelated ones and cost alone give."""
    result, count = run.result, run.result["networks"]
    return [
        f"Kendall's tau is {tau(result['kendall_tau'], count)}; two rankings of as many networks that have "
        f"nothing to do with each other stay within {unrelated(count):.2f} of 0 in 95 % of cases.",
        f"Multiply-adds alone, without any training, give a tau of {tau(result['kendall_tau_cost'], count)}.",
        f"Without statistics of its own for each network tau is {tau(result['kendall_tau_not_recomputed'], count)}.",
        f"The network that the supernet puts first has {result['best_true_accuracy']:.1f} % trained from scratch; the "
        f"best that was there, {max(row['stand_alone'] for row in run.load('networks.json')):.1f} %.",
        ONE_TRAINING,
    ]


def iterations(run: Run) -> list[str]:
    """Say how the best candidates rose over the iterations, and how far searches and samplings are apart."""
    rows = run.load("iterations.json")
    ends = [min(row["iteration"] for row in rows), max(row["iteration"] for row in rows)]
    best = {  # search -> at either end, one for each pair of supernets
        search: [
            [row["accuracy"] for row in rows if (row["search"], row["iteration"]) == (search, end)] for end in ends
        ]
        for search in ("evolution", "random", "uniform")
    }
    rose = {search: f"from {fmean(first):.1f} to {fmean(last):.1f} %" for search, (first, last) in best.items()}
    ahead = {search: [*map(sub, best["evolution"][1], best[search][1])] for search in ("random", "uniform")}
    return [
        f"From the first population to the last the best held-out accuracy rises {rose['evolution']} by evolution, "
        f"{rose['random']} by random search on the same supernets, on average over them.",
        f"At the end evolution is ahead of random search by {mean_of(ahead['random'], 'points')}.",
        "Of the two samplings, that over the cost is ahead of that over the paths by "
        f"{mean_of(ahead['uniform'], 'points')}.",
        "Each winner was picked on the images that it is judged by, so its accuracy is somewhat too high.",
    ]


def latency(run: Run) -> list[str]:
    """Say how far sums of measured blocks are from whole networks, and how much a block's own time varies."""
    result, rows = run.result, [row for row in run.metrics() if row["network"] == "random"]
    off = [100 * (row["summed"] / row["measured"] - 1) for row in rows]
    return [
        f"A sum of measured blocks misses a whole random network by {result['error_percent']:.1f} % on average, and by "
        f"{result['worst_percent']:+.1f} % at worst.".replace("-", "−"),
        f"With their signs the errors have a mean of {mean_of(off, '%')}: what all networks share shifts them alike, "
        "and their order less.",
        f"Kendall's tau of sums and measured times is {tau(result['kendall_tau'], len(rows))}; unrelated ones stay "
        f"within {unrelated(len(rows)):.2f} of 0 in 95 % of cases.",
        f"The quartiles of one block's times are {result['spread_percent']:.1f} % apart, in the middle of all blocks.",
        "Times are of this machine and of what else it did: another run measures others.",
    ]


def path_cost(run: Run) -> list[str]:
    """Say how much more a step of the mixture takes than one along a path, and how that differs from path to path.

    Of two paths, too, where they were measured.
    """
    result, rows = run.result, run.metrics()
    two = [
        f"Along two paths, a step takes {ratio:.2f} times the {what} of one along a single path."
        for what, name in (("memory", "memory_ratio_two_paths"), ("time", "seconds_ratio_two_paths"))
        if (ratio := result.get(name))
    ]
    return [
        f"A step of the whole mixture takes {_times(result['memory_ratio'], _ratios(rows, 'bytes'))} the memory of a "
        "step along one path.",
        f"It takes {_times(result['seconds_ratio'], _ratios(rows, 'seconds'))} the time.",
        *two,
        "Memory was counted, and another run gives the same; time was measured on this machine, whatever else it did.",
    ]


def _ratios(rows: Sequence[Mapping[str, float]], what: str) -> list[float]:
    return [row[f"{what}_mixture"] / row[f"{what}_path"] for row in rows]


def _times(mean: float, each: Sequence[float]) -> str:
    return f"{mean:.2f} times ({min(each):.2f} to {max(each):.2f} over the paths)"


def classes(params: PathImages | SinglePathTraining) -> int:
    """Return how many classes the images have: guessing is right once in as many."""
    return params.classes if params.dataset == "imagenet" else SOURCES[params.dataset].classes
