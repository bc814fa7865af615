"""Training a discrete image network from scratch and testing it (DARTS Sect. 3.2, A.2.1)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from repro import progress

Prepare = Callable[[Tensor], Tensor]  # uint8 images (N, C, H, W) -> floats


class Average:
    """Mean loss and error over an epoch, summed on the device: one transfer at the end."""

    def __init__(self) -> None:
        self.loss: Tensor | float = 0.0
        self.wrong: Tensor | float = 0.0
        self.count = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add the mean loss and the logits (N, classes) of one batch."""
        self.loss = self.loss + loss.detach() * len(labels)
        self.wrong = self.wrong + (logits.argmax(dim=1) != labels).sum()
        self.count += len(labels)

    def row(self, part: str) -> dict[str, float]:
        """Return `<part>_loss` (nats) and `<part>_error` (percent)."""
        return {f"{part}_loss": float(self.loss) / self.count, f"{part}_error": 100 * float(self.wrong) / self.count}


@dataclass
class ImageTraining:
    """A network with auxiliary head and its optimizer, and the step that moves it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    clip: float
    auxiliary: float  # weight of the auxiliary head's loss

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one clipped step on images (N, C, H, W); return the loss without the auxiliary part, and the logits."""
        self.optimizer.zero_grad()
        logits, side = self.network(images)
        loss = cross_entropy(logits, labels)
        total = loss if side is None else loss + self.auxiliary * cross_entropy(side, labels)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        return loss.detach(), logits.detach()


def train_epoch(
    training: ImageTraining, batches: Iterable[tuple[Tensor, Tensor]], prepare: Prepare
) -> dict[str, float]:
    """Train on every batch once; return the training loss and error."""
    training.network.train()
    average = Average()
    for images, labels in progress.steps(batches):
        average.add(*training.step(prepare(images), labels), labels)
    return average.row("train")


@torch.no_grad()
def evaluate(
    network: nn.Module, images: Tensor, labels: Tensor, prepare: Prepare, part: str, batch: int = 256
) -> dict[str, float]:
    """Return `<part>_loss` and `<part>_error` of the network in evaluation mode."""
    network.eval()
    average = Average()
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        logits, _ = network(prepare(x))
        average.add(cross_entropy(logits, y), logits, y)
    return average.row(part)
