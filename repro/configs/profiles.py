"""One experiment, four sizes: what `repro run --all` runs at each, and what may be said of the numbers.

`paper` is the papers' protocol: the defaults. `short` is a day on one GPU with real data. `desk` tests the claims on
real data in a night on two cores. `smoke` is a first look on data that ships inside dependencies: minutes on a
laptop; its numbers say that the path works, never what the papers found. What a profile changes in the parameters of
an experiment stands in the experiment's record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repro.configs import desk
from repro.configs.nb201 import ANNEALED, FAIR
from repro.configs.record import Changes, Experiment, Planned
from repro.configs.registry import find
from repro.configs.spos_networks import OF_3X3, ON_FOUND
from repro.configs.spos_retrain import (
    BASELINES,
    BITS,
    NEAR_THE_LIMIT,
    REBUILT,
    channels_of,
    found_within,
    within,
    within_latency,
)
from repro.configs.widths import WIDTHS, reference_width
from repro.errors import unknown

FOUR, FIVE, TEN = tuple(range(4)), tuple(range(5)), tuple(range(10))
UNIFORM = ("shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception")


def _channels() -> Iterator[Planned]:
    """Yield what the rows of SPOS's table of channels need, and blocks and channels in one gene beside them."""
    for where in (ON_FOUND, OF_3X3):
        yield "spos-channels", {"supernet": f"run:spos-supernet/blocks={where['blocks']}"}, (0,)
        yield "spos-retrain", {"architecture": channels_of(where), **where}, (0,)
    yield "spos-channels", {}, (0,)
    yield "spos-retrain", {"architecture": "run:spos-channels", "space": "channels"}, (0,)
    yield "spos-retrain", {**NEAR_THE_LIMIT, **OF_3X3}, FIVE
    yield "spos-retrain", {**NEAR_THE_LIMIT, "space": "channels"}, FIVE


def _mobile() -> Iterator[Planned]:
    """Yield what SPOS's Table 5 needs: ten searches on one supernet, and their networks trained beside baselines."""
    yield from (("spos-retrain", {"architecture": name, "space": "mobile"}, (0,)) for name in REBUILT)
    for limit in (limit for name in BASELINES for limit in within(name).values()):
        yield "spos-mobile", limit, (0,)
        yield "spos-retrain", found_within(limit), (0,)


def _mixed_precision() -> Iterator[Planned]:
    """Yield what the rows of SPOS's table of quantised networks need: searches, and retraining beside uniform bits."""
    for depth, limits in BITS.items():
        supernet = f"run:spos-supernet/depth={depth}"
        yield "spos-retrain", {"architecture": "32W32A", "space": "bits", "depth": depth}, (0,)
        for uniform, limit in limits.items():
            yield "spos-bits", {"supernet": supernet, "bitops": limit}, (0,)
            for name in (uniform, f"run:spos-bits/supernet={supernet},bitops={limit}"):
                yield "spos-retrain", {"architecture": name, "space": "bits", "depth": depth}, (0,)


def reference(cell: str, data: str, width: str = "hidden_size") -> dict[str, Any]:
    """Return the changes that train a cell of others in DARTS's own setup, as wide as the table `widths` says."""
    return {"genotype": cell, width: reference_width(cell, data, WIDTHS[data][0])}


