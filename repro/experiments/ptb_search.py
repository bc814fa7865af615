"""The search for recurrent cells on Penn Treebank (DARTS Sect. 3.1.2, A.1.2)."""

from typing import Any

import torch

from repro.configs.language_search import PtbSearch
from repro.darts.rnn.language_model import LanguageModel
from repro.darts.rnn.search import LanguageSearch, architecture, search_epoch
from repro.darts.rnn.training import Descent, streams
from repro.darts.rnn.windows import Lengths, search_length
from repro.data.seeds import mixed_seed
from repro.experiments.language_data import dropout, load
from repro.runs.run import Run
from repro.training.fit import Epoch, fit


def search(params: PtbSearch, run: Run) -> dict[str, Any]:
    """Search for a cell; return it with the last validation perplexity of the search network."""
    corpus, device = load(params, run)
    network = LanguageModel(
        corpus.vocabulary_size,
        params.hidden_size,
        nodes=params.nodes,
        dropout=dropout(params),
        alpha_init=params.alpha_init,
    ).to(device)
    searcher = LanguageSearch(
        network,
        torch.optim.SGD(network.weights(), params.lr, weight_decay=params.weight_decay),
        torch.optim.Adam(network.alphas, params.alpha_lr, weight_decay=params.alpha_weight_decay),
        Descent(params.bptt, params.grad_clip, params.tar),
        params.order,
        params.eps,
        params.frozen_masks,
        params.moves_embedding,
    )
    train, valid = (streams(network, part, params.batch) for part in (corpus.train, corpus.valid))
    lengths = Lengths(search_length, mixed_seed(params.seed, "windows"))

    def search_once(epoch: Epoch) -> dict[str, Any]:
        return {**search_epoch(searcher, train, valid, lengths, epoch), **architecture(network)}

    fit(run, {"search": searcher, "lengths": lengths}, params.epochs, search_once)
    last = run.metrics()[-1]
    run.save("genotype.json", last["genotype"])
    return {"valid_perplexity": last["valid_perplexity"], "genotype": last["genotype"], "epochs": params.epochs}
