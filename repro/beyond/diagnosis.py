"""Why a search collapses, seen while it runs: curvature of the validation loss in alpha, and the discretisation gap.

Zela et al. (ICLR 2020): cells get worse when the largest eigenvalue of the Hessian of the validation loss over alpha
rises, and a search that stops there finds better ones. The derived cell then is not what the search network computed:
the gap is the validation error of the network with the derived operations alone, less that of the mixture.

Costs. Exact, the Hessian takes a backward pass through the gradient for every alpha, power iteration one for each of
some dozen products; the gap takes a forward pass over the validation images. Measured at `desk` in NAS-Bench-201's
space, after each epoch of 79 steps: as much as 33 first-order steps (exact), 11 (power iteration), and 17 (gap).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from repro.configs.common import Eigenvalue, refuse_exact
from repro.darts.bilevel import Loss
from repro.darts.cnn.search import Batch, ImageSearch
from repro.darts.double_backward import differentiated_twice
from repro.training.classifier import LossAndErrors
from repro.training.observer import Observer

PRODUCTS, TOLERANCE = 100, 1e-4  # of a power iteration: at most so many, until the eigenvalue moves by less, relatively
WINDOW, RATIO = 5, 0.75  # of `stop`, as published


def largest_eigenvalue(how: Eigenvalue, loss: Loss, weights: Sequence[Tensor], alphas: Sequence[Tensor]) -> float:
    """Return the largest eigenvalue of the Hessian of `loss` over alpha, at constant weights.

    how: "exact" by the whole Hessian; "power" by power iteration. UsageError for an exact one of more than 256 alphas.
    """
    refuse_exact(how, sum(alpha.numel() for alpha in alphas))
    weights = [weight.detach() for weight in weights]
    with differentiated_twice():
        slope = _flat(torch.autograd.grad(loss(weights, alphas), alphas, create_graph=True, materialize_grads=True))

        def product(vector: Tensor) -> Tensor:
            return _flat(torch.autograd.grad(slope, alphas, vector, retain_graph=True, materialize_grads=True))

        if how == "power":
            return _by_power(product, slope.detach())
        hessian = torch.stack([*map(product, torch.eye(len(slope), dtype=slope.dtype, device=slope.device))])
    return torch.linalg.eigvalsh((hessian + hessian.T) / 2)[-1].item()


def _by_power(product: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Return the largest eigenvalue of a symmetric matrix, given by its products with vectors."""
    value = _dominant(product, like)
    # one that is negative has the largest magnitude only: shifted by it, the largest is as far from 0 as any
    return value if value >= 0 else value + _dominant(lambda vector: product(vector) - value * vector, like)


def _dominant(product: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Return the eigenvalue of largest magnitude, from a start that is always the same."""
    start = torch.randn(like.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vector, value = start.to(like), 0.0
    for _ in range(PRODUCTS):
        vector = vector / vector.norm()
        moved = product(vector)
        before, value = value, (vector @ moved).item()
        if not moved.any() or abs(value - before) <= TOLERANCE * abs(value):
            break
        vector = moved
    return value


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@torch.no_grad()
def errors(search: ImageSearch, alphas: Sequence[Tensor], batches: Sequence[Batch]) -> tuple[float, float]:
    """Return error (percent) and loss of the search network with these alphas, with batch statistics."""
    average = LossAndErrors()
    for images, labels in batches:
        logits = search.functional(search.weights, alphas, images)
        average.add(cross_entropy(logits, labels), logits, labels)
    row = average.row("valid")
    return row["valid_error"], row["valid_loss"]


def stop(eigenvalues: Sequence[float]) -> int | None:
    """Return after how many epochs a search should have ended: before the largest eigenvalue rose; None if it did not.

    eigenvalues: after each epoch. Their mean over five epochs has risen where that of five epochs ago is less than
    three quarters of it; then the cell of five epochs ago is taken (Zela et al., Sect. 4.3).
    """
    means = [sum(eigenvalues[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(eigenvalues) + 1)]
    for index in range(WINDOW, len(means)):
        if means[index - WINDOW] < RATIO * means[index]:
            return index  # the epoch is WINDOW + index, and five epochs before that
    return None


def diagnosed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the rows of a search's epochs say: its last gap (points of error), and after which epoch to stop.

    Where the eigenvalue did not rise that is the last one; nothing of what was not looked at.
    """
    last, found = rows[-1], {}
    if "discrete_error" in last:
        found["gap"] = last["discrete_error"] - last["valid_error"]
    if "alpha_eigenvalue" in last:
        found["stopped_epoch"] = stop([row["alpha_eigenvalue"] for row in rows]) or len(rows)
    return found


class Diagnosis(Observer):
    """Looks at a search after the last step of an epoch, for `alpha_eigenvalue` and `discrete_error` (percent).

    batches: images and labels that train alpha, prepared. The eigenvalue is of the loss on the first of them, the same
    in all epochs; the error of the derived operations is over all. A falling temperature T raises the eigenvalue by
    1 / T^2.
    """

    def __init__(
        self, search: ImageSearch, batches: Callable[[], Sequence[Batch]], last: int, eigenvalue: Eigenvalue, gap: bool
    ) -> None:
        self.search, self.batches, self.last = search, batches, last
        self.eigenvalue, self.gap = eigenvalue, gap
        self.found: dict[str, float] = {}

    def after(self, index: int, *given: Any) -> None:
        """Look where the step was the last one of the epoch."""
        if index != self.last:
            return
        search, batches = self.search, self.batches()
        if self.eigenvalue != "off":
            loss = search.loss(batches[0])
            self.found["alpha_eigenvalue"] = largest_eigenvalue(self.eigenvalue, loss, search.weights, search.alphas)
        if self.gap:
            self.found["discrete_error"], _ = errors(search, search.network.discrete_alphas(), batches)

    def state_dict(self) -> dict[str, Any]:
        """Return what was found in this epoch."""
        return dict(self.found)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what was found."""
        self.found = dict(state)
