"""What SPOS claims, line by line. Unless a line says so, a unit is a supernet, and 4 decide at first, then 8."""

from repro.results.arms import Arm, Measure
from repro.results.lines import Claim, Line

TAU = (Measure("Kendall's tau", lambda result: result["kendall_tau"]),)
ACCURACY = (Measure("points of accuracy", lambda result: result["accuracy"]),)
# CIFAR-10 has ten classes, and ImageNet, at the paper's size, a thousand
RETRAINED = (Measure("points of error", lambda result: 100 - result["test_accuracy"], 90.0, {"paper": 99.9}),)
MEMORY = (Measure("ratio", lambda result: result["memory_ratio"]),)
SECONDS = (Measure("ratio", lambda result: result["seconds_ratio"]),)
LOOKS, SUPERNETS, EVEN = ((4, 8),), {"kind": "one sample", "looks": ((4, 8),)}, {"kind": "paired", "looks": ((4, 8),)}

RANKED = Arm("supernet", "spos-correlation", {"networks": 200}, own=True)  # its networks are drawn anew for each
TWO_STEPS = {"kind": "exact", "looks": ((5, 5),), "lower": 1.0, "arms": (Arm("supernet", "spos-cost", own=True),)}
TWO_BITS = {"paper": 6.32, "short": 2.07}  # BitOps (2^30) of 2 bits everywhere; of b bits (b/2)^2 times as many


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


def _unbuilt(id: str, effect: str, lacks: str, measures: tuple[Measure, ...] = ACCURACY, **facts) -> Line:
    return Line(id, effect, measures=measures, lacks=lacks, **{"looks": LOOKS, **facts})


TRUTH = "no search on NAS-Bench-Macro's supernet looks its winner up: will read true_accuracy of its result"
BLOCKS = {"shuffle 3x3": 0.9, "shuffle 5x5": 0.8, "shuffle 7x7": 0.7, "xception": 0.8}
RESCALED = "no run rescales a uniform network to the found one's cost: will read test_accuracy of spos-retrain"

SPOS = (
    Claim("S1", "SPOS", "Sect. 4", "inherited weights rank networks", (
        Line("S1a", "tau with the true accuracy, 200 networks", "one sample", LOOKS, TAU, (RANKED,), upper=0.2),
        _unbuilt("S1b", "tau among pairs within 2 % of cost, 200 networks", "no run counts such pairs alone: will read "
                 "kendall_tau_equal_cost of spos-correlation", TAU, kind="one sample", upper=0.2),
    )),
    Claim("S2", "SPOS", "Sect. 4, Fig. 3", "evolution beats random search", (
        _unbuilt("S2a", "best of 200 by evolution minus best of 200 random, inherited accuracy",
                 "no evolution of 200 candidates stands beside spos-correlation's 200: will read accuracy of both",
                 upper=0.1, **EVEN),
        _unbuilt("S2b", "best of 200 by evolution minus best of 200 random, true accuracy", TRUTH, upper=0.1, **EVEN,
                 paper=0.5),
    )),
    Claim("S3", "SPOS", "Sect. 3, Fig. 2", "sampling uniformly over cost is better than over paths", (
        _unbuilt("S3", "evolution's best after sampling over cost minus over paths, true accuracy", TRUTH, upper=0.0,
                 **EVEN),
    )),
    Claim("S4", "SPOS", "Sect. 4, Table 3", "found blocks beat random ones and one block everywhere", (
        _unbuilt("S4a", "best found minus 20 random networks within 2 % of its cost, true accuracy", TRUTH, upper=0.1,
                 **SUPERNETS, paper=0.6),
        *(_unbuilt(f"S4{letter}", f"{name} everywhere minus found, equal cost", RESCALED, RETRAINED, kind="Welch",
                   paper=paper) for letter, (name, paper) in zip("bcde", BLOCKS.items(), strict=True)),
    )),
    Claim("S5", "SPOS", "Sect. 4, Table 4", "searching channels on top of blocks adds accuracy", (
        _unbuilt("S5", "found blocks minus the same with searched channels, equal cost", "no run searches channels on "
                 "found blocks: will read test_accuracy of spos-retrain", RETRAINED, **EVEN, paper=0.4),
    )),
    Claim("S6", "SPOS", "Sect. 4, Table 6", "mixed precision beats the same bits everywhere", (
        _bits("S6a", 2, 0.8), _bits("S6b", 3, 1.1), _bits("S6c", 4, 1.2),
    )),
    Claim("S7", "SPOS", "Sect. 3.4", "a candidate's BatchNorm statistics must be recomputed", (
        _unbuilt("S7a", "inherited accuracy with minus without, S1's networks", "no run judges networks without it: "
                 "will read accuracy and accuracy_not_recomputed of spos-correlation", upper=1.0, **EVEN),
        _unbuilt("S7b", "tau with minus without, S1's networks", "no run judges networks without it: will read "
                 "kendall_tau and kendall_tau_not_recomputed of spos-correlation", TAU, upper=0.05, **EVEN),
    )),
    Claim("S8", "SPOS", "Sect. 4, Table 5", "one supernet serves many limits", tuple(
        _unbuilt(f"S8{letter}", f"best found minus 20 random networks, within {share} % of the largest cost", TRUTH,
                 upper=0.1, **SUPERNETS)
        for letter, share in zip("abc", (60, 75, 90), strict=True)
    )),
    Claim("S9", "SPOS", "Table 7", "one path needs less than the whole mixture", (
        Line("S9a", "peak bytes, whole mixture over one path", measures=MEMORY, **TWO_STEPS, paper=2.63),
        Line("S9b", "seconds of a step, whole mixture over one path", measures=SECONDS, **TWO_STEPS),
    )),
)  # fmt: skip
