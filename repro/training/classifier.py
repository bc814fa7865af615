"""Training a discrete image network from scratch and testing it (DARTS Sect. 3.2, A.2.1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from repro.data.augment import Prepare
from repro.training import parallel
from repro.training.acceleration import autocast
from repro.training.clipping import clip_gradients
from repro.training.cuda_graph import Step
from repro.training.fit import Epoch, Values


class LossAndErrors(Values):
    """Mean loss and errors over an epoch and over all processes, summed on the device: one transfer at the end.

    top: an image is wrong where its class is not among so many of the largest logits; an error for each number.
    """

    def __init__(self, top: Sequence[int] = (1,)) -> None:
        wrong = {each: torch.zeros((), dtype=torch.int64) for each in top}
        super().__init__(loss=torch.zeros(()), wrong=wrong, count=0)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add the mean loss and the logits (N, classes) of one batch."""
        self.loss = self.loss + loss.detach() * len(labels)
        for top in self.wrong:
            best = logits.topk(min(top, logits.shape[1])).indices if top > 1 else logits.argmax(dim=1, keepdim=True)
            self.wrong[top] = self.wrong[top] + (best != labels[:, None]).all(dim=1).sum()
        self.count += len(labels)

    def row(self, part: str) -> dict[str, float]:
        """Return `<part>_loss` (nats), `<part>_error` and, for the top 5, `<part>_top5_error` (percent)."""
        count, loss, *wrong = parallel.sums(self.count, self.loss, *self.wrong.values())
        names = [f"{part}_error" if top == 1 else f"{part}_top{top}_error" for top in self.wrong]
        return {f"{part}_loss": loss / count, **{n: 100 * w / count for n, w in zip(names, wrong, strict=True)}}


@dataclass
class ImageTraining:
    """A network with auxiliary head and its optimizer, and the step that moves it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    grad_clip: float
    auxiliary_weight: float  # of the auxiliary head's loss
    label_smoothing: float = 0.0
    bf16: bool = False  # computes in bfloat16 where autocast does, with weights in float32

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one clipped step on this process's part of a batch (N, C, H, W), in all processes together.

        Returns the loss on that part without the auxiliary head's, and the logits.
        """
        self.optimizer.zero_grad()
        with autocast(self.bf16, images.device):
            logits, side = self.network(images)
            loss = cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            total = loss
            if side is not None:
                total = loss + self.auxiliary_weight * cross_entropy(side, labels, label_smoothing=self.label_smoothing)
        parallel.mean(total, len(labels)).backward()
        parallel.sum_gradients(self.network.parameters())
        clip_gradients(self.network.parameters(), self.grad_clip)
        self.optimizer.step()
        return loss.detach(), logits.detach()


def train_epoch(
    training: ImageTraining,
    batches: Iterable[tuple[Tensor, Tensor]],
    prepare: Prepare,
    epoch: Epoch,
    step: Step | None = None,
) -> dict[str, float]:
    """Train on every batch once, by `training.step` or its captured `step`; return the training loss and error."""
    training.network.train()
    average = LossAndErrors()
    for images, labels in epoch.steps("train", batches, average=average):
        images, labels = parallel.own_part(prepare(images)), parallel.own_part(labels)
        average.add(*(step or training.step)(images, labels), labels)
    return average.row("train")


def evaluate(
    network: nn.Module, images: Tensor, labels: Tensor, prepare: Prepare, part: str, batch: int = 256
) -> dict[str, float]:
    """Return `<part>_loss` and `<part>_error` of the network in evaluation mode."""
    images, labels = parallel.own_part(images), parallel.own_part(labels)
    batches = ((prepare(x), y) for x, y in zip(images.split(batch), labels.split(batch), strict=True))
    return measure(network, batches, LossAndErrors()).row(part)


@torch.no_grad()
def measure(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], average: LossAndErrors) -> LossAndErrors:
    """Add what the network in evaluation mode makes of this process's batches, as floats, to `average`.

    Batches may be empty: of several processes, some get a last batch that others do not.
    """
    network.eval()
    for images, labels in batches:
        if len(labels):
            logits, _ = network(images)
            average.add(cross_entropy(logits, labels), logits, labels)
    return average
