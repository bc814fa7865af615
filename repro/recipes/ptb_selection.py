"""Recurrent cells compared after a short training (DARTS Sect. 3.2): selection, random search, Figure 3, right."""

from typing import Any

import torch

from repro import devices
from repro.genotypes import PUBLISHED, RecurrentGenotype
from repro.hyperparameters_language import PtbProgress, PtbRandom, PtbSelect, ShortTraining
from repro.language_search import random_cell
from repro.recipes import selection
from repro.recipes.language_data import load
from repro.recipes.ptb_eval import train_cell
from repro.runs import Run

REFERENCES = {"ENAS": PUBLISHED["ENAS_RNN"]}
MEASURE = "valid_perplexity"


def select(params: PtbSelect, run: Run) -> dict[str, Any]:
    """Return the cell with the lowest validation perplexity among those of several searches."""
    return selection.select(run, params.search, params.search_seeds, judge(params, run), MEASURE)


def draw_randomly(params: PtbRandom, run: Run) -> dict[str, Any]:
    """Return the cell with the lowest validation perplexity among random ones."""
    generator = torch.Generator().manual_seed(devices.mixed_seed(params.seed, "cells"))
    draw = lambda: random_cell(params.nodes, generator)
    return selection.draw_randomly(run, draw, params.samples, judge(params, run), MEASURE)


def follow_progress(params: PtbProgress, run: Run) -> dict[str, Any]:
    """Return the validation perplexity of the ENAS cell; snapshots.json has those of the searches' cells."""
    seeds, snapshots = params.search_seeds, params.snapshots
    return selection.follow_progress(run, params.search, seeds, snapshots, REFERENCES, judge(params, run), MEASURE)


def judge(params: ShortTraining, run: Run) -> selection.Judge:
    """Return what trains a cell briefly and gives its best validation perplexity."""
    corpus, device = load(params, run)

    def valid_perplexity(part: Run, genotype: RecurrentGenotype) -> float:
        devices.seed_everything(params.seed)
        train_cell(params, part, genotype, corpus, device)
        return min(row["best_valid_perplexity"] for row in part.metrics())

    return valid_perplexity
