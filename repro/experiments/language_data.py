"""What every experiment on text starts from: seeds, device, corpus, dropout."""

import torch

from repro.configs.language_search import LanguageTraining
from repro.darts.rnn.language_model import Dropout
from repro.data.text import Corpus, load_corpus
from repro.runs.run import Run
from repro.training.setup import start


def load(params: LanguageTraining, run: Run) -> tuple[Corpus, torch.device]:
    """Seed everything and return the corpus, cut to `params.tokens` words a part (0: all), and the run's device."""
    device = start(params, run)
    corpus = load_corpus(params.corpus)
    run.record(data=corpus.checksums)
    return corpus.head(params.tokens), device


def dropout(params: LanguageTraining) -> Dropout:
    """Return the rates of dropout; whole words are dropped in evaluation only."""
    rates = (params.dropout_embedding, params.dropout_input, params.dropout_hidden, params.dropout_output)
    return Dropout(getattr(params, "dropout_word", 0.0), *rates)
