"""Parts of a data set: its first images, or images drawn by class where the first lack one, as in sorted data."""

import torch
from torch import Tensor

from repro.errors import UsageError
from repro.progress import note

Index = slice | Tensor


def divide(labels: Tensor, count: int, both: bool = True) -> tuple[Index, Index]:
    """Return the indices of `count` of the images (N,) and those of the others, each in the images' order.

    The first `count` are taken where they hold every class, and with `both` the others hold every class too. Otherwise
    images are drawn by class, with a note: in proportion to the classes with `both`, else as many of each.
    """
    classes = labels.unique()
    parts = [labels[:count], labels[count:]][: 1 + both]
    fewest = min(len(part.unique()) for part in parts)
    if fewest == len(classes):
        return slice(0, count), slice(count, None)
    order = _by_class(labels, both)
    chosen, others = order[:count].sort().values, order[count:].sort().values
    counts = [int((labels[chosen] == label).sum()) for label in classes]
    note(
        f"{count} of {len(labels)} images in their order: a part would hold {fewest} of {len(classes)} classes; drawn "
        f"by class instead, {min(counts)} to {max(counts)} of each"
    )
    return chosen, others


def balanced_split(labels: Tensor, valid_images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return indices of images, (N - valid_images,) to train, (valid_images,) to validate on: as many of each class."""
    classes, counts = labels.unique(return_counts=True)
    each, rest = divmod(valid_images, len(classes))
    if rest or not 0 < each < counts.min():
        raise UsageError(
            f"{valid_images} held-out images cannot be balanced: choose a multiple of {len(classes)} classes, "
            f"{len(classes)} to {len(classes) * (int(counts.min()) - 1)}"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    chosen = torch.cat([order[labels[order] == label][:each] for label in classes])
    keep = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    keep[chosen] = False
    return keep.nonzero().squeeze(1), chosen.sort().values


def _by_class(labels: Tensor, in_proportion: bool) -> Tensor:
    """Return the images' indices (N,) so that every first part holds classes equally often, or in proportion."""
    _, kinds, counts = labels.unique(return_inverse=True, return_counts=True)
    order = kinds.argsort(stable=True)
    rank, before = torch.empty_like(order), counts.cumsum(0) - counts
    rank[order] = torch.arange(len(labels), device=labels.device) - before.repeat_interleave(counts)
    share = (rank + 0.5) / counts[kinds]  # of each class that comes before
    return (torch.where(rank == 0, 0.0, share) if in_proportion else rank).argsort(stable=True)
