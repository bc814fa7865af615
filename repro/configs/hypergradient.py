"""How near architecture gradients come to that of the converged problem, and to each other along a search."""

from dataclasses import dataclass

from repro.configs.parameters import Parameters, parameter
from repro.configs.record import Experiment, Hours


@dataclass(frozen=True)
class HypergradientTruth(Parameters):
    """Problems so small that w*(alpha) and its derivative can be had: every gradient beside the exact one."""

    seed: int = parameter(0, "seed of the network's initialisation", low=0, kind="seed")
    threads: int = parameter(0, "CPU threads; 0: one for each core", identifies=False, low=0, high=1024)
    terms: tuple[int, ...] = parameter(
        (1, 2, 3, 5, 20, 100), "terms of the Neumann series and virtual steps that are compared", low=1, high=1000
    )
    after: tuple[int, ...] = parameter(
        (0, 1, 10, 100, 1000), "steps of gradient descent on w after which the gradients are compared", low=0
    )
    hidden: int = parameter(8, "hidden units of the small network", low=1, high=32)
    repeats: int = parameter(20, "times that each gradient of the small network is taken, to time it", low=1)


TRUTH = Experiment(
    name="hypergradient-truth",
    title="Architecture gradients against that of the converged problem",
    section="beyond DARTS Sect. 2.3",
    claim="one step of w stands for w*(alpha); nothing is said of how far that is from the truth",
    cost="not in the paper",
    hours=(Hours(0.02, "assumed", "a minute on a CPU; counted as 72 seconds"),),
    smoke_seconds=8,
    parameters=HypergradientTruth,
    sizes={"smoke": {"threads": 1, "repeats": 5}, "desk": {"threads": 1}},
    notebook="42_hypergradient_truth.ipynb",
    recipe="hypergradient_truth:compare",
)
