"""The search for recurrent cells (DARTS Sect. 3.1.2, A.1.2): w on the training text, alpha on the validation text.

The step of alpha is that of `bilevel`, without momentum. As in the released code, the gradients of the virtual step and
of L_val over w' are clipped, and the losses of alpha are not regularised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from repro.darts.bilevel import Functional, Order, architecture_gradient
from repro.darts.discretise import recurrent_genotype
from repro.darts.rnn.language_model import LanguageModel
from repro.darts.rnn.training import Descent, mean_loss, retried
from repro.darts.rnn.windows import Lengths, Window, WindowAverage, Windows, perplexity, window
from repro.spaces.genotypes import to_json
from repro.training.cuda_graph import captured
from repro.training.fit import Epoch, Values
from repro.training.observer import Observer, observed


@dataclass
class LanguageSearch:
    """A search network with its two optimizers, and the step that moves both (Alg. 1)."""

    network: LanguageModel
    weight_optimizer: torch.optim.SGD
    alpha_optimizer: torch.optim.Adam
    descent: Descent
    order: Order = 2
    eps: float = 0.01
    frozen_masks: bool = False  # the same dropout masks at w, w+ and w-; the released code draws new ones
    # In the released code the virtual step leaves the embedding where it was: tying it to the softmax copies w back.
    moves_embedding: bool = False
    capture: str = "off"  # auto: steps are replayed on a GPU

    def __post_init__(self) -> None:
        self.lr = self.weight_optimizer.param_groups[0]["lr"]
        self.weights, self.alphas = self.network.weights(), self.network.alphas
        self.functional = Functional(self.network, self.weights, self.alphas)
        optimizers = self.weight_optimizer, self.alpha_optimizer
        self.replayed = captured(self.capture, self.step, self.network, optimizers)

    def step(self, train: Window, valid: Window, hidden: Tensor, hidden_valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Move alpha on `valid`, then w on `train`; return the loss of w and both hidden states after their windows."""
        gradient, hidden_valid = self.gradient(train, valid, hidden, hidden_valid)
        for alpha, slope in zip(self.alphas, gradient, strict=True):
            alpha.grad = slope
        self.alpha_optimizer.step()
        loss, hidden = self.descent.step(self.network, self.weight_optimizer, train, hidden)
        return loss, hidden, hidden_valid

    def gradient(
        self, train: Window, valid: Window, hidden: Tensor, hidden_valid: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the architecture gradient, and the hidden state after the window of `valid`."""
        masks = self.network.masks(hidden.shape[0]) if self.frozen_masks else None
        after = []

        def train_loss(weights: Sequence[Tensor], alphas: Sequence[Tensor]) -> Tensor:
            return self.functional(weights, alphas, *train, hidden, masks).loss

        def valid_loss(weights: Sequence[Tensor], alphas: Sequence[Tensor]) -> Tensor:
            weights = weights if self.moves_embedding else _held_back(weights, self.network.embedding)
            output = self.functional(weights, alphas, *valid, hidden_valid)
            after.append(output.hidden.detach())
            return output.loss

        group = self.weight_optimizer.param_groups[0]
        options = {
            "xi": group["lr"],
            "eps": self.eps,
            "weight_decay": group["weight_decay"],
            "grad_clip": self.descent.grad_clip,
        }
        gradient = architecture_gradient(self.order, train_loss, valid_loss, self.weights, self.alphas, **options)
        return gradient, after[-1]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that moves, but the random states."""
        return {name: getattr(self, name).state_dict() for name in ("network", "weight_optimizer", "alpha_optimizer")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        for name, value in state.items():
            getattr(self, name).load_state_dict(value)


def search_epoch(
    search: LanguageSearch, train: Tensor, valid: Tensor, lengths: Lengths, epoch: Epoch, **observers: Observer
) -> dict[str, Any]:
    """Search through the streams `train` (rows, B) once, with alpha on `valid`, repeated as needed; then validate.

    observers: see each step, with both windows and both hidden states (B, H).
    """
    bptt = search.descent.bptt

    def once() -> dict[str, Any]:
        search.network.train()
        windows, average = Windows(train, lengths, bptt), WindowAverage()
        hidden = Values(train=search.network.initial(train.shape[1]), valid=search.network.initial(valid.shape[1]))
        parts = {"windows": windows, "average": average, "hidden": hidden, **observers}
        for start, length in epoch.steps("train", windows, **parts):
            search.weight_optimizer.param_groups[0]["lr"] = search.lr * length / bptt
            batch, other = window(train, start, length), window(valid, start % (len(valid) - 1), bptt)
            given = (batch, other, hidden.train, hidden.valid)
            done = epoch.done("train")
            loss, hidden.train, hidden.valid = observed(search.replayed, observers.values(), done, *given)
            average.add(loss, batch[0].numel())
        losses = {"train_perplexity": average.loss(), "valid_perplexity": validate(search, valid, epoch)}
        return {name: perplexity(loss) for name, loss in losses.items()}

    return retried(search, search.lr, epoch, once)


@torch.no_grad()
def validate(search: LanguageSearch, text: Tensor, epoch: Epoch) -> float:
    """Return the mean loss of streams (rows, B), without dropout and with batch statistics; no statistic moves.

    Deviation: the released code validates with running statistics.
    """
    network, hidden = search.network, search.network.initial(text.shape[1])
    network.eval()
    network.norm.train()
    try:
        forward = partial(search.functional, search.weights, search.alphas)
        return mean_loss(forward, hidden, text, search.descent.bptt, epoch)
    finally:
        network.train()


def architecture(network: LanguageModel) -> dict[str, Any]:
    """Return the cell derived now, and softmax(alpha) of every edge."""
    return {
        "genotype": to_json(recurrent_genotype(network.alpha)),
        "softmax_alpha": network.alpha.softmax(dim=1).tolist(),
    }


def _held_back(weights: Sequence[Tensor], embedding: Tensor) -> list[Tensor]:
    """Return the weights with the embedding as before the virtual step; its gradient is that of the moved one."""
    ahead, *rest = weights
    return [embedding.detach() + (ahead - ahead.detach()), *rest]
