"""Deriving cells of finished searches by performance, with the shared weights (DARTS Sect. 5; Wang et al., 2021)."""

from dataclasses import dataclass

from repro.configs.common import Trained
from repro.configs.parameters import parameter
from repro.configs.record import NOT_STATED, Experiment, Hours
from repro.configs.references import Reference


@dataclass(frozen=True)
class Derivation(Trained):
    """A finished search, each edge's operation decided by how much worse the network is without it."""

    search: Reference = parameter(
        "run:nb201-search", "the finished search: nb201-search or cifar10-search, as the run needs it"
    )
    judged_images: int = parameter(0, "images that train alpha by which the network is judged; 0: all", low=0)
    tune_steps: int = parameter(390, "steps of w on batches of the search between two decisions; 0: none", low=0)
    lr: float = parameter(0.01, "SGD's learning rate in them", above=0)


DERIVATION = Experiment(
    name="derivation",
    title="Cells derived by performance",
    section="DARTS Sect. 5, left as future work",
    claim="not in the papers: does an operation's worth show in the loss without it, and not in its alpha?",
    cost="not stated",
    hours=(Hours(1.0, "assumed", f"{NOT_STATED} one hour", 1.69),),
    smoke_seconds=7,
    parameters=Derivation,
    sizes={
        "smoke": {"threads": 1, "tune_steps": 5},
        "desk": {"threads": 1, "tune_steps": 79, "judged_images": 2_000},
    },
    notebook="42_derivation.ipynb",
    recipe="derivation:derive",
)
