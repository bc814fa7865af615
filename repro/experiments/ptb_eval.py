"""A recurrent cell trained from scratch, on Penn Treebank or WikiText-2 (DARTS A.2.2, A.2.4, Tables 2 and 4)."""

from typing import Any

import torch

from repro.configs.language_cells import CellTraining, PtbEval
from repro.darts.rnn.language_model import LanguageModel
from repro.darts.rnn.training import CellTrainer, Descent, evaluate, streams, train_epoch
from repro.darts.rnn.windows import Lengths, perplexity, training_length
from repro.data.seeds import mixed_seed
from repro.data.text import Corpus
from repro.experiments.found import find_genotype
from repro.experiments.language_data import dropout, load
from repro.originals.rnn import load_model
from repro.runs.run import Run
from repro.spaces.genotypes import RecurrentGenotype, to_json
from repro.training import checkpoints
from repro.training.fit import fit

VALID_BATCH, TEST_BATCH = 10, 1  # streams, as in the released code


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
    params: CellTraining, run: Run, genotype: RecurrentGenotype, corpus: Corpus, device: torch.device
) -> tuple[LanguageModel, dict[str, Any]]:
    """Train a cell in `run`; return it with its best weights, and when averaging began and validation was best."""
    network = LanguageModel(corpus.vocabulary_size, params.hidden_size, genotype, dropout=dropout(params)).to(device)
    descent = Descent(params.bptt, params.grad_clip, params.tar)
    training = CellTrainer(network, descent, params.lr, params.weight_decay, params.patience)
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
