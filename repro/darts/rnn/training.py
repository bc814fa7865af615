"""Training recurrent language models by truncated back-propagation (DARTS Sect. 3.2, A.2.2).

A text is a tensor of streams (rows, B), read in windows of random length; the hidden state is carried from window to
window, the gradient is not. The learning rate of a window is scaled by its length. Training is SGD, then averaged SGD
(ASGD) once the validation loss has stopped falling; from then on the averaged weights are validated.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from repro import progress
from repro.darts.bilevel import Functional
from repro.darts.rnn.language_model import LanguageModel, Output
from repro.darts.rnn.windows import Lengths, NotFinite, Window, WindowAverage, Windows, perplexity, window
from repro.data.text import batchify
from repro.errors import ReproError
from repro.training.clipping import clip_gradients
from repro.training.cuda_graph import captured
from repro.training.fit import Epoch, Stateful, Values
from repro.training.setup import capturable

RETRIES = 3


@dataclass(frozen=True)
class Descent:
    """One step on w, with the usual length of a window, the largest gradient norm, and the weights of TAR and AR."""

    bptt: int = 35
    grad_clip: float = 0.25
    tar: float = 1e-3  # temporal activation regularisation: mean square of the differences of successive states
    ar: float = 0.0  # activation regularisation: mean square of the states after dropout

    def step(
        self, network: LanguageModel, optimizer: torch.optim.Optimizer, train: Window, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move w; return the loss without regularisation, and the hidden state (B, H) after the window."""
        optimizer.zero_grad()
        with _fixed(network.alphas):
            output = network(*train, hidden)
        loss = output.loss
        if self.ar:
            loss = loss + self.ar * output.dropped.square().mean()
        if self.tar and len(output.states) > 1:
            loss = loss + self.tar * output.states.diff(dim=0).square().mean()
        loss.backward()
        clip_gradients(network.weights(), self.grad_clip)
        optimizer.step()
        return output.loss.detach(), output.hidden.detach()


