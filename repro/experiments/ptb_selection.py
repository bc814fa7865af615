"""Recurrent cells compared after a short training (DARTS Sect. 3.2): selection, random search, Figure 3, right."""

from dataclasses import replace
from typing import Any

import torch

from repro.configs.language_cells import PtbProgress, PtbRandom, PtbSelect, ShortTraining
from repro.darts.discretise import random_recurrent_genotype
from repro.data.seeds import mixed_seed
from repro.data.text import Corpus
from repro.experiments import selection
from repro.experiments.language_data import load
from repro.experiments.ptb_eval import train_cell
from repro.runs.run import Run
from repro.spaces.genotypes import RecurrentGenotype
from repro.training import devices

MEASURE = "valid_perplexity"


def select(params: PtbSelect, run: Run) -> dict[str, Any]:
    """Return the cell with the lowest validation perplexity among those of several searches."""
    return selection.select(run, params.search, params.search_seeds, judge(params, *load(params, run)), MEASURE)


def draw_randomly(params: PtbRandom, run: Run) -> dict[str, Any]:
    """Return the cell with the lowest validation perplexity among random ones."""
    generator = torch.Generator().manual_seed(mixed_seed(params.seed, "cells"))
    draw = lambda: random_recurrent_genotype(generator, params.nodes)
    return selection.draw_randomly(run, draw, params.samples, judge(params, *load(params, run)), MEASURE)


def follow_progress(params: PtbProgress, run: Run) -> dict[str, Any]:
    """Return the validation perplexity of the ENAS cell; snapshots.json has those of the searches' cells."""
    corpus, device = load(params, run)
    judge_of = lambda hidden_size: judge(replace(params, hidden_size=hidden_size), corpus, device)
    own = judge_of(params.hidden_size)
    return {
        **selection.follow_progress(run, params.search, params.search_seeds, params.snapshots, own, MEASURE),
        **selection.judge_references(run, params.corpus, params.hidden_size, judge_of, MEASURE),
    }


def judge(params: ShortTraining, corpus: Corpus, device: torch.device) -> selection.Judge:
    """Return what trains a cell briefly and gives its best validation perplexity."""

    def valid_perplexity(part: Run, genotype: RecurrentGenotype) -> float:
        devices.seed_everything(params.seed)
        train_cell(params, part, genotype, corpus, device)
        return min(row["best_valid_perplexity"] for row in part.metrics())

    return valid_perplexity
