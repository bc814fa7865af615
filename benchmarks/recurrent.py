"""The recurrent steps (DARTS A.1.2, A.2.2): of a second-order search and of an evaluation.

The plain formulation computes one primitive after another, in each step in time.
"""

from functools import partial

import torch
from torch.nn import functional

from benchmarks.cases import Case, Options, Step, accelerate, replayed
from repro.darts import plain_recurrent
from repro.darts.bilevel import architecture_gradient
from repro.darts.rnn.language_model import Dropout, LanguageModel
from repro.darts.rnn.search import LanguageSearch
from repro.darts.rnn.training import Descent
from repro.spaces.genotypes import PUBLISHED
from repro.training.setup import capturable

SIZES = {  # vocabulary, width, batch, window
    "search": {"tiny": (20, 8, 4, 5), "small": (2000, 64, 32, 20), "paper": (10_000, 300, 256, 35)},
    "evaluation": {"tiny": (20, 8, 4, 5), "small": (2000, 64, 32, 20), "paper": (10_000, 850, 64, 35)},
}
RATES = {"search": Dropout(), "evaluation": Dropout(word=0.1)}
CELL = PUBLISHED["DARTS_V2_RNN"]


class Plain:
    """The same steps on the plain network: its weights under the released names, one primitive after another."""

    def __init__(self, network: LanguageModel, rates: Dropout) -> None:
        values = {"encoder.weight": network.embedding, "decoder.bias": network.bias, "rnns.0._W0": network.first}
        values |= {f"rnns.0._Ws.{i}": weight for i, weight in enumerate(network.maps)}
        self.names = list(values)
        self.weights = [value.detach().clone().requires_grad_() for value in values.values()]
        self.alphas = [alpha.detach().clone().requires_grad_() for alpha in network.alphas]
        self.optimizer = torch.optim.SGD(self.weights, 20.0, weight_decay=5e-7)
        self.alpha_optimizer = torch.optim.Adam(self.alphas, 3e-3) if self.alphas else None
        self.rates = rates

    def masks(self, batch):
        """Dropout drawn as the network draws it, one mask after another."""
        vocabulary, size = self.weights[0].shape
        rates, masks = {**vars(self.rates), "x": self.rates.input}, {}
        for name in ("embedding", "x", "word", "hidden", "output"):
            shape, kept = (vocabulary, 1) if name == "word" else (batch, size), 1 - rates[name]
            masks[name] = None if kept == 1 else self.weights[0].new_empty(shape).bernoulli_(kept) / kept
        return masks

    def forward(self, weights, alphas, window, hidden):
        """Return the loss and the states."""
        tokens, targets = window
        norm = lambda state: functional.batch_norm(state, None, None, training=True)
        named = dict(zip(self.names, weights, strict=True))
        cell = alphas[0] if alphas else CELL
        log_prob, _, states, _ = plain_recurrent.language_model(
            named, cell, tokens, hidden, self.masks(len(hidden)), norm
        )
        return functional.nll_loss(log_prob.flatten(0, 1), targets.flatten()), states

    def search_step(self, train, valid, hidden):
        """A step of alpha, then one of w."""
        losses = [lambda w, a, window=window: self.forward(w, a, window, hidden)[0] for window in (train, valid)]
        options = {"xi": 20.0, "weight_decay": 5e-7, "grad_clip": 0.25}
        gradient = architecture_gradient(2, *losses, self.weights, self.alphas, **options)
        self.alphas[0].grad = gradient[0]
        self.alpha_optimizer.step()
        return self.weight_step(train, hidden)

    def weight_step(self, train, hidden):
        """A step of w."""
        self.optimizer.zero_grad()
        loss, states = self.forward(self.weights, self.alphas, train, hidden)
        (loss + 1e-3 * (states[1:] - states[:-1]).pow(2).mean()).backward(inputs=self.weights)
        torch.nn.utils.clip_grad_norm_(self.weights, 0.25)
        self.optimizer.step()
        return loss.detach()


def make(kind: str, options: Options | None, size: str, device: str) -> Step:
    """Return a step on random words, with all dropouts."""
    vocabulary, width, batch, window = SIZES[kind][size]
    torch.manual_seed(0)
    network = LanguageModel(vocabulary, width, None if kind == "search" else CELL, dropout=RATES[kind]).to(device)
    train, valid = (torch.randint(vocabulary, (2, window, batch), device=device) for _ in range(2))
    hidden, plain, descent = network.initial(batch), Plain(network, RATES[kind]), Descent()
    optimizer = torch.optim.SGD(network.weights(), 20.0, weight_decay=5e-7)
    accelerate(options, network, device)
    if options is None:
        step = plain.weight_step if kind == "evaluation" else partial(plain.search_step, train)
        both = [plain.optimizer, *filter(None, [plain.alpha_optimizer])]
        return Step(partial(step, train if kind == "evaluation" else valid, hidden), None, both)
    if kind == "evaluation":
        step = replayed(options, partial(descent.step, network, optimizer), network, optimizer)
        return Step(lambda: step(train, hidden), network, [optimizer])
    adam, capture = capturable(torch.optim.Adam, network.alphas, lr=3e-3), options.get("capture", "off")
    search = LanguageSearch(network, optimizer, adam, descent, moves_embedding=True, capture=capture)
    return Step(lambda: search.replayed(train, valid, hidden, hidden), network, [optimizer, adam])


WORDS, EPOCHS = 929_589, {"search": 50, "evaluation": 1600}


def protocol(kind: str) -> int:
    """Return the steps of the paper's protocol."""
    _, _, batch, window = SIZES[kind]["paper"]
    return EPOCHS[kind] * -(-WORDS // (batch * window))


EXPERIMENTS = {"search": "ptb-search", "evaluation": "ptb-eval"}
TAKES, PRECISIONS = frozenset({"precision", "capture"}), frozenset({"tf32"})
CASES = {
    f"recurrent {kind}": Case(partial(make, kind), protocol(kind), EXPERIMENTS[kind], {}, TAKES, PRECISIONS)
    for kind in SIZES
}
