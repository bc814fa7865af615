"""What SPOS claims, line by line. Unless a line says so, a unit is a supernet, and 4 decide at first, then 8."""

from repro.configs import desk
from repro.configs.spos_networks import MACRO_SUPERNET, ON_FOUND
from repro.configs.spos_retrain import channels_of
from repro.configs.spos_search import CANDIDATES
from repro.results.arms import Arm, Measure, Result
from repro.results.lines import Claim, Line

TRUE = "points of accuracy in the benchmark"
# CIFAR-10 has ten classes, and ImageNet, at the paper's size, a thousand
RETRAINED = (Measure("points of error", lambda result: 100 - result["test_accuracy"], 90.0, {"paper": 99.9}),)
LOOKS, SUPERNETS, EVEN = ((4, 8),), {"kind": "one sample", "looks": ((4, 8),)}, {"kind": "paired", "looks": ((4, 8),)}
TWO_BITS = {"paper": 6.32, "short": 2.07}  # BitOps (2^30) of 2 bits everywhere; of b bits (b/2)^2 times as many


def reading(name: str, unit: str = "points of accuracy") -> Measure:
    """Return the measure that is one number of a result."""
    return Measure(unit, lambda result: result[name])


def tau(name: str) -> Measure:
    """Return the measure that is one Kendall's tau of a result."""
    return reading(name, "Kendall's tau")


def _above_equal_cost(result: Result) -> float | None:
    """Return how far the network found lies above others of its cost; None where the space has no other."""
    others = result["equal_cost_true_accuracy"]
    return None if others is None else result["true_accuracy"] - others


def ranked(read: Measure) -> Arm:
    """Return the 200 networks of each supernet, which are drawn anew for each."""
    return Arm("supernet", "spos-correlation", {"networks": 200}, own=True, reads=read)


# Evolution of as many candidates as are ranked, half of them mutants and half crossings, as in the paper
MACRO = {"paper": f"{MACRO_SUPERNET},space=macro", **dict.fromkeys(("short", "desk"), desk.MACRO)}
LARGEST = {
    "paper": 105.66,
    "short": 105.66,
    "desk": 26.42,
}  # million multiply-adds of the largest network


def evolved(read: Measure, share: float = 0.0, sampling: str = "") -> Arm:
    """Return the evolution on each supernet of NAS-Bench-Macro, within a share of the largest network's cost."""
    at = {
        size: {"supernet": MACRO[size] + sampling, "mult_adds": round(share * largest, 2)}
        for size, largest in LARGEST.items()
    }
    return Arm("supernet", "spos-blocks", CANDIDATES, own=True, at=at, reads=read)


TRULY = reading("true_accuracy", TRUE)
ALONE = "no other network costs as much, within 2 %, as the one found"
ABOVE_RANDOM = Measure(TRUE, _above_equal_cost, none=ALONE)


def _bits(id: str, bits: int, paper: float) -> Line:
    """Return the line that holds a number of bits everywhere against the network found within its BitOps."""
    space = {"space": "bits", "depth": 18}
    within = {size: round(limit * bits**2 / 4, 2) for size, limit in TWO_BITS.items()}
    found = "run:spos-bits/supernet=run:spos-supernet/depth=18,bitops="
    arms = (
        Arm("training", "spos-retrain", {"architecture": f"{bits}W{bits}A", **space}, own=True),
        Arm("supernet", "spos-retrain", space, at={s: {"architecture": f"{found}{b}"} for s, b in within.items()}),
    )
    return Line(id, f"{bits} bits everywhere minus found", "Welch", LOOKS, RETRAINED, arms, paper=paper)


REPEATED = {"kind": "exact", "looks": ((5, 5),), "lower": 1.0}


def _both(ratio: str) -> Arm:
    """Return the steps of the whole mixture, or along two paths, over those along one path."""
    return Arm("supernet", "spos-cost", own=True, reads=reading(ratio, "ratio"))


def _line(id: str, effect: str, *arms: Arm, **facts) -> Line:
    """Return a line whose arms say themselves what is read."""
    return Line(id, effect, measures=(arms[0].reads,), arms=arms, **facts)


def _unbuilt(id: str, effect: str, lacks: str, measures: tuple[Measure, ...], **facts) -> Line:
    return Line(id, effect, measures=measures, lacks=lacks, **{"looks": LOOKS, **facts})


