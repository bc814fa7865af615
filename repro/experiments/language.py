"""The experiments on text: the search for recurrent cells, cells in full training, cells compared after a short one.

DARTS Sect. 3.1.2, A.1.2; A.2.2, A.2.4, Tables 2 and 4; Sect. 3.2, Figure 3, right.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from repro.configs.language_cells import (
    PtbEval,
    PtbProgress,
    PtbRandom,
    PtbSelect,
    RecurrentTraining,
    ShortRecurrentTraining,
)
from repro.configs.language_search import PtbSearch, TextTraining
from repro.darts.discretise import random_recurrent_genotype
from repro.darts.rnn.language_model import Dropout, LanguageModel
from repro.darts.rnn.search import LanguageSearch, architecture, search_epoch
from repro.darts.rnn.training import CellTrainer, Descent, evaluate, streams, train_epoch
from repro.darts.rnn.windows import Lengths, Window, perplexity, search_length, training_length, window
from repro.data.seeds import mixed_seed
from repro.data.text import Corpus, load_corpus
from repro.errors import ReproError
from repro.experiments import selection
from repro.experiments.found import find_genotype
from repro.originals.rnn import load_model
from repro.progress import note
from repro.runs.run import Run
from repro.spaces.genotypes import RecurrentGenotype, to_json
from repro.training import checkpoints, devices
from repro.training.fit import Epoch, fit
from repro.training.setup import capturable, start

MEASURE = "valid_perplexity"
VALID_BATCH, TEST_BATCH = 10, 1  # streams, as in the released code


def load(params: TextTraining, run: Run) -> tuple[Corpus, torch.device]:
    """Seed everything and return the corpus, cut to `params.tokens` words a part (0: all), and the run's device."""
    device = start(params, run)
    corpus = load_corpus(params.corpus)
    run.record(data=corpus.checksums)
    return corpus.head(params.tokens), device


def dropout(params: TextTraining) -> Dropout:
    """Return the rates of dropout; a search drops no whole words."""
    rates = (params.dropout_embedding, params.dropout_input, params.dropout_hidden, params.dropout_output)
    return Dropout(getattr(params, "dropout_word", 0.0), *rates)


def search(params: PtbSearch, run: Run) -> dict[str, Any]:
    """Search for a cell; return it with the last validation perplexity of the search network."""
    corpus, device = load(params, run)
    searcher = build_search(params, corpus, device)
    network = searcher.network
    train, valid = (streams(network, part, params.batch) for part in (corpus.train, corpus.valid))
    lengths = Lengths(search_length, mixed_seed(params.seed, "windows"))

    def search_once(epoch: Epoch) -> dict[str, Any]:
        return {**search_epoch(searcher, train, valid, lengths, epoch), **architecture(network)}

    fit(run, {"search": searcher, "lengths": lengths}, params.epochs, search_once)
    last = run.metrics()[-1]
    run.save("genotype.json", last["genotype"])
    return {"valid_perplexity": last["valid_perplexity"], "genotype": last["genotype"], "epochs": params.epochs}


def build_search(params: PtbSearch, corpus: Corpus, device: torch.device) -> LanguageSearch:
    """Return the search on `corpus`, at its start."""
    network = LanguageModel(
        corpus.vocabulary_size,
        params.hidden_size,
        nodes=params.nodes,
        dropout=dropout(params),
        alpha_init=params.alpha_init,
    ).to(device)
    return LanguageSearch(
        network,
        torch.optim.SGD(network.weights(), params.lr, weight_decay=params.weight_decay),
        capturable(torch.optim.Adam, network.alphas, lr=params.alpha_lr, weight_decay=params.alpha_weight_decay),
        Descent(params.bptt, params.grad_clip, params.tar),
        params.order,
        params.eps,
        params.frozen_masks,
        params.moves_embedding,
        params.capture,
    )


