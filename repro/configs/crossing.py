"""From one paper to the other: SPOS's evolution over the weights that a search of DARTS has trained as a mixture."""

from dataclasses import dataclass

from repro.configs.common import Evolution, Seeded
from repro.configs.parameters import parameter
from repro.configs.record import NOT_STATED, Experiment, Hours
from repro.configs.references import Reference
from repro.configs.spos_search import CANDIDATES


@dataclass(frozen=True)
class DartsEvolution(Seeded, Evolution):
    """Evolution over the cells of a finished search in NAS-Bench-201's space, beside its largest alphas."""

    search: Reference = parameter("run:nb201-search", "the finished search whose weights cells inherit")
    judged_images: int = parameter(5_000, "images that trained alpha by which cells are judged; 0: all", low=0)
    bn_images: int = parameter(20_000, "images that trained w which give a cell its BatchNorm statistics", low=2)
    ranked: int = parameter(1_000, "random cells whose ranking is held against the table", low=2)


DARTS_EVOLUTION = Experiment(
    name="darts-evolution",
    title="Evolution over the weights of DARTS",
    section="SPOS Algorithm 1 on DARTS Sect. 2",
    claim="not in the papers: do weights trained as a mixture rank cells, and is alpha's cell their best?",
    cost="not stated",
    hours=(Hours(1.0, "assumed", f"{NOT_STATED} one hour", 0.75),),
    smoke_seconds=7,
    parameters=DartsEvolution,
    sizes={
        "smoke": {"threads": 1, "bn_images": 256, "generations": 3, "population": 8, "parents": 3, "mutation": 3}
        | {"crossover": 3, "ranked": 24},
        "desk": {"threads": 1, "judged_images": 2_000, "bn_images": 1_280, **CANDIDATES},
    },
    notebook="45_darts_evolution.ipynb",
    recipe="darts_evolution:evolve",
)
