"""What DARTS claims, line by line: each was written down, with its bounds and numbers of units, before it was run."""

from dataclasses import replace
from math import dist, inf, log

from repro.results.arms import Arm, Measure, Result, Width
from repro.results.lines import Claim, Line


def _ends(result: Result) -> float:
    """Return 0.01 minus the largest distance from the fixed points: (1, 1) at xi 0.5, (2, 2) at 0."""
    ends = {end["xi"]: (end["alpha"], end["weight"]) for end in result["ends"]}
    rests = {0.5: (1, 1), 0.0: (2, 2)}
    return 0.01 - max(dist(ends[xi], rest) if xi in ends else inf for xi, rest in rests.items())


def perplexity(vocabulary: int) -> Measure:
    """Return 100 ln(test perplexity) of the best validation epoch's weights: differences are 100 ln(ratio)."""
    return Measure(
        "100 ln(ratio of perplexities)", lambda result: 100 * log(result["test_perplexity"]), 100 * log(vocabulary)
    )


DISTANCE = (Measure("left of a tolerance of 0.01", _ends, -inf),)
ERROR = (Measure("points of error", lambda result: result["test_error"], 90.0, scaled=True),)
HELD_OUT = (Measure("points of error", lambda result: result["valid_error"], 90.0, scaled=True), *ERROR)
VARIANCE = (Measure("ratio of variances", lambda result: result["test_error"], 90.0),)
PTB, WIKITEXT2 = (perplexity(10_000),), (perplexity(33_278),)
IMAGENET = (Measure("points of error", lambda result: result["top1_error"], 99.9),)
RATIO = (Measure("ratio", lambda result: result["ratio"]),)
COSINE = (Measure("cosine", lambda result: result["cosine"]),)


def cell(genotype: str, unit: str = "search", experiment: str = "cifar10-eval") -> Arm:
    """Return the trainings from scratch of the cells that runs found."""
    return Arm(unit, experiment, {"genotype": genotype})


def begun(arm: Arm) -> Arm:
    """Return the trainings of the cells that the searches of an arm held after their first epoch."""
    return replace(arm, changes={**arm.changes, "snapshot": 1})


def published(name: str, width: Width | None = None, experiment: str = "cifar10-eval") -> Arm:
    """Return the trainings from scratch of a published cell: there its trainings are the units."""
    return Arm("training", experiment, {"genotype": name}, own=True, width=width)


FIRST, SECOND = cell("run:cifar10-search/order=1"), cell("run:cifar10-search/order=2")
COORDINATE = cell("run:cifar10-joint/strategy=coordinate")
SIMULTANEOUS = cell("run:cifar10-joint/strategy=simultaneous")
RANDOM = cell("run:cifar10-random/samples=1", "cell")
CELLS, TRAININGS = 16, 2  # of RANDOM: what the gate looks at
V1, V2 = published("DARTS_V1"), published("DARTS_V2")
# Around the number of parameters of DARTS_V2 with 36 channels and 20 cells, and with 8 channels and 5 cells
NASNET = published("NASNET", Width("channels", V2, {"paper": (33, 34), "short": (33, 34), "desk": (5, 6)}))
AMOEBANET = published("AMOEBANET", Width("channels", V2, {"paper": (37, 38), "short": (37, 38), "desk": (5, 6)}))
PTB_FIRST, PTB_SECOND = (cell(f"run:ptb-search/order={order}", experiment="ptb-eval") for order in (1, 2))
RECURRENT = published("DARTS_V2_RNN", experiment="wikitext2-eval")
WIDTHS = {"paper": (657, 658), "short": (657, 658)}
ENAS = published("ENAS_RNN", Width("hidden_size", RECURRENT, WIDTHS), "wikitext2-eval")
IMAGENET_V2 = published("DARTS_V2", experiment="imagenet-eval")
IMAGENET_NASNET = Arm("training", "imagenet-eval", {"genotype": "NASNET", "channels": 44}, own=True)  # 4 @ 1056

COMPARED = Arm("search", "cifar10-search", {"order": 2, "compare_every": 50}, own=True)

PAIRED, TWICE = "paired", {"m": 2, "gated": True}


def _par(id: str, other: str, second: Arm, looks: tuple[tuple[int, int], ...], papers: tuple[float, float]) -> list:
    """Return the lines that hold NASNet-A and AmoebaNet-A against other cells; a margin of 1.5 points is on a par."""
    facts = {"kind": "Welch", "looks": looks, "measures": ERROR, "lower": -1.5, "upper": -1.5, "gated": True}
    rivals = {"NASNet-A": NASNET, "AmoebaNet-A": AMOEBANET}
    return [
        Line(f"{id}{number}", f"{name} minus {other}, as many parameters", arms=(arm, second), paper=paper, **facts)
        for number, ((name, arm), paper) in enumerate(zip(rivals.items(), papers, strict=True), start=1)
    ]


