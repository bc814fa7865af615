"""Recurrent cells trained on text, briefly to choose among them, or in full (DARTS Sect. 3.2, A.2.2, A.2.4)."""

from dataclasses import dataclass
from typing import ClassVar

from repro.configs.common import GENOTYPE, WEIGHTS, Replayed, refuse_snapshot
from repro.configs.language_search import TINY, Corpus, TextTraining
from repro.configs.parameters import parameter
from repro.configs.record import DAY, NOT_STATED, RECURRENT_CELL, SIZE, Experiment, Hours, Row, best_of
from repro.configs.references import Reference, Source
from repro.configs.widths import reference_cells
from repro.spaces.genotypes import RecurrentGenotype


@dataclass(frozen=True)
class RecurrentTraining(Replayed, TextTraining):
    """A recurrent cell trained from scratch (A.2.2)."""

    batch: int = parameter(64, "streams read side by side", low=1)
    hidden_size: int = parameter(850, "width of embedding and hidden state", low=1, formerly="size")
    weight_decay: float = parameter(8e-7, "weight decay; 0: none", low=0)
    dropout_word: float = parameter(0.1, "dropout of whole words; 0: none", low=0, below=1)
    patience: int = parameter(5, "validations without a better one before averaging begins", low=1)


@dataclass(frozen=True)
class PtbEval(RecurrentTraining):
    """DARTS Sect. 3.2, A.2.2, Table 2: a cell trained from scratch on Penn Treebank."""

    CELL: ClassVar = RecurrentGenotype

    genotype: Source = parameter("run:ptb-select", GENOTYPE, file="content")
    snapshot: int = parameter(0, "epoch of the search whose cell is trained; 0: its last", low=0, before=0)
    epochs: int = parameter(8000, "most passes over the training text; the paper trains until convergence", low=1)
    weights: str = parameter("", WEIGHTS, file="content")

    def check(self) -> None:
        """Refuse a snapshot of what is no search."""
        refuse_snapshot(self.snapshot, self.genotype)


@dataclass(frozen=True)
class WikiText2Eval(PtbEval):
    """DARTS A.2.4, Table 4: a cell found on Penn Treebank, trained on WikiText-2."""

    corpus: Corpus = parameter(
        "wikitext-2", "wikitext-2, ptb, or english, the documentation that ships with Python", kind="data"
    )
    hidden_size: int = parameter(700, "width of embedding and hidden state", low=1, formerly="size")
    dropout_hidden: float = parameter(0.15, "variational dropout of the states in the cell; 0: none", low=0, below=1)
    weight_decay: float = parameter(5e-7, "weight decay; 0: none", low=0)


@dataclass(frozen=True)
class ShortRecurrentTraining(RecurrentTraining):
    """DARTS Sect. 3.2: cells compared by validation perplexity after a short training."""

    epochs: int = parameter(300, "passes over the training text", low=1)


@dataclass(frozen=True)
class PtbSelect(ShortRecurrentTraining):
    """DARTS Sect. 3.2: the best of the cells that several searches found."""

    search: Reference = parameter("run:ptb-search", "the search whose cells are compared")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)


@dataclass(frozen=True)
class PtbRandom(ShortRecurrentTraining):
    """DARTS Sect. 3.2: the best of randomly drawn cells."""

    samples: int = parameter(8, "cells drawn", low=1)
    nodes: int = parameter(8, "intermediate nodes in the cell", low=1)


@dataclass(frozen=True)
class PtbProgress(ShortRecurrentTraining):
    """DARTS Figure 3, right: the cells of a search at snapshots, each trained briefly."""

    search: Reference = parameter("run:ptb-search", "the search whose cells are trained")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)
    snapshots: tuple[int, ...] = parameter((1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50), "epochs of the search", low=1)

    def check(self) -> None:
        """Refuse a corpus on which the width of the published cell is not known."""
        reference_cells(self.corpus)


DESK = {"threads": 1, "hidden_size": 100}
BRIEF = {**TINY, "batch": 8, "epochs": 1}  # with fewer streams, steps enough to beat the frequencies of words
MEASURES = {"test_perplexity": "test_perplexity", "valid_perplexity": "valid_perplexity", **SIZE}

