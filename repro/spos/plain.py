"""SPOS as the paper writes it (Sect. 3): one path through a supernet, a step of its training, Algorithm 1.

A path (a gene) is one choice for each layer. The fast code says at its head which of these functions it equals and
which test holds it to that.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Path = tuple[int, ...]


class Supernet(nn.Module):
    """N(A, W): between stem and head, layers of choice blocks; all paths through them share these weights."""

    def __init__(self, stem: nn.Module, layers: Sequence[Sequence[nn.Module]], head: nn.Module) -> None:
        super().__init__()
        self.stem, self.head = stem, head
        self.layers = nn.ModuleList(nn.ModuleList(blocks) for blocks in layers)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """Compute N(a, W(a)): of each layer the block that path `a` chooses, and no other."""
        x = self.stem(x)
        for blocks, choice in zip(self.layers, path, strict=True):
            x = blocks[choice](x)
        return self.head(x)


def uniform_path(choices: Sequence[int], rng: np.random.Generator) -> Path:
    """Draw a ~ U(A): of each layer one of so many `choices`, all as likely."""
    return tuple(rng.integers(choices).tolist())


def train_step(
    supernet: Supernet,
    optimizer: torch.optim.SGD,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    label_smoothing: float = 0.1,
) -> Tensor:
    """Step once towards W_A, which minimises E_{a ~ U(A)} L_train(N(a, W(a))): draw a path and descend along it.

    Weights off the path have no gradient, so that SGD leaves them, and their momentum, as they are. Return the loss.
    """
    path = uniform_path([len(blocks) for blocks in supernet.layers], rng)
    optimizer.zero_grad(set_to_none=True)
    loss = cross_entropy(supernet(images, path), labels, label_smoothing=label_smoothing)
    loss.backward()
    optimizer.step()
    return loss.detach()


def next_population(
    scores: dict[Path, float],
    choices: Sequence[int],
    fits: Callable[[Path], bool],
    rng: np.random.Generator,
    *,
    population: int = 50,
    parents: int = 10,
    mutation: int = 25,
    crossover: int = 25,
    probability: float = 0.1,
) -> list[Path]:
    """Algorithm 1, once: mutants and crossings of the best `parents` of `scores`; the first time random paths.

    Only paths that are new and within the constraint count; each child has 10 tries, and random paths fill up.
    """
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:parents]
    found: list[Path] = []

    def parent() -> Path:
        return best[rng.integers(len(best))]

    def mutate() -> Path:
        one, changes = parent(), rng.random(len(choices)) < probability
        return tuple(np.where(changes, rng.integers(choices), one).tolist())

    def cross() -> Path:
        one, other = parent(), parent()
        return tuple(np.where(rng.random(len(choices)) < 0.5, one, other).tolist())

    def random() -> Path:
        return uniform_path(choices, rng)

    def add(make: Callable[[], Path], tries: int) -> bool:
        children = (make() for _ in range(tries))
        child = next((c for c in children if fits(c) and c not in scores and c not in found), None)
        found.extend([] if child is None else [child])
        return child is not None

    for make, count in ((mutate, mutation), (cross, crossover)) if best else ():
        for _ in range(count):
            add(make, tries=10)
    while len(found) < population and add(random, tries=100):
        pass
    return found
