"""Search for recurrent cells on Penn Treebank (DARTS Sect. 3.1.2, A.1.2), and what every experiment on text has."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.configs.common import Replayed, Trained
from repro.configs.parameters import parameter
from repro.configs.record import DAY, RECURRENT_CELL, Experiment, Hours

Corpus = Literal["ptb", "wikitext-2", "english"]


@dataclass(frozen=True)
class TextTraining(Trained):
    """What search and evaluation on text share."""

    corpus: Corpus = parameter(
        "ptb", "ptb, wikitext-2, or english, the documentation that ships with Python", kind="data"
    )
    tokens: int = parameter(0, "words used of each part of the corpus; 0 for all", low=0, kind="data")
    bptt: int = parameter(35, "usual length of a window of truncated back-propagation, in words", low=2)
    lr: float = parameter(20.0, "learning rate of w for a window of the usual length", above=0)
    grad_clip: float = parameter(0.25, "largest gradient norm; 0: any", low=0, formerly="clip")
    tar: float = parameter(
        1e-3, "weight of TAR, the squared difference of successive states; 0: none", low=0, formerly="slowness"
    )
    dropout_embedding: float = parameter(0.2, "variational dropout of the embedding; 0: none", low=0, below=1)
    dropout_input: float = parameter(
        0.75, "variational dropout where the embedding enters the cell; 0: none", low=0, below=1
    )
    dropout_hidden: float = parameter(0.25, "variational dropout of the states in the cell; 0: none", low=0, below=1)
    dropout_output: float = parameter(0.75, "variational dropout before the softmax; 0: none", low=0, below=1)


@dataclass(frozen=True)
class PtbSearch(Replayed, TextTraining):
    """DARTS Sect. 3.1.2, A.1.2: search for recurrent cells."""

    IDLE: ClassVar = {"order": {1: ("eps", "frozen_masks", "moves_embedding"), "exact": ("eps",)}}

    order: Literal[1, 2, "exact"] = parameter(2, "1 sets xi to 0; 2 differentiates by Eq. 8; exact by double backward")
    epochs: int = parameter(50, "passes over the training text", low=1)
    batch: int = parameter(256, "streams read side by side", low=2)
    hidden_size: int = parameter(300, "width of embedding and hidden state", low=1, formerly="size")
    nodes: int = parameter(8, "intermediate nodes in the cell", low=1)
    weight_decay: float = parameter(5e-7, "weight decay of w; 0: none", low=0)
    alpha_lr: float = parameter(3e-3, "Adam's learning rate for alpha; 0: alpha stays", low=0)
    alpha_weight_decay: float = parameter(1e-3, "Adam's weight decay for alpha; 0: none", low=0)
    alpha_init: float = parameter(1e-3, "deviation of alpha's start (0 in the paper, 1e-3 in the released code)", low=0)
    eps: float = parameter(0.01, "step of the finite difference times the gradient's norm (Eq. 8)", low=1e-12)
    frozen_masks: bool = parameter(False, "the same dropout on both sides of the finite difference")
    moves_embedding: bool = parameter(False, "the virtual step moves the embedding too (the released code does not)")


TINY = {"corpus": "english", "threads": 1, "tokens": 20_000, "bptt": 20, "batch": 32, "hidden_size": 64}
MILD = {"lr": 5.0, "dropout_input": 0.2, "dropout_output": 0.2}  # the paper's rate and dropout drown so small a search

SEARCH = Experiment(
    name="ptb-search",
    title="Search for recurrent cells",
    section="DARTS Sect. 3.1.2, A.1.2",
    claim="four searches, without the choice among their cells, took 0.5 (first order) and 1 (second order) GPU days",
    cost="6 hours on a GTX 1080Ti",
    hours=(
        Hours(0.5 * DAY / 4, "derived", "DARTS Table 2: four searches in 0.5 GPU days", 4.81, {"order": 1}),
        Hours(DAY / 4, "published", "DARTS Sect. 3.1.2: 6 hours", 4.81),
    ),
    smoke_seconds=17,
    parameters=PtbSearch,
    sizes={
        "smoke": {**TINY, **MILD, "nodes": 4, "epochs": 2, "alpha_lr": 0.03},
        "desk": {"threads": 1, "hidden_size": 64, "epochs": 3, "alpha_lr": 0.05},  # 312 steps, the paper 5,200
        "short": {"epochs": 20},
    },
    notebook="10_ptb_search.ipynb",
    recipe="language:search",
    searches=True,
    gives=RECURRENT_CELL,
)
