"""The experiment of DARTS Figure 2: two numbers in place of alpha and w."""

from dataclasses import dataclass
from typing import Literal

from repro.configs.parameters import Parameters, parameter
from repro.configs.record import Experiment, Hours


@dataclass(frozen=True)
class BilevelToy(Parameters):
    """Figure 2: gradient descent on alpha through one virtual step of w."""

    xi: tuple[float, ...] = parameter(
        (0.0, 0.01, 0.1, 0.5, 1.0), "rates of the virtual step, one run each; 0: no step", low=0
    )
    order: Literal[1, 2, "exact"] = parameter(
        "exact", "1 sets xi to 0; 2 differentiates by Eq. 8; exact by double backward"
    )
    alpha: float = parameter(2.0, "start of alpha")
    weight: float = parameter(-2.0, "start of w")
    alpha_lr: float = parameter(0.1, "learning rate of alpha", above=0)
    weight_lr: float = parameter(0.1, "learning rate of w", above=0)
    steps: int = parameter(300, "alternating steps", low=1)


TOY = Experiment(
    name="bilevel-toy",
    title="Figure 2: the bilevel problem in two numbers",
    section="DARTS Sect. 2.3, Figure 2",
    claim="with a suitable xi, alpha and w converge to a better local optimum than with xi = 0",
    cost="seconds",
    hours=(Hours(0.01, "assumed", "seconds; counted as 36"),),
    smoke_seconds=4,
    parameters=BilevelToy,
    notebook="00_bilevel_toy.ipynb",
    recipe="toy:descend",
)
