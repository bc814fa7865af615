"""From one paper to the other: evolution over the weights of a mixture, and uniform paths through recurrent cells."""

from dataclasses import dataclass

from repro.configs.common import Evolution, Seeded
from repro.configs.language_search import MILD, TINY, TextTraining
from repro.configs.parameters import parameter
from repro.configs.record import NOT_STATED, RECURRENT_CELL, Experiment, Hours
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


@dataclass(frozen=True)
class PtbPaths(TextTraining, Evolution):
    """SPOS on language: uniform paths through recurrent cells, then evolution over the shared weights."""

    judged_words: int = parameter(0, "words of the validation text by which cells are judged; 0: all", low=0)
    epochs: int = parameter(50, "passes over the training text", low=1)
    batch: int = parameter(256, "streams read side by side", low=2)
    hidden_size: int = parameter(300, "width of embedding and hidden state", low=1)
    nodes: int = parameter(8, "intermediate nodes in the cell", low=1)
    weight_decay: float = parameter(5e-7, "weight decay of w; 0: none", low=0)


PTB_PATHS = Experiment(
    name="ptb-paths",
    title="Uniform paths through recurrent cells",
    section="SPOS Sect. 3 on DARTS Sect. 3.1.2",
    claim="not in the papers: SPOS's authors ask for language tasks; can evolution choose recurrent cells?",
    cost="not stated",
    hours=(Hours(6.0, "assumed", f"{NOT_STATED} a search of DARTS, 6 hours", 4.81),),
    smoke_seconds=16,
    parameters=PtbPaths,
    sizes={
        "smoke": {**TINY, **MILD, "nodes": 4, "epochs": 3, "judged_words": 5_000, "generations": 3, "population": 8}
        | {"parents": 3, "mutation": 3, "crossover": 3},
        "desk": {"threads": 1, "hidden_size": 64, "batch": 64, "epochs": 8, "judged_words": 20_000, **CANDIDATES},
        "short": {"epochs": 20},
    },
    notebook="46_ptb_paths.ipynb",
    recipe="ptb_paths:search_paths",
    searches=True,
    gives=RECURRENT_CELL,
)