def one_step(params: PtbSearch) -> tuple[LanguageSearch, Window, Window, Tensor]:
    """Return the search at its start, without dropout, the first window of either text, and a hidden state of zeros.

    For one step by hand. Where the text is not, as it need not be to read a finished run, English stands in for it.
    """
    device = devices.pick(params.device, params.threads)
    devices.seed_everything(params.seed)
    try:
        corpus = load_corpus(params.corpus)
    except ReproError as error:
        note(f"english in place of {params.corpus}: {error}")
        corpus = load_corpus("english")
    corpus = corpus.head(params.tokens)
    search = build_search(params, corpus, device)
    search.network.eval().norm.train()
    windows = (
        window(streams(search.network, part, params.batch), 0, params.bptt) for part in (corpus.train, corpus.valid)
    )
    return search, *windows, search.network.initial(params.batch)


def evaluate_cell(params: PtbEval, run: Run) -> dict[str, Any]:
    """Train a cell from scratch, take the weights of the best validation and return both perplexities."""
    genotype = find_genotype(params.genotype, run.profile, RecurrentGenotype, params.snapshot)
    run.keep("genotype.json", to_json(genotype))
    corpus, device = load(params, run)
    if params.weights:
        network, facts = load_weights(params, genotype, corpus).to(device), {}
    else:
        network, facts = train_cell(params, run, genotype, corpus, device)
    valid, test = streams(network, corpus.valid, VALID_BATCH), streams(network, corpus.test, TEST_BATCH)
    return {
        "valid_perplexity": perplexity(evaluate(network, valid, params.bptt)),
        "test_perplexity": perplexity(evaluate(network, test, params.bptt)),
        "parameters_millions": sum(weight.numel() for weight in network.weights()) / 1e6,
        "epochs": params.epochs,
        **facts,
        "genotype": to_json(genotype),
    }


def train_cell(
    params: RecurrentTraining, run: Run, genotype: RecurrentGenotype, corpus: Corpus, device: torch.device
) -> tuple[LanguageModel, dict[str, Any]]:
    """Train a cell in `run`; return it with its best weights, and when averaging began and validation was best."""
    network = LanguageModel(corpus.vocabulary_size, params.hidden_size, genotype, dropout=dropout(params)).to(device)
    descent = Descent(params.bptt, params.grad_clip, params.tar)
    training = CellTrainer(network, descent, params.lr, params.weight_decay, params.capture, params.patience)
    train, valid = streams(network, corpus.train, params.batch), streams(network, corpus.valid, VALID_BATCH)
    lengths = Lengths(training_length, mixed_seed(params.seed, "windows"))
    train_once = lambda epoch: train_epoch(training, train, valid, lengths, epoch)
    fit(run, {"training": training, "lengths": lengths}, params.epochs, train_once)
    training.load_best()
    return network, {"averaging_began": training.trigger, "best_epoch": training.best["epoch"]}


def load_weights(params: PtbEval, genotype: RecurrentGenotype, corpus: Corpus) -> LanguageModel:
    """Return the network of a run, with the weights of its best validation, or of the authors' checkpoint."""
    state = checkpoints.of_run(params.weights)
    if state is None:
        return load_model(params.weights, corpus.vocabulary_size, genotype)
    training = CellTrainer(LanguageModel(corpus.vocabulary_size, params.hidden_size, genotype), Descent())
    with checkpoints.fitting(params.weights):
        training.load_state_dict(state["training"])
        training.load_best()
    return training.network


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


def judge(params: ShortRecurrentTraining, corpus: Corpus, device: torch.device) -> selection.CellJudge:
    """Return what trains a cell briefly and gives its best validation perplexity."""

    def valid_perplexity(part: Run, genotype: RecurrentGenotype) -> float:
        devices.seed_everything(params.seed)
        train_cell(params, part, genotype, corpus, device)
        return min(row["best_valid_perplexity"] for row in part.metrics())

    return valid_perplexity
