"""Gradient clipping, as in every training of both papers; that of the virtual step is `darts.bilevel`'s own."""

from collections.abc import Iterable

from torch import nn


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale the gradients of `parameters` to a joint norm of at most `largest`; 0: they stay as they are."""
    if largest:
        nn.utils.clip_grad_norm_(parameters, largest)