DARTS = (
    Claim("D1", "DARTS", "Sect. 2.3, Fig. 2", "with a suitable xi, descent finds the better optimum", (
        Line("D1", "0.01 minus the largest distance from the fixed points", "exact", ((1, 1),), DISTANCE,
             (Arm("descent", "bilevel-toy", own=True),)),
    )),
    Claim("D2", "DARTS", "Tables 1, 2", "the second-order gradient finds better cells than the first-order one", (
        Line("D2a", "first order minus second order, CIFAR-10", PAIRED, ((3, 14),), ERROR, (FIRST, SECOND), **TWICE,
             paper=0.24),
        Line("D2b", "first order minus second order, Penn Treebank", PAIRED, ((3, 14),), PTB, (PTB_FIRST, PTB_SECOND),
             paper=3.35),
    )),
    Claim("D3", "DARTS", "Table 1", "cells that were searched beat random ones", (
        Line("D3a", "random minus first order", "Welch", ((16, 16), (5, 12)), ERROR, (RANDOM, FIRST), **TWICE,
             paper=0.29),
        Line("D3b", "random minus second order", "Welch", ((16, 16), (3, 6)), ERROR, (RANDOM, SECOND), **TWICE,
             paper=0.53),
        Line("D3c", "best of four random minus best of four first order", "best of four", ((16, 16), (5, 12)), HELD_OUT,
             (RANDOM, FIRST), **TWICE, paper=0.29),
    )),
    Claim("D4", "DARTS", "Sect. 3.3", "alpha on held-out images finds better cells than both on the same images", (
        Line("D4a", "coordinate descent minus first order", PAIRED, ((4, 8),), ERROR, (COORDINATE, FIRST), **TWICE,
             paper=1.16),
        Line("D4b", "one step for both minus first order", PAIRED, ((5, 10),), ERROR, (SIMULTANEOUS, FIRST), **TWICE,
             paper=0.56),
    )),
    Claim("D5", "DARTS", "Sect. 3.2, Fig. 3", "cells get better as the search goes on", (
        Line("D5a", "cell after epoch 1 minus the last, first order", PAIRED, ((5, 12),), ERROR,
             (begun(FIRST), FIRST), gated=True),
        Line("D5b", "cell after epoch 1 minus the last, Penn Treebank", PAIRED, ((5, 12),), PTB,
             (begun(PTB_SECOND), PTB_SECOND)),
    )),
    Claim("D6", "DARTS", "Table 1", "the cells are on a par with NASNet-A and AmoebaNet-A", (
        *_par("D6a", "DARTS_V2", V2, ((8, 16),), (0.07, 0.36)),
        *_par("D6b", "DARTS_V1", V1, ((8, 16),), (-0.17, 0.12)),
        *_par("D6c", "first order", FIRST, ((8, 16), (5, 12)), (-0.17, 0.12)),
    )),
    Claim("D7", "DARTS", "Tables 3, 4", "the cells transfer to other data", (
        Line("D7a", "ENAS minus DARTS_V2_RNN, as many parameters, WikiText-2", "Welch", ((4, 8),), WIKITEXT2,
             (ENAS, RECURRENT), paper=1.14),
        Line("D7b", "NASNet-A minus DARTS_V2, ImageNet", "Welch", ((4, 8),), IMAGENET, (IMAGENET_NASNET, IMAGENET_V2),
             lower=-0.3, upper=-0.3, paper=-0.7, sizes=("paper",)),
    )),
    Claim("D8", "DARTS", "Table 1", "the second order costs more time than the first", (
        Line("D8", "seconds of 20 steps, second order over first", "exact", ((5, 5),), RATIO,
             (Arm("search", "cifar10-cost", own=True),), lower=1.0, paper=2.67),
    )),
    Claim("D9", "DARTS", "Sect. 3.2, of recurrent cells", "the outcome of a search depends on its start", (
        Line("D9", "variance between searches over that between trainings of a cell", "variance ratio",
             ((5, 14), (3, 14), (4, 8), (5, 10)), VARIANCE, (FIRST, SECOND, COORDINATE, SIMULTANEOUS), **TWICE,
             upper=1.0),
    )),
    Claim("D10", "DARTS", "Eq. 8", "the finite difference stands for the exact derivative", (
        Line("D10", "cosine of both, median over every 50th step after epoch 1", "one sample", ((3, 6),), COSINE,
             (COMPARED,), lower=0.95, upper=0.95),
    )),
)  # fmt: skip
