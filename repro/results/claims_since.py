"""What the field found since the papers, line by line, in NAS-Bench-201's space: truth is looked up there, not trained.

None is a claim of the papers; that DARTS collapses here is one against them. A unit is a search or a supernet.
"""

from collections.abc import Callable, Mapping
from math import log
from statistics import mean
from typing import Any

from repro.configs.nb201 import ANNEALED, FAIR, LOOKS_AT
from repro.results.arms import Arm, Measure, Result
from repro.results.claims_darts import PTB, PTB_FIRST, cell
from repro.results.claims_spos import SUPERNETS, TRUE, reading, tau
from repro.results.lines import Claim, Line

ORDERS = {"a": (1, "first order", 32.77), "b": (2, "second order", 32.77), "c": ("exact", "exact order", None)}
LOOKS = ((3, 6),)
ONE, PAIRED = {"kind": "one sample", "looks": LOOKS}, {"kind": "paired", "looks": LOOKS}
BELOW_MEAN = Measure(TRUE, lambda result: result["space_mean"] - result["true_accuracy"])
SKIPS = Measure("skip connections", lambda result: result["skips"] - 6 / 5)
STOPPED = Measure(TRUE, lambda result: result["stopped_true_accuracy"] - result["true_accuracy"])
ABOVE_RANDOM = Measure(TRUE, lambda result: result["true_accuracy"] - result["random_true_accuracy"])
BEYOND_COST = Measure("Kendall's tau", lambda result: result["kendall_tau"] - result["kendall_tau_cost"])
TRULY, GAP, GAIN = reading("true_accuracy", TRUE), reading("gap", "points of error"), reading("gain", TRUE)


def searched(reads: Measure, order: int | str = 1, **changes: float) -> Arm:
    """Return the searches of one order, looked at after every epoch."""
    return Arm("search", "nb201-search", {"order": order, **LOOKS_AT, **changes}, own=True, reads=reads)


def _line(id: str, effect: str, *arms: Arm, **facts) -> Line:
    return Line(id, effect, measures=(arms[0].reads,), arms=arms, **facts)


def paths(reads: Measure) -> Arm:
    """Return the supernets of all cells."""
    return Arm("supernet", "nb201-paths", own=True, reads=reads)


NEARER = Measure("relative error", lambda result: result["errors"]["first order"] - result["errors"]["one step"])
FINER = Measure("cosine", lambda result: result["cosines"]["float64"]["1e-06"] - result["cosines"]["float64"]["0.01"])
TRUTH = Arm("network", "hypergradient-truth", own=True, reads=NEARER)
SMALLER = Arm("search", "hypergradient-search", own=True, reads=FINER)


def evolved(reads: Measure) -> Arm:
    """Return evolution over the weights of first-order searches."""
    return Arm("search", "darts-evolution", {"search": "run:nb201-search/order=1"}, reads=reads)


TAU = tau("kendall_tau")
FAIRLY = Arm("supernet", "nb201-paths", {"sampling": "fair"}, own=True, at=FAIR, reads=TAU)
OVER_ARGMAX = Measure(TRUE, lambda result: result["true_accuracy"] - result["argmax_true_accuracy"])
INHERITED = Measure(
    PTB[0].unit, lambda result: 100 * log(result["random_valid_perplexity"] / result["valid_perplexity"])
)
RECURRENT = Arm("supernet", "ptb-paths", own=True, reads=INHERITED)


def dearest_within(result: Result, limit: float) -> Mapping[str, Any] | None:
    """Return the row of the dearest cell within a limit among those that DARTS found; None where all are dearer."""
    within = [row for row in result["darts"] if row["share"] <= limit]
    return max(within, key=lambda row: row["share"], default=None)


