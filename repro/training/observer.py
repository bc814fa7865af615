"""A look into a search while it runs: its gradient, its Hessian, alpha before and after a step."""

from collections.abc import Callable, Collection
from typing import Any

from repro.training import devices


class Observer:
    """Sees every step of an epoch; subclasses override what they need. An epoch that is tried again is seen again.

    Given to `search_epoch` by a name, under which a checkpoint within the epoch holds its state. It may compute
    whatever leaves weights, alphas and optimizers as they are, such as a search's `gradient`; what it draws at random
    changes nothing.
    """

    def before(self, index: int, *given: Any) -> None:
        """See step `index` of the epoch before it is taken, with all that it is given: batches, hidden states."""

    def after(self, index: int, *given: Any) -> None:
        """See the same step once it is taken."""

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen in this epoch, as tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state` has seen."""


def observed(step: Callable[..., Any], observers: Collection[Observer], index: int, *given: Any) -> Any:
    """Take step `index` of an epoch, seen by the observers before and after it; return its results."""
    _ask([observer.before for observer in observers], index, *given)
    results = step(*given)
    _ask([observer.after for observer in observers], index, *given)
    return results


def _ask(looks: list[Callable[..., None]], *seen: Any) -> None:
    """Let observers look, and put back what they drew from."""
    if looks:
        random = devices.random_state()
        for look in looks:
            look(*seen)
        devices.restore_random_state(random)