SELECT = Experiment(
    name="ptb-select",
    title="The best of several searches for recurrent cells",
    section="DARTS Sect. 3.2",
    claim="one of four cells, chosen by validation perplexity after 300 epochs",
    cost="1 GPU day",
    hours=(Hours(DAY, "published", "DARTS Table 2: 1 GPU day", 23.0),),
    smoke_seconds=7,
    parameters=PtbSelect,
    sizes={
        "smoke": {**BRIEF, "search_seeds": (0, 1)},
        "desk": {**DESK, "epochs": 4},
        "short": {"epochs": 20},
    },
    notebook="11_ptb_select.ipynb",
    recipe="language:select",
    gives=RECURRENT_CELL,
)

EVAL = Experiment(
    name="ptb-eval",
    title="The found recurrent cell trained from scratch",
    section="DARTS Sect. 3.2, A.2.2, Table 2",
    claim="test perplexity 57.6 (first order), 55.7 (second order), 23M parameters",
    cost="3 GPU days on a GTX 1080Ti",
    hours=(Hours(3 * DAY, "published", "DARTS Table 2: 3 GPU days", 23.0),),
    smoke_seconds=10,
    parameters=PtbEval,
    sizes={
        "smoke": {**TINY, "epochs": 5, "patience": 1},
        "desk": {**DESK, "epochs": 8, "genotype": "DARTS_V2_RNN"},
        "short": {"epochs": 200},
    },
    measures=MEASURES,
    rows={
        "darts_table2_ptb": {
            "enas-their-setup": Row({"genotype": "ENAS_RNN"}, "hidden_size"),
            "random": Row({"genotype": "run:ptb-random"}),
            "darts-1st": Row(best_of("run:ptb-search/order=1", "ptb")),
            "darts-2nd": Row(),
        }
    },
    notebook="12_ptb_eval.ipynb",
    recipe="language:evaluate_cell",
    gives=RECURRENT_CELL,
)

RANDOM = Experiment(
    name="ptb-random",
    title="The best of random recurrent cells",
    section="DARTS Sect. 3.2, Table 2",
    claim="test perplexity 59.4: the best of 8 random cells, chosen as the searched cells are",
    cost="2 GPU days",
    hours=(Hours(2 * DAY, "published", "DARTS Table 2: 2 GPU days", 23.0),),
    smoke_seconds=7,
    parameters=PtbRandom,
    sizes={
        "smoke": {**BRIEF, "nodes": 4, "samples": 2},
        "desk": {**DESK, "epochs": 4, "samples": 4},
        "short": {"epochs": 20, "samples": 4},
    },
    notebook="13_ptb_random.ipynb",
    recipe="language:draw_randomly",
    searches=True,
    gives=RECURRENT_CELL,
)

PROGRESS = Experiment(
    name="ptb-progress",
    title="Figure 3, right: how the recurrent cells get better as the search goes on",
    section="DARTS Sect. 3.2, Figure 3",
    claim="the cells improve over the search and come close to the ENAS cell's perplexity",
    cost="a short training for every snapshot of four searches",
    hours=(Hours(11 * DAY, "derived", "44 trainings like the four of ptb-select's GPU day", 23.0),),
    smoke_seconds=10,
    parameters=PtbProgress,
    sizes={
        "smoke": {**BRIEF, "search_seeds": (0, 1), "snapshots": (1, 2)},
        "desk": {**DESK, "epochs": 4, "search_seeds": (0, 1), "snapshots": (1, 2, 3)},
        "short": {"epochs": 10, "search_seeds": (0, 1), "snapshots": (1, 5, 10, 15, 20)},
    },
    notebook="14_ptb_progress.ipynb",
    recipe="language:follow_progress",
)

WIKITEXT2 = Experiment(
    name="wikitext2-eval",
    title="The found recurrent cell trained on another text",
    section="DARTS A.2.4, Table 4",
    claim="test perplexity 69.6, 33M parameters",
    cost="not stated",
    hours=(Hours(3 * DAY, "assumed", f"{NOT_STATED} ptb-eval", 33.0),),
    smoke_seconds=9,
    parameters=WikiText2Eval,
    sizes={
        "smoke": {**TINY, "epochs": 3, "patience": 1},
        "desk": {**DESK, "epochs": 3, "genotype": "DARTS_V2_RNN"},
        "short": {"epochs": 50},
    },
    measures=MEASURES,
    rows={
        "darts_table4_wikitext2": {
            "enas-their-setup": Row({"genotype": "ENAS_RNN"}, "hidden_size"),
            "darts": Row(),
        }
    },
    notebook="15_wikitext2_eval.ipynb",
    recipe="language:evaluate_cell",
    gives=RECURRENT_CELL,
)
