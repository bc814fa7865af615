"""How near architecture gradients come to that of the converged problem, and to each other along a search."""

from dataclasses import dataclass

from repro.configs.cifar10_search import DESK, DESK_ALPHA_LR, DESK_EPOCHS, TINY, CifarSearch
from repro.configs.parameters import Parameters, parameter
from repro.configs.record import Experiment, Hours


@dataclass(frozen=True)
class HypergradientTruth(Parameters):
    """Problems so small that w*(alpha) and its derivative can be had: every gradient beside the exact one."""

    terms_seen: tuple[int, ...] = parameter(
        (1, 2, 3, 5, 20, 100), "terms of the Neumann series and virtual steps that are compared", low=1, high=1000
    )
    after: tuple[int, ...] = parameter(
        (0, 1, 10, 100, 1000),
        "steps of gradient descent on w after which gradients are compared; 0: at its start",
        low=0,
    )
    hidden: int = parameter(8, "hidden units of the small network", low=1, high=32)
    repeats: int = parameter(20, "times that each gradient of the small network is taken, to time it", low=1)
    seed: int = parameter(0, "seed of the network's initialisation", low=0, kind="seed")
    threads: int = parameter(0, "CPU threads; 0: one for each core", identifies=False, low=0, high=1024)


@dataclass(frozen=True)
class HypergradientSearch(CifarSearch):
    """A search for convolutional cells whose gradients are compared with the exact one on the way."""

    look_every: int = parameter(50, "steps between looks, which leave the search as it is; 0: none", low=0)
    eps_seen: tuple[float, ...] = parameter(
        (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0), "steps of Eq. 8 times the gradient's norm that are compared", above=0
    )
    terms_seen: tuple[int, ...] = parameter(
        (1, 2, 3, 5), "terms of the Neumann series and virtual steps that are compared", low=1, high=20
    )


TRUTH = Experiment(
    name="hypergradient-truth",
    title="Architecture gradients against that of the converged problem",
    section="beyond DARTS Sect. 2.3",
    claim="one step of w stands for w*(alpha); nothing is said of how far that is from the truth",
    cost="not in the paper",
    hours=(Hours(0.02, "assumed", "a minute on a CPU; counted as 72 seconds"),),
    smoke_seconds=9,
    parameters=HypergradientTruth,
    sizes={
        "smoke": {"threads": 1, "repeats": 5, "terms_seen": (1, 2, 5, 20), "after": (0, 10, 100), "hidden": 4},
        "desk": {"threads": 1},
    },
    notebook="43_hypergradient_truth.ipynb",
    recipe="hypergradient_truth:compare",
)

LOOK = Experiment(
    name="hypergradient-search",
    title="The architecture gradient along a search",
    section="beyond DARTS Eq. 8",
    claim="eps = 0.01 over the gradient's norm was found to be accurate enough in all experiments",
    cost="not in the paper",
    hours=(
        Hours(40.0, "assumed", "a second-order search, and for every 50th step some 40 gradients; counted as 40", 1.93),
    ),
    smoke_seconds=20,
    parameters=HypergradientSearch,
    sizes={
        "smoke": {**TINY, "epochs": 1, "look_every": 15, "eps_seen": (1e-6, 1e-2, 1.0), "terms_seen": (3,)},
        "desk": {**DESK, "epochs": DESK_EPOCHS, "alpha_lr": DESK_ALPHA_LR},
        "short": {"epochs": 25, "look_every": 500},
    },
    notebook="44_hypergradient_search.ipynb",
    recipe="cifar10_search:search",
    searches=True,
)
