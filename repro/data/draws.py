"""Parts of a data set, in the order of its images; where that loses classes, as when they are sorted, by class."""

import torch
from torch import Tensor

from repro.progress import note

Index = slice | Tensor


def divide(labels: Tensor, count: int, both: bool = True) -> tuple[Index, Index]:
    """Return what indexes `count` of the images (N,) and what indexes the others, each in the images' order.

    The first ones, as long as they, and with `both` the others too, hold every class that there is. Else so many drawn
    by class, which is said with the counts: in proportion with `both`, else as many of each.
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


def _by_class(labels: Tensor, in_proportion: bool) -> Tensor:
    """Return the images' indices (N,) so that every leading part holds the classes alike, or in proportion."""
    _, kinds, counts = labels.unique(return_inverse=True, return_counts=True)
    order = kinds.argsort(stable=True)
    rank, before = torch.empty_like(order), counts.cumsum(0) - counts
    rank[order] = torch.arange(len(labels), device=labels.device) - before.repeat_interleave(counts)
    share = (rank + 0.5) / counts[kinds]  # of each class that comes before
    return (torch.where(rank == 0, 0.0, share) if in_proportion else rank).argsort(stable=True)