def _every_experiment(
    first: tuple[int, ...], second: tuple[int, ...], trained: tuple[int, ...], compared: Sequence[str]
) -> Iterator[Planned]:
    """Yield each experiment at least once, with these seeds of searches of either order and of the cell's trainings.

    compared: the networks of SPOS that are trained from scratch.
    """
    yield "bilevel-toy", {}, ()
    yield "cifar10-search", {"order": 1}, first
    yield "cifar10-search", {}, second
    yield "cifar10-select", {}, (0,)
    yield "cifar10-eval", {}, trained
    yield "cifar10-random", {}, (0,)
    yield "cifar10-joint", {}, (0,)
    yield "cifar10-joint", {"strategy": "simultaneous"}, (0,)
    yield "cifar10-progress", {}, (0,)
    yield "imagenet-eval", {}, (0,)
    yield "cifar10-cost", {}, (0,)
    yield "ptb-search", {}, second
    yield from ((name, {}, (0,)) for name in ("ptb-select", "ptb-eval", "ptb-random", "ptb-progress", "wikitext2-eval"))
    yield from (("spos-supernet", {"space": space}, (0,)) for space in ("blocks", "channels", "bits", "macro"))
    yield from ((name, {}, (0,)) for name in ("spos-blocks", "spos-channels", "spos-bits"))
    yield "spos-channels", {"supernet": f"run:spos-supernet/blocks={ON_FOUND['blocks']}"}, (0,)
    yield from (("spos-retrain", {"architecture": name}, (0,)) for name in compared)
    yield "spos-evolution", {}, (0,)
    yield "spos-correlation", {}, (0,)
    yield "spos-cost", {}, (0,)
    yield "spos-supernet", {"space": "mobile"}, (0,)
    yield "spos-latency", {}, (0,)
    yield "spos-mobile", {}, (0,)
    yield "spos-mobile", within_latency("mb3_5x5"), (0,)
    yield "spos-retrain", found_within({}), (0,)
    yield "nb201-search", {}, first
    yield from ((name, {}, (0,)) for name in ("nb201-paths", "derivation", *CROSSING, *HYPERGRADIENT))


HYPERGRADIENT = ("hypergradient-truth", "hypergradient-search")
CROSSING = ("darts-evolution", "ptb-paths", "hardware-front")
SMOKE = (*_every_experiment((0,), (0, 1), (0, 1), ("run:spos-blocks", "shuffle_3x3", "random")),)
SHORT = (*_every_experiment((0, 1), FOUR, (0,), ("run:spos-blocks", *UNIFORM, "random")),)

