"""Seconds a step of this package's recurrent networks takes, against the plain per-primitive formulation.

    python benchmarks/recurrent_step.py [--sizes small paper] [--rounds 5] [--window T] [--device cpu] [--json FILE]

One search step is a second-order step of alpha and a step of w; one evaluation step is a step of w. Both formulations
take the same steps in turns, in one process, with all dropouts; the ratio of each round is one sample.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import plain_recurrent as oracle  # noqa: E402

from repro.bilevel import architecture_gradient  # noqa: E402
from repro.genotypes import PUBLISHED  # noqa: E402
from repro.language import Descent  # noqa: E402
from repro.language_search import LanguageSearch  # noqa: E402
from repro.recurrent import Dropout, LanguageModel  # noqa: E402

SIZES = {  # types, width, batch, window
    "search": {"small": (2000, 64, 32, 20), "paper": (10_000, 300, 256, 35)},
    "evaluation": {"small": (2000, 64, 32, 20), "paper": (10_000, 850, 64, 35)},
}
RATES = {"search": Dropout(), "evaluation": Dropout(word=0.1)}
CELL = PUBLISHED["DARTS_V2_RNN"]


class Plain:
    """The same steps on the oracle: its weights under the released names, one primitive after another."""

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
        """Dropout drawn as the network draws it."""
        types, size = self.weights[0].shape
        shapes = dict.fromkeys(("embedding", "x", "hidden", "output"), (batch, size)) | {"word": (types, 1)}
        kept = {"x": 1 - self.rates.input} | {name: 1 - rate for name, rate in vars(self.rates).items()}
        draws = {name: self.weights[0].new_empty(shape).bernoulli_(kept[name]) for name, shape in shapes.items()}
        return {name: None if kept[name] == 1 else draw / kept[name] for name, draw in draws.items()}

    def forward(self, weights, alphas, window, hidden):
        """Return the loss and the states."""
        tokens, targets = window
        norm = lambda state: functional.batch_norm(state, None, None, training=True)
        named = dict(zip(self.names, weights, strict=True))
        cell = alphas[0] if alphas else CELL
        log_prob, _, states, _ = oracle.language_model(named, cell, tokens, hidden, self.masks(len(hidden)), norm)
        return functional.nll_loss(log_prob.flatten(0, 1), targets.flatten()), states

    def search_step(self, train, valid, hidden):
        """A step of alpha, then one of w."""
        losses = [lambda w, a, window=window: self.forward(w, a, window, hidden)[0] for window in (train, valid)]
        options = {"xi": 20.0, "weight_decay": 5e-7, "clip": 0.25}
        gradient = architecture_gradient(2, *losses, self.weights, self.alphas, **options)
        self.alphas[0].grad = gradient[0]
        self.alpha_optimizer.step()
        self.weight_step(train, hidden)

    def weight_step(self, train, hidden):
        """A step of w."""
        self.optimizer.zero_grad()
        loss, states = self.forward(self.weights, self.alphas, train, hidden)
        (loss + 1e-3 * (states[1:] - states[:-1]).pow(2).mean()).backward(inputs=self.weights)
        torch.nn.utils.clip_grad_norm_(self.weights, 0.25)
        self.optimizer.step()


def steps(kind: str, types: int, width: int, batch: int, window: int, device: str):
    """Return the two steps to compare, plain and ours."""
    torch.manual_seed(0)
    network = LanguageModel(types, width, None if kind == "search" else CELL, dropout=RATES[kind]).to(device)
    train, valid = (torch.randint(types, (2, window, batch), device=device) for _ in range(2))
    hidden, plain, descent = network.initial(batch), Plain(network, RATES[kind]), Descent()
    optimizer = torch.optim.SGD(network.weights(), 20.0, weight_decay=5e-7)
    if kind == "evaluation":
        return {
            "plain": lambda: plain.weight_step(train, hidden),
            "ours": lambda: descent.step(network, optimizer, train, hidden),
        }
    search = LanguageSearch(network, optimizer, torch.optim.Adam(network.alphas, 3e-3), descent, moves_embedding=True)
    return {
        "plain": lambda: plain.search_step(train, valid, hidden),
        "ours": lambda: search.step(train, valid, hidden, hidden),
    }


def measure(compared, rounds: int, device: str):
    """Return the seconds of each step in each round, taken in turns after a warm-up."""
    seconds = {name: [] for name in compared}
    for index in range(rounds + 1):
        for name, step in compared.items():
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if index:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Print a line for each kind and size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=("small", "paper"), default=["small", "paper"])
    parser.add_argument("--kinds", nargs="+", choices=tuple(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=int, help="steps in time instead of the size's own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    for kind in arguments.kinds:
        for size in arguments.sizes:
            types, width, batch, window = SIZES[kind][size]
            window = arguments.window or window
            compared = steps(kind, types, width, batch, window, arguments.device)
            seconds = measure(compared, arguments.rounds, arguments.device)
            ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
            plain, ours, ratio = (statistics.median(part) for part in (seconds["plain"], seconds["ours"], ratios))
            print(
                f"{kind:10} {size:5} (V={types}, H={width}, B={batch}, T={window}): plain {plain:.3f} s, "
                f"ours {ours:.3f} s, {ratio:.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )
            found.append(
                {
                    "kind": kind,
                    "size": size,
                    "ratio": ratio,
                    "window": window,
                    "device": arguments.device,
                    "seconds": seconds,
                }
            )
    if arguments.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        arguments.json.write_text(json.dumps({**facts, "results": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