@dataclass
class CellTrainer:
    """An evaluation network with its optimizer, first SGD, then ASGD, and the best weights so far."""

    network: LanguageModel
    descent: Descent
    lr: float = 20.0
    weight_decay: float = 8e-7
    capture: str = "off"  # auto: steps are replayed on a GPU
    patience: int = 5  # averaging begins when a loss is above the best of all but the last so many validations
    losses: list[float] = field(default_factory=list)  # of validations before averaging
    trigger: int | None = None  # epoch after which averaging began
    best: dict[str, Any] | None = None  # loss, epoch and weights of the best validation

    def __post_init__(self) -> None:
        self.weights = self.network.weights()
        self.functional = Functional(self.network, self.weights, self.network.alphas)
        self._move_by(torch.optim.SGD(self.weights, self.lr, weight_decay=self.weight_decay))

    def _move_by(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, step = optimizer, partial(self.descent.step, self.network, optimizer)
        self.step = captured(self.capture, step, self.network, [optimizer])

    def validated(self, loss: float, epoch: int) -> None:
        """Record a validation: keep the best weights; begin to average after `patience` validations without a gain."""
        if self.best is None or loss < self.best["loss"]:
            weights = [weight.detach().clone() for weight in self.averaged()]
            self.best = {"loss": loss, "epoch": epoch, "weights": weights}
        if self.trigger is None:
            before = self.losses[: -self.patience]
            self.losses.append(loss)
            if before and loss > min(before):
                self.trigger = epoch
                self._average()

    def _average(self) -> None:
        # PyTorch's ASGD moves by the rate of the step before, as it did for the paper
        options = {"lr": self.lr, "lambd": 0.0, "t0": 0.0, "weight_decay": self.weight_decay}
        self._move_by(capturable(torch.optim.ASGD, self.weights, **options))

    def averaged(self) -> Sequence[Tensor]:
        """Return the weights that are validated: averaged ones, if averaging has begun."""
        if self.trigger is None or not self.optimizer.state:
            return self.weights
        return [self.optimizer.state[weight]["ax"] for weight in self.weights]

    def load_best(self) -> None:
        """Copy the weights of the best validation into the network, which is then tested."""
        if self.best is not None:
            with torch.no_grad():
                torch._foreach_copy_(self.weights, self.best["weights"])

    def state_dict(self) -> dict[str, Any]:
        """Return everything that moves, but the random states."""
        progress_made = {"losses": list(self.losses), "trigger": self.trigger, "best": self.best}
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), **progress_made}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, in SGD or in averaged SGD."""
        self.network.load_state_dict(state["network"])
        self.losses, self.trigger, self.best = list(state["losses"]), state["trigger"], state["best"]
        self.__post_init__()
        if self.trigger is not None:
            self._average()
        self.optimizer.load_state_dict(state["optimizer"])


def train_epoch(training: CellTrainer, train: Tensor, valid: Tensor, lengths: Lengths, epoch: Epoch) -> dict[str, Any]:
    """Train on the streams `train` (rows, B) once, then validate on the streams `valid`."""
    bptt = training.descent.bptt

    def once() -> dict[str, Any]:
        training.network.train()
        windows, average = Windows(train, lengths, bptt), WindowAverage()
        state = Values(hidden=training.network.initial(train.shape[1]))
        averaging = training.trigger is not None
        for start, length in epoch.steps("train", windows, windows=windows, average=average, state=state):
            training.optimizer.param_groups[0]["lr"] = training.lr * length / bptt
            batch = window(train, start, length)
            loss, state.hidden = training.step(batch, state.hidden)
            average.add(loss, batch[0].numel())
        forward = partial(training.functional, training.averaged(), training.network.alphas)
        valid_loss = evaluate(training.network, valid, bptt, forward, epoch)
        training.validated(valid_loss, epoch.index)
        row = {"train_perplexity": perplexity(average.loss()), "valid_perplexity": perplexity(valid_loss)}
        return {**row, "best_valid_perplexity": perplexity(training.best["loss"]), "averaging": averaging}

    return retried(training, training.lr, epoch, once)


@torch.no_grad()
def evaluate(
    network: LanguageModel,
    text: Tensor,
    bptt: int = 35,
    forward: Callable[..., Output] | None = None,
    epoch: Epoch | None = None,
) -> float:
    """Return the mean negative log-likelihood (nats) of streams (rows, B), in evaluation mode; else NotFinite.

    forward: the network with other weights than its own.
    """
    training = network.training
    network.eval()
    try:
        return mean_loss(forward or network, network.initial(text.shape[1]), text, bptt, epoch or Epoch(0))
    finally:
        network.train(training)


def mean_loss(forward: Callable[..., Output], hidden: Tensor, text: Tensor, bptt: int, epoch: Epoch) -> float:
    """Return the mean loss of `forward` over all words of the streams but the first; NotFinite if it is not.

    Deviation: the released code divides by one row more than it predicts (0.01 % of the loss).
    """
    average, state = WindowAverage(), Values(hidden=hidden)
    starts = range(0, len(text) - 1, bptt)[epoch.done("valid") :]
    for start in epoch.steps("valid", starts, average=average, state=state):
        tokens, targets = window(text, start, bptt)
        output = forward(tokens, targets, state.hidden)
        state.hidden = output.hidden
        average.add(output.loss, tokens.numel())
    return average.loss()


def retried(state: Stateful, lr: float, epoch: Epoch, once: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the row of an epoch, `once()`; if a loss is not finite, restart the epoch with other windows and masks.

    Raises ReproError after RETRIES restarts. Their number is in the row, as `restarts`.
    """
    start = Values(restarts=0, state=copy.deepcopy(state.state_dict()))
    epoch.hold("start", start=start)
    while start.restarts <= RETRIES:
        try:
            return {**once(), "restarts": start.restarts}
        except NotFinite as error:
            progress.note(f"{error}; going back to the start of the epoch")
            state.load_state_dict(copy.deepcopy(start.state))
            start.restarts += 1
            epoch.forget("train", "valid")
    raise ReproError(f"the loss was not finite in {RETRIES + 1} tries of one epoch at lr={lr}: lower the learning rate")


def streams(network: LanguageModel, tokens: Tensor, batch: int) -> Tensor:
    """Return tokens (T,) as streams (T // batch, batch) on the network's device.

    Raises ReproError for a text with words that the network does not know, UsageError for one that is too short.
    """
    known = len(network.embedding)
    if (last := int(tokens.max())) >= known:
        raise ReproError(
            f"the text has a word numbered {last:,}, the network knows {known:,}: take the text it was made for"
        )
    return batchify(tokens, batch).to(network.embedding.device)


@contextmanager
def _fixed(alphas: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Compute no gradient of the architecture."""
    for alpha in alphas:
        alpha.requires_grad_(False)
    try:
        yield
    finally:
        for alpha in alphas:
            alpha.requires_grad_()