PAPER: tuple[Planned, ...] = (
    ("bilevel-toy", {}, ()),
    ("cifar10-search", {"order": 1}, FOUR),
    ("cifar10-search", {}, FOUR),
    ("cifar10-select", {"search": "run:cifar10-search/order=1"}, (0,)),
    ("cifar10-select", {}, (0,)),
    ("cifar10-eval", {"genotype": "run:cifar10-select/search=run:cifar10-search/order=1"}, TEN),
    ("cifar10-eval", {}, TEN),
    ("cifar10-random", {}, (0,)),
    ("cifar10-eval", {"genotype": "run:cifar10-random"}, TEN),
    ("cifar10-eval", reference("NASNET", "cifar10", "channels"), (0,)),
    ("cifar10-eval", reference("AMOEBANET", "cifar10", "channels"), (0,)),
    ("cifar10-joint", {}, FOUR),
    ("cifar10-joint", {"strategy": "simultaneous"}, FOUR),
    ("cifar10-select", {"search": "run:cifar10-joint"}, (0,)),
    ("cifar10-select", {"search": "run:cifar10-joint/strategy=simultaneous"}, (0,)),
    ("cifar10-eval", {"genotype": "run:cifar10-select/search=run:cifar10-joint"}, TEN),
    ("cifar10-eval", {"genotype": "run:cifar10-select/search=run:cifar10-joint/strategy=simultaneous"}, TEN),
    ("cifar10-search", {"cells": 20, "channels": 6}, FOUR),
    ("cifar10-select", {"search": "run:cifar10-search/cells=20,channels=6"}, (0,)),
    ("cifar10-eval", {"genotype": "run:cifar10-select/search=(run:cifar10-search/cells=20,channels=6)"}, TEN),
    ("cifar10-progress", {}, (0,)),
    ("imagenet-eval", {}, (0,)),
    ("cifar10-cost", {}, (0,)),
    ("ptb-search", {"order": 1}, FOUR),
    ("ptb-search", {}, FOUR),
    ("ptb-select", {"search": "run:ptb-search/order=1"}, (0,)),
    ("ptb-select", {}, (0,)),
    ("ptb-eval", {"genotype": "run:ptb-select/search=run:ptb-search/order=1"}, (0,)),
    ("ptb-eval", {}, (0,)),
    ("ptb-random", {}, (0,)),
    ("ptb-eval", {"genotype": "run:ptb-random"}, (0,)),
    ("ptb-eval", reference("ENAS_RNN", "ptb"), (0,)),
    ("ptb-progress", {}, (0,)),
    ("wikitext2-eval", {}, (0,)),
    ("wikitext2-eval", reference("ENAS_RNN", "wikitext-2"), (0,)),
    ("spos-blocks", {}, (0,)),
    ("spos-retrain", {}, (0,)),
    ("spos-retrain", {"winner": "random"}, (0,)),
    *(("spos-retrain", {"architecture": name}, (0,)) for name in UNIFORM),
    ("spos-retrain", {"architecture": "random"}, FIVE),
    ("spos-retrain", {"architecture": "SPOS_RELEASED"}, (0,)),
    *_channels(),
    *_mixed_precision(),
    ("spos-evolution", {}, (0,)),
    ("spos-latency", {}, (0,)),
    *_mobile(),
    ("spos-correlation", {}, (0,)),
    ("spos-cost", {}, (0,)),
    *(("nb201-search", {"order": order}, tuple(range(3))) for order in (1, 2, "exact", "implicit", "unrolled")),
    ("nb201-search", ANNEALED, tuple(range(3))),
    ("nb201-paths", {}, tuple(range(3))),
    ("nb201-paths", {"sampling": "fair", **FAIR["paper"]}, tuple(range(3))),
    *(("derivation", {"search": f"run:nb201-search/seed={seed}"}, (0,)) for seed in range(3)),
    *(("darts-evolution", {"search": f"run:nb201-search/seed={seed}"}, (0,)) for seed in range(3)),
    *(("hardware-front", {"supernet": f"run:nb201-paths/seed={seed}"}, (seed,)) for seed in range(3)),
    *((name, {}, tuple(range(3))) for name in ("ptb-paths", *HYPERGRADIENT)),
)


@dataclass(frozen=True)
class Profile:
    """One size of all experiments.

    says: what its numbers are, on every page that shows them; nothing where they are the papers' protocol's.
    first_look: its data are not the papers', so that its numbers decide no claim and are not published.
    worker: what a run has for itself, GPU or core: its hours are counted.
    """

    name: str
    plan: tuple[Planned, ...]
    says: str = ""
    first_look: bool = False
    worker: str = "GPU"


PROFILES: Mapping[str, Profile] = {
    each.name: each
    for each in (
        Profile(
            "smoke",
            SMOKE,
            "a first look on data that ships inside dependencies; its numbers show that the path works, no more",
            first_look=True,
            worker="core",
        ),
        Profile(
            "desk",
            desk.PLAN,
            "the claims of both papers on real data, at a size for two cores; no number is the paper's protocol's",
            worker="core",
        ),
        Profile("short", SHORT, "trends on real data; its numbers are not made by the paper's protocol"),
        Profile("paper", PAPER),
    )
}


def profile(name: str) -> Profile:
    """Return the profile of that name; UsageError suggests the nearest right one."""
    if name not in [*PROFILES]:  # a list: it may be anything
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]


def changes(name: str, experiment: Experiment) -> Changes:
    """Return what a profile changes in the paper's parameters of `experiment`."""
    return experiment.sizes.get(profile(name).name, {})


def plan(name: str) -> Iterator[tuple[Experiment, dict[str, Any]]]:
    """Yield every run of a profile: the experiment and its changes to the profile's parameters."""
    for experiment, overrides, seeds in profile(name).plan:
        for seeded in [{"seed": seed} for seed in seeds] or [{}]:
            yield find(experiment), {**overrides, **seeded}
