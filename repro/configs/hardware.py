"""Hardware in the objective: expected cost with a weight in the loss of DARTS, beside SPOS within hard limits."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs.common import Evolution
from repro.configs.nb201 import DESK, SMALL, CellSearch
from repro.configs.parameters import parameter
from repro.configs.record import NOT_STATED, Experiment, Hours
from repro.configs.references import Reference
from repro.configs.spos_search import CANDIDATES
from repro.errors import UsageError


@dataclass(frozen=True)
class HardwareFront(CellSearch, Evolution):
    """A front of accuracy against cost in NAS-Bench-201's space: a search for each weight, an evolution a limit."""

    IDLE: ClassVar = {**CellSearch.IDLE, "cost": {"multiply-adds": ("rounds", "networks")}}

    cost: Literal["latency", "multiply-adds"] = parameter("latency", "of a cell's network: measured here, or counted")
    cost_weights: tuple[float, ...] = parameter(
        (0.0, 0.01, 0.03, 0.1, 0.3),
        "of the expected cost in the loss, 0: the cheapest cell's, 1: the dearest's",
        low=0,
    )
    cost_limits: tuple[float, ...] = parameter(
        (0.2, 0.4, 0.6, 0.8, 1.0), "limits of evolution, 0: the cheapest cell's cost, 1: the dearest's"
    )
    supernet: Reference = parameter("run:nb201-paths", "the supernet of single paths that evolution searches on")
    rounds: int = parameter(20, "times that each operation and each whole network is measured, in turn", low=2)
    networks: int = parameter(20, "whole networks, drawn at random, that the sums are held against", low=2)

    def check(self) -> None:
        """Refuse several processes, whose latencies would be several."""
        super().check()
        if self.supernet.experiment != "nb201-paths":
            raise UsageError(f"supernet={self.supernet} has no cells of this space: name run:nb201-paths")
        if self.processes > 1:
            raise UsageError(f"processes={self.processes}: a cost is measured in one process; take processes=1")


FRONT = Experiment(
    name="hardware-front",
    title="Hardware in the objective",
    section="beyond DARTS Eq. 3 and SPOS Sect. 3.3",
    claim="SPOS's authors hold that hard limits are kept exactly, where a weighted term in a loss is hard to tune",
    cost="not in the papers",
    hours=(Hours(17.0, "assumed", f"{NOT_STATED} five searches of first order and an evolution, 17 hours", 1.69),),
    smoke_seconds=18,
    parameters=HardwareFront,
    sizes={
        "smoke": {**SMALL, "images": 640, "batch": 32, "epochs": 3, "alpha_lr": 0.1, "rounds": 5, "networks": 8}
        | {"generations": 2, "population": 8, "parents": 3, "mutation": 3, "crossover": 3},
        "desk": {**DESK, "images": 10_000, "epochs": 12, "alpha_lr": 6e-3, **CANDIDATES},
        "short": {"epochs": 25},
    },
    notebook="47_hardware_front.ipynb",
    recipe="hardware_front:draw_front",
    searches=True,
)
