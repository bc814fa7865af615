"""The recurrent networks against reference files: evaluation (DARTS Sect. 3.2) and search (Sect. 2.3, 3.1.2, A.1.2)."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from repro.darts.rnn.language_model import Dropout, LanguageModel
from repro.darts.rnn.search import LanguageSearch
from repro.darts.rnn.training import Descent
from repro.originals.rnn import from_released
from repro.originals.vectors import FINITE_DIFFERENCE, Archive, Finding, compare, entry, released_weights
from repro.spaces.genotypes import from_json


def check(archive: Archive) -> Iterator[Finding]:
    """Compare a search or an evaluation network: its outputs, its gradients, and both architecture gradients."""
    return _search(archive, entry(archive, "config")) if "alphas" in archive else _evaluation(archive)


def _evaluation(archive: Archive) -> Iterator[Finding]:
    network = _network(archive, from_json(entry(archive, "genotype"))).eval()
    tokens, targets, hidden = (torch.as_tensor(archive[name]) for name in ("x", "y", "hidden"))
    output = network(tokens, targets, hidden[0])
    output.loss.backward()
    yield compare(archive, "log_prob", network.log_prob(tokens, hidden[0]))
    yield compare(archive, "hidden_next", output.hidden[None])
    yield compare(archive, "loss", output.loss)
    yield compare(archive, "grad_norms", _norms(network, archive))


def _search(archive: Archive, config: Mapping[str, Any]) -> Iterator[Finding]:
    network = _network(archive, None, nodes=config["steps"])
    train, valid = ([torch.as_tensor(archive[f"{kind}_{part}"]) for kind in "xy"] for part in ("train", "valid"))
    hidden, hidden_valid = (torch.as_tensor(archive[f"hidden_{part}"])[0] for part in ("train", "valid"))
    yield compare(archive, "log_prob_eval", network.eval().log_prob(train[0], hidden))

    weights = torch.optim.SGD(network.weights(), config["eta"], weight_decay=config["weight_decay"])
    alphas = torch.optim.Adam(network.alphas)
    search = LanguageSearch(network.train(), weights, alphas, Descent(grad_clip=config["clip"]), order=1)
    yield compare(archive, "first_order", search.gradient(train, valid, hidden, hidden_valid)[0][0])
    search.order = 2
    gradient = search.gradient(train, valid, hidden, hidden_valid)[0][0]
    yield compare(archive, "second_order", gradient, FINITE_DIFFERENCE)

    output = network(*train, hidden)
    output.loss.backward()
    yield compare(archive, "log_prob_train", network.log_prob(train[0], hidden))
    yield compare(archive, "hidden_next_train", output.hidden[None])
    yield compare(archive, "loss_train", output.loss)
    yield compare(archive, "grad_alphas", network.alpha.grad)
    yield compare(archive, "grad_norms", _norms(network, archive))


def _network(archive: Archive, genotype: Any, **options: int) -> LanguageModel:
    state = released_weights(archive)
    vocabulary_size, size = state["encoder.weight"].shape
    network = LanguageModel(vocabulary_size, size, genotype, dropout=Dropout(0, 0, 0, 0, 0), **options).double()
    alphas = {"alpha": torch.as_tensor(archive["alphas"])} if "alphas" in archive else {}
    network.load_state_dict({**network.state_dict(), **from_released(state), **alphas})
    return network


def _norms(network: LanguageModel, archive: Archive) -> Tensor:
    """Return the norm of each gradient, in the order of the archive's released names."""
    gradients = {"encoder.weight": network.embedding.grad, "decoder.bias": network.bias.grad}
    gradients |= {"rnns.0._W0": network.first.grad}
    gradients |= {f"rnns.0._Ws.{i}": gradient for i, gradient in enumerate(network.maps.grad)}
    return torch.stack([gradients[str(name)].norm() for name in archive["param_names"]])