def weighted(result: Result) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the rows of the cells that DARTS found with the smallest and with the largest weight."""
    light, heavy = (pick(result["darts"], key=lambda row: row["weight"]) for pick in (min, max))
    return light, heavy


def _over_weighted(result: Result) -> float | None:
    """Return by how much evolution's cells are better than the dearest of DARTS's within each limit, on average.

    None where all that DARTS found are dearer than every limit.
    """
    beside = ((found, dearest_within(result, found["limit"])) for found in result["spos"])
    better = [found["true_accuracy"] - other["true_accuracy"] for found, other in beside if other]
    return mean(better) if better else None


def _faster(result: Result) -> float:
    """Return what the largest weight saves against the smallest, in percent of the way from cheapest to dearest."""
    light, heavy = weighted(result)
    return 100 * (light["share"] - heavy["share"])


def fronts(unit: str, read: Callable[[Result], float | None]) -> Arm:
    """Return the fronts of latency and accuracy."""
    return Arm("search", "hardware-front", own=True, reads=Measure(unit, read))


DERIVED = Arm("search", "derivation", {"search": "run:nb201-search/order=1"}, reads=GAIN)
WHERE = "NAS-Bench-201, Sect. 4"
ZELA, WANG = "Zela et al. (ICLR 2020)", "Wang et al. (ICLR 2021)"

SINCE = (
    Claim("F1", "since", WHERE, "DARTS ends at cells below the mean of NAS-Bench-201's space", tuple(
        _line(f"F1{key}", f"mean of all cells minus the last one, {words}, true accuracy", searched(BELOW_MEAN, order),
              **ONE, paper=known) for key, (order, words, known) in ORDERS.items()
    )),
    Claim("F2", "since", WHERE, "its cells there are skip connections more than a random cell's", tuple(
        _line(f"F2{key}", f"skip connections of the last cell minus a random one's 1.2, {words}",
              searched(SKIPS, order), **ONE, upper=1.0, paper=None if known is None else 4.8)
        for key, (order, words, known) in ORDERS.items()
    )),
    Claim("F3", "since", ZELA, "stopping where the largest eigenvalue in alpha rises finds better cells", tuple(
        _line(f"F3{key}", f"cell where it should stop minus the last, {words}, true accuracy", searched(STOPPED, order),
              **ONE) for key, (order, words, _) in ORDERS.items()
    )),
    Claim("F4", "since", "DARTS Sect. 5, future work", "annealing the softmax closes the gap and finds better cells", (
        _line("F4a", "discretisation gap, constant minus annealed", searched(GAP), searched(GAP, **ANNEALED), **PAIRED),
        _line("F4b", "annealed minus constant, true accuracy", searched(TRULY, **ANNEALED), searched(TRULY), **PAIRED),
    )),
    Claim("F5", "since", f"DARTS Sect. 5, future work; {WANG}", "performance derives better cells than alpha does", (
        _line("F5", "cell by performance minus largest alphas of the same search, true accuracy", DERIVED, **ONE),
    )),
    Claim("F6", "since", "SPOS in NAS-Bench-201's space", "inherited weights rank cells", (
        _line("F6a", "tau with the true accuracy, 1,000 cells", paths(TAU), **SUPERNETS, upper=0.2),
        _line("F6b", "the same minus the tau of the number of weights", paths(BEYOND_COST), **SUPERNETS, upper=0.1),
    )),
    Claim("F7", "since", "SPOS in NAS-Bench-201's space", "evolution on shared weights beats DARTS and random search", (
        _line("F7a", "evolution's best minus first order's last, true accuracy", paths(TRULY), searched(TRULY),
              kind="Welch", looks=((3, 6), (3, 6))),
        _line("F7b", "evolution's best minus random search's, true accuracy", paths(ABOVE_RANDOM), **SUPERNETS,
              upper=0.1),
    )),
    Claim("F8", "since", "Lorraine et al. (AISTATS 2020)", "gradients beyond one step of w find better cells", (
        _line("F8a", "Neumann series of three terms minus exact order, true accuracy", searched(TRULY, "implicit"),
              searched(TRULY, "exact"), **PAIRED),
        _line("F8b", "three virtual steps minus exact order, true accuracy", searched(TRULY, "unrolled"),
              searched(TRULY, "exact"), **PAIRED),
    )),
    Claim("F9", "since", "FairNAS (ICCV 2021)", "fair sampling ranks cells better than uniform sampling", (
        _line("F9", "tau of fair minus uniform sampling, as many paths trained", FAIRLY, paths(TAU),
              kind="paired", looks=((4, 8),), upper=0.05),
    )),
    Claim("F10", "since", "DARTS Sect. 2.3", "one step of w brings the gradient nearer to that at w*", (
        _line("F10", "relative error of first order minus one step's, at the minimum of a small network", TRUTH, **ONE,
              upper=0.05),
    )),
    Claim("F11", "since", "DARTS Eq. 8", "the error of the finite difference is rounding and curvature", (
        _line("F11", "cosine in float64, eps 1e-6 minus 0.01, along a second-order search", SMALLER, **ONE, upper=0.01),
    )),
    Claim("F12", "since", "SPOS Algorithm 1 on DARTS Sect. 2", "evolution over a mixture's weights beats its alphas", (
        _line("F12a", "evolution's best minus largest alphas of the same search, true accuracy", evolved(OVER_ARGMAX),
              **ONE),
        _line("F12b", "tau of the mixture's weights with the true accuracy, 1,000 cells", evolved(TAU), **ONE,
              upper=0.2),
    )),
    Claim("F13", "since", "SPOS Sect. 3 on DARTS Sect. 3.1.2", "single paths and evolution find recurrent cells", (
        _line("F13a", "random search minus evolution, validation perplexity as inherited", RECURRENT, **ONE),
        Line("F13b", "DARTS's first order minus evolution, trained alike", "Welch", LOOKS, PTB,
             (PTB_FIRST, cell("run:ptb-paths", experiment="ptb-eval"))),
    )),
    Claim("F14", "since", "ProxylessNAS (ICLR 2019)", "a weight on expected latency finds faster cells", (
        _line("F14", "latency at weight 0 minus that at the largest weight", fronts("% of the range of costs", _faster),
              **ONE, upper=5.0),
    )),
    Claim("F15", "since", "SPOS Sect. 3.3", "hard limits on single paths beat a weighted term in the loss", (
        _line("F15", "SPOS minus DARTS within each limit, true accuracy", fronts(TRUE, _over_weighted), **ONE),
    )),
)  # fmt: skip
