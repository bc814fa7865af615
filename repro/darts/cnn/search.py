"""The search for convolutional cells (DARTS Alg. 1, Sect. 3.1.1): alpha on one half of the images, w on the other.

Equals `darts.plain.search_step`; held by `test_supernet.py::test_steps_of_the_search_are_those_of_algorithm_1`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from repro.darts.bilevel import Functional, architecture_gradient, unrolled_terms
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.discretise import conv_genotype
from repro.data.augment import Prepare
from repro.data.batches import Batches
from repro.spaces.genotypes import to_json
from repro.training import parallel
from repro.training.acceleration import autocast, without_tf32
from repro.training.classifier import LossAndErrors
from repro.training.clipping import clip_gradients
from repro.training.fit import Epoch
from repro.training.observer import Observer, observed

Batch = tuple[Tensor, Tensor]  # images (N, C, H, W) as floats, labels (N,)
Step = Callable[[Batch, Batch], tuple[Tensor, Tensor]]  # training and validation batch -> loss and logits


@dataclass
class ImageSearch:
    """A search network with its optimizers, and the step that moves w and alpha (Alg. 1).

    With several processes, each is given its part of every batch, and gradients are summed over all.
    """

    network: SearchNetwork
    weight_optimizer: torch.optim.SGD
    alpha_optimizer: torch.optim.Optimizer
    order: int | str = 2
    xi_scale: float = 1.0  # xi in units of the current learning rate of w
    eps: float = 0.01
    grad_clip: float = 5.0
    bf16: bool = False  # autocast to bfloat16
    terms: int = 1  # of the orders beyond the paper

    def __post_init__(self) -> None:
        self.weights = list(self.network.weights())
        self.alphas = list(self.network.alphas)
        self.functional = Functional(self.network, self.weights, self.alphas)
        self.clipped = [parameter for group in self.weight_optimizer.param_groups for parameter in group["params"]]

    def step(self, train: Batch, valid: Batch) -> tuple[Tensor, Tensor]:
        """Move alpha on `valid`, then w on `train`; return the training loss and logits before w moved."""
        self.alpha_step(train, valid)
        return self.weight_step(train)

    def alpha_step(self, train: Batch, valid: Batch) -> None:
        """One step of Adam on alpha along the architecture gradient."""
        for alpha, gradient in zip(self.alphas, self.gradient(train, valid), strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()

    def gradient(self, train: Batch, valid: Batch) -> tuple[Tensor, ...]:
        """Return the architecture gradient; the virtual step is the one that SGD would take now."""
        return architecture_gradient(self.order, terms=self.terms, **self.problem(train, valid))

    def cosine(self, train: Batch, valid: Batch) -> float:
        """Return the cosine between Eq. 7's second term as a finite difference (Eq. 8) and as the exact derivative."""
        with without_tf32():
            terms = [unrolled_terms(order, **self.problem(train, valid))[1] for order in (2, "exact")]
        one, other = (torch.cat([part.flatten().double() for part in term]) for term in terms)
        return torch.cosine_similarity(one, other, dim=0).item()

    def problem(self, train: Batch, valid: Batch) -> dict[str, Any]:
        """Return what the architecture gradient takes now: both losses, w, alpha, and the step that SGD would take."""
        group = self.weight_optimizer.param_groups[0]
        buffers = [self.weight_optimizer.state[weight].get("momentum_buffer") for weight in self.weights]
        options = {"momentum": group["momentum"], "weight_decay": group["weight_decay"], "eps": self.eps}
        options |= {"xi": self.xi_scale * group["lr"], "buffers": None if None in buffers else buffers}
        options |= {"train_loss": self.loss(train), "valid_loss": self.loss(valid), "precisely": self.precisely}
        return {"weights": self.weights, "alphas": self.alphas, **options}

    @contextmanager
    def precisely(self) -> Iterator[None]:
        """Compute in float32, whatever is asked for: two passes of Eq. 8 differ by less than bfloat16 and TF32 tell."""
        bf16, self.bf16 = self.bf16, False
        try:
            with without_tf32():
                yield
        finally:
            self.bf16 = bf16

    def weight_step(self, train: Batch) -> tuple[Tensor, Tensor]:
        """One step of clipped SGD on w; return the loss and the logits (N, classes)."""
        loss, logits = self.weight_gradient(train, self.weights)
        self.weight_optimizer.step()
        return loss, logits

    def weight_gradient(self, train: Batch, inputs: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
        """Set the gradient of `inputs`, clipped over all that w's optimizer moves; return the loss and the logits."""
        images, labels = train
        self.weight_optimizer.zero_grad()
        with autocast(self.bf16, images.device):
            logits = self.network(images)
            loss = cross_entropy(logits, labels)
        parallel.mean(loss, len(labels)).backward(inputs=inputs)
        parallel.sum_gradients(inputs)
        clip_gradients(self.clipped, self.grad_clip)
        return loss.detach(), logits.detach()

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """All optimizers, without repetition: that of w may move alpha too."""
        return [*dict.fromkeys((self.weight_optimizer, self.alpha_optimizer))]

    @torch.no_grad()
    def judge(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and logits (N, classes) with batch statistics; no running statistic moves."""
        logits = self.functional(self.weights, self.alphas, images)
        return cross_entropy(logits, labels), logits

    def loss(self, batch: Batch) -> Any:
        """Return the loss of a batch as a function of w and alpha."""
        images, labels = batch

        def loss(weights: Sequence[Tensor], alphas: Sequence[Tensor]) -> Tensor:
            weights, alphas = parallel.replicate(weights), parallel.replicate(alphas)
            with autocast(self.bf16, images.device):
                value = cross_entropy(self.functional(weights, alphas, images), labels)
            return parallel.mean(value, len(labels))

        return loss


class SimultaneousSearch(ImageSearch):
    """The second alternative of Sect. 3.3: alpha and w follow the gradient of one loss in one step.

    Alpha is moved, and clipped together with w, by w's optimizer if that is `alpha_optimizer` too, else by its own.
    """

    def step(self, train: Batch, valid: Batch) -> tuple[Tensor, Tensor]:
        """Move alpha and w on `train`; `valid` is not used."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss, logits = self.weight_gradient(train, [*self.weights, *self.alphas])
        for optimizer in self.optimizers:
            optimizer.step()
        return loss, logits


class Comparison(Observer):
    """Compares Eq. 8 with the exact derivative, in every `every`-th step of a second-order search.

    first: how many steps the search had taken when the epoch began.
    """

    def __init__(self, search: ImageSearch, every: int, first: int) -> None:
        self.search, self.every, self.first = search, every, first
        self.cosines: list[float] = []

    def before(self, index: int, train: Batch, valid: Batch) -> None:
        """Compare both before the step is taken."""
        if (self.first + index) % self.every == 0:
            self.cosines.append(self.search.cosine(train, valid))

    @property
    def found(self) -> dict[str, Any]:
        """What the row of the epoch holds of it."""
        return {"cosines": self.cosines}

    def state_dict(self) -> dict[str, Any]:
        """Return the cosines of this epoch."""
        return self.found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from those in `state`."""
        self.cosines = list(state["cosines"])


def search_epoch(
    step: Step, train: Batches, valid: Batches, prepare: Prepare, epoch: Epoch, **observers: Observer
) -> dict[str, float]:
    """Search through `train` once, with a batch of `valid` for every step of alpha; return training loss and error.

    observers: see each step, with both batches.
    """
    average = LossAndErrors()
    for images, labels in epoch.steps("train", train, average=average, **observers):
        valid_images, valid_labels = valid.next()
        batch = (parallel.own_part(prepare(images)), parallel.own_part(labels))
        valid_batch = (parallel.own_part(prepare(valid_images)), parallel.own_part(valid_labels))
        found = observed(step, observers.values(), epoch.done("train"), batch, valid_batch)
        average.add(*found, batch[1])
    return average.row("train")


def validate(
    judge: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    images: Tensor,
    labels: Tensor,
    prepare: Prepare,
    batch: int,
    epoch: Epoch,
) -> dict[str, float]:
    """Return loss and error on the images that train alpha, with batch statistics (Sect. 3.1.1).

    judge: returns the loss and the logits of images and labels. A last batch of one image has no statistics, and is
    left out, as in training.
    """
    average = LossAndErrors()
    batches = [(x, y) for x, y in zip(images.split(batch), labels.split(batch), strict=True) if len(y) > 1]
    for x, y in epoch.steps("valid", batches[epoch.done("valid") :], average=average):
        x, y = parallel.own_part(prepare(x)), parallel.own_part(y)
        average.add(*judge(x, y), y)
    return average.row("valid")


def architecture(network: SearchNetwork) -> dict[str, Any]:
    """Return the cell derived now, softmax(alpha) of every edge, and the skip connections in each cell."""
    genotype = conv_genotype(*network.alphas)
    softmax_alpha = {
        kind: alpha.softmax(dim=1).tolist() for kind, alpha in zip(("normal", "reduce"), network.alphas, strict=True)
    }
    skips = {kind: sum(edge.op == "skip_connect" for edge in getattr(genotype, kind)) for kind in softmax_alpha}
    return {"genotype": to_json(genotype), "softmax_alpha": softmax_alpha, "skips": skips}
