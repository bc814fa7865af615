"""The parameters of the experiments on text; defaults are the papers' (A.1.2, A.2.2, A.2.4)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from repro.genotypes import RecurrentGenotype
from repro.hyperparameters import Trained, refuse_snapshot
from repro.parameters import parameter
from repro.references import Reference, Source
from repro.widths import reference_cells

Corpus = Literal["ptb", "wikitext-2", "english"]


@dataclass(frozen=True)
class LanguageTraining(Trained):
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
class PtbSearch(LanguageTraining):
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


@dataclass(frozen=True)
class CellTraining(LanguageTraining):
    """A recurrent cell trained from scratch (A.2.2)."""

    batch: int = parameter(64, "streams read side by side", low=1)
    hidden_size: int = parameter(850, "width of embedding and hidden state", low=1, formerly="size")
    weight_decay: float = parameter(8e-7, "weight decay; 0: none", low=0)
    dropout_word: float = parameter(0.1, "dropout of whole words; 0: none", low=0, below=1)
    patience: int = parameter(5, "validations without a better one before averaging begins", low=1)


@dataclass(frozen=True)
class PtbEval(CellTraining):
    """DARTS Sect. 3.2, A.2.2, Table 2: a cell trained from scratch on Penn Treebank."""

    CELL: ClassVar = RecurrentGenotype

    genotype: Source = parameter(
        "run:ptb-select", "a published cell, a JSON file, or run:EXPERIMENT for what it found", file="content"
    )
    snapshot: int = parameter(0, "epoch of the search whose cell is trained; 0: its last", low=0, before=0)
    epochs: int = parameter(8000, "most passes over the training text; the paper trains until convergence", low=1)
    weights: str = parameter("", "the authors' checkpoint, tested as it is; empty to train", file="content")

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
class ShortTraining(CellTraining):
    """DARTS Sect. 3.2: cells compared by validation perplexity after a short training."""

    epochs: int = parameter(300, "passes over the training text", low=1)


@dataclass(frozen=True)
class PtbSelect(ShortTraining):
    """DARTS Sect. 3.2: the best of the cells that several searches found."""

    search: Reference = parameter("run:ptb-search", "the search whose cells are compared")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)


@dataclass(frozen=True)
class PtbRandom(ShortTraining):
    """DARTS Sect. 3.2: the best of randomly drawn cells."""

    samples: int = parameter(8, "cells drawn", low=1)
    nodes: int = parameter(8, "intermediate nodes in the cell", low=1)


@dataclass(frozen=True)
class PtbProgress(ShortTraining):
    """DARTS Figure 3, right: the cells of a search at snapshots, each trained briefly."""

    search: Reference = parameter("run:ptb-search", "the search whose cells are trained")
    search_seeds: tuple[int, ...] = parameter((0, 1, 2, 3), "seeds of the searches", low=0)
    snapshots: tuple[int, ...] = parameter((1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50), "epochs of the search", low=1)

    def check(self) -> None:
        """Refuse a corpus on which the width of the published cell is not known."""
        reference_cells(self.corpus)