CHANNELS_ON_FOUND = {"architecture": channels_of(ON_FOUND), **ON_FOUND}
BLOCKS = {"shuffle 3x3": 0.9, "shuffle 5x5": 0.8, "shuffle 7x7": 0.7, "xception": 0.8}
RESCALED = "no run rescales a uniform network to the found one's cost: will read the test accuracy of spos-retrain"

SPOS = (
    Claim("S1", "SPOS", "Sect. 4", "inherited weights rank networks", (
        _line("S1a", "tau with the true accuracy, 200 networks", ranked(tau("kendall_tau")), **SUPERNETS, upper=0.2),
        _line("S1b", "tau among pairs within 2 % of cost, 200 networks", ranked(tau("kendall_tau_equal_cost")),
              **SUPERNETS, upper=0.2),
    )),
    Claim("S2", "SPOS", "Sect. 4, Fig. 3", "evolution beats random search", (
        _line("S2a", "best of 200 by evolution minus best of 200 random, inherited accuracy",
              evolved(reading("accuracy")), ranked(reading("best_accuracy")), **EVEN, upper=0.1),
        _line("S2b", "best of 200 by evolution minus best of 200 random, true accuracy", evolved(TRULY),
              ranked(reading("best_true_accuracy", TRUE)), **EVEN, upper=0.1, paper=0.5),
    )),
    Claim("S3", "SPOS", "Sect. 3, Fig. 2", "sampling uniformly over cost is better than over paths", (
        _line("S3", "evolution's best after sampling over cost minus over paths, true accuracy", evolved(TRULY),
              evolved(TRULY, sampling=",sampling=uniform"), **EVEN, upper=0.0),
    )),
    Claim("S4", "SPOS", "Sect. 4, Table 3", "found blocks beat random ones and one block everywhere", (
        _line("S4a", "best found minus 20 random networks within 2 % of its cost, true accuracy",
              evolved(ABOVE_RANDOM), **SUPERNETS, upper=0.1, paper=0.6),
        *(_unbuilt(f"S4{letter}", f"{name} everywhere minus found, equal cost", RESCALED, RETRAINED, kind="Welch",
                   paper=paper) for letter, (name, paper) in zip("bcde", BLOCKS.items(), strict=True)),
    )),
    Claim("S5", "SPOS", "Sect. 4, Table 4", "searching channels on top of blocks adds accuracy", (
        Line("S5", "found blocks minus the same with searched channels, within one limit", **EVEN, measures=RETRAINED,
             arms=(Arm("supernet", "spos-retrain"), Arm("supernet", "spos-retrain", CHANNELS_ON_FOUND)), paper=0.4),
    )),
    Claim("S6", "SPOS", "Sect. 4, Table 6", "mixed precision beats the same bits everywhere", (
        _bits("S6a", 2, 0.8), _bits("S6b", 3, 1.1), _bits("S6c", 4, 1.2),
    )),
    Claim("S7", "SPOS", "Sect. 3.4", "a candidate's BatchNorm statistics must be recomputed", (
        _line("S7a", "inherited accuracy with minus without, S1's networks", ranked(reading("accuracy")),
              ranked(reading("accuracy_not_recomputed")), **EVEN, upper=1.0),
        _line("S7b", "tau with minus without, S1's networks", ranked(tau("kendall_tau")),
              ranked(tau("kendall_tau_not_recomputed")), **EVEN, upper=0.05),
    )),
    Claim("S8", "SPOS", "Sect. 4, Table 5", "one supernet serves many limits", tuple(
        _line(f"S8{letter}", f"best found minus 20 random networks, within {share} % of the largest cost",
              evolved(ABOVE_RANDOM, share / 100), **SUPERNETS, upper=0.1)
        for letter, share in zip("abc", (60, 75, 90), strict=True)
    )),
    Claim("S9", "SPOS", "Table 7", "one path needs less than the whole mixture", (
        _line("S9a", "peak bytes, whole mixture over one path", _both("memory_ratio"), **REPEATED, paper=2.63),
        _line("S9b", "seconds of a step, whole mixture over one path", _both("seconds_ratio"), **REPEATED),
    )),
    Claim("S10", "SPOS", "Table 7", "one path needs less than two", (
        _line("S10a", "peak bytes, two paths over one path", _both("memory_ratio_two_paths"), **REPEATED, paper=1.54),
        _line("S10b", "seconds of a step, two paths over one path", _both("seconds_ratio_two_paths"), **REPEATED),
    )),
)  # fmt: skip
