"""SPOS on language: a supernet of recurrent cells, trained along uniform paths, and evolution over its weights."""

from typing import Any

from repro.beyond.recurrent_paths import PathDescent, PerplexityJudge, recurrent_space
from repro.configs.crossing import PtbPaths
from repro.darts.rnn.language_model import LanguageModel
from repro.darts.rnn.training import CellTrainer, descend, retried, streams
from repro.darts.rnn.windows import Lengths, perplexity, search_length
from repro.data.seeds import mixed_seed
from repro.experiments.language import dropout, load
from repro.experiments.spos_search import explore_both, settings_of
from repro.runs.run import Run
from repro.spaces.genotypes import to_json
from repro.spaces.space import PathSampler
from repro.training.fit import Epoch, fit


def search_paths(params: PtbPaths, run: Run) -> dict[str, Any]:
    """Train a supernet of cells; return the best cell by evolution, and both searches' perplexities as inherited.

    metrics.jsonl of the parts `evolution` and `random` hold every candidate, by its mean log-likelihood of a word.
    """
    settings, (corpus, device) = settings_of(params), load(params, run)
    space = recurrent_space(params.nodes)
    sampler = PathSampler(space, mixed_seed(params.seed, "paths"))
    start = space.genotype((0,) * len(space.sizes))
    network = LanguageModel(corpus.vocabulary_size, params.hidden_size, start, dropout=dropout(params)).to(device)
    descent = PathDescent(params.bptt, params.grad_clip, params.tar, sampler=sampler)
    training = CellTrainer(network, descent, params.lr, params.weight_decay)
    judged = corpus.valid[: params.judged_words or None]
    train, valid = (streams(network, part, params.batch) for part in (corpus.train, judged))
    lengths = Lengths(search_length, mixed_seed(params.seed, "windows"))

    def train_once(epoch: Epoch) -> dict[str, Any]:
        once = lambda: {"train_perplexity": perplexity(descend(training, train, lengths, epoch))}
        return retried(training, training.lr, epoch, once)

    fit(run, {"training": training, "lengths": lengths, "sampler": sampler}, params.epochs, train_once)
    judge = PerplexityJudge(space, network, valid, params.bptt)
    seed = mixed_seed(params.seed, "evolution")
    found = explore_both(run, space, judge, seed, settings, (), {}, "log_likelihood")
    best = {name: state.best(1)[0] for name, state in found.items()}
    cell = to_json(space.genotype(best["evolution"]))
    run.save("genotype.json", cell)
    told = {name: perplexity(-state.scores[best[name]]) for name, state in found.items()}
    return {
        "valid_perplexity": told["evolution"],
        "random_valid_perplexity": told["random"],
        "genotype": cell,
        "candidates": len(found["evolution"].scores),
        "epochs": params.epochs,
    }
