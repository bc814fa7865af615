"""Shuffled batches of images that lie on the device as whole tensors, whose order a checkpoint can hold."""

from collections.abc import Iterator

import torch
from torch import Tensor

from repro.errors import ReproError, UsageError


class Batches:
    """Shuffled batches of tensors that stay on their device: x[i] (B, C, H, W) and y[i] (B,).

    Iterating gives one epoch (or what is left of it); `next()` never ends. The order is drawn on the CPU, so it is the
    same on every device, and `state_dict` continues it bit for bit. A last batch of one image is left out, since
    BatchNorm can do nothing with it.
    """

    def __init__(self, x: Tensor, y: Tensor, size: int, *, seed: int, drop_last: bool = False) -> None:
        if len(x) != len(y):
            raise ReproError(f"{len(x)} images have {len(y)} labels: one each is needed")
        if not 1 <= size <= len(x):
            raise UsageError(f"a batch of {size} cannot be drawn from {len(x)} images: choose 1 to {len(x)}")
        self.x, self.y, self.size, self.drop_last = x, y, size, drop_last
        self.generator = torch.Generator().manual_seed(seed)
        self._shuffle()

    def __len__(self) -> int:
        whole, rest = divmod(len(self.x), self.size)
        return whole + (rest > 1 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self.position < len(self):
            yield self._take()
        self._shuffle()

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the next batch, of a new epoch where one has ended."""
        if self.position >= len(self):
            self._shuffle()
        return self._take()

    def state_dict(self) -> dict:
        """Return the order of this epoch, the place in it and the state that draws the next one."""
        return {"order": self.order, "position": self.position, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state` was taken; refuses the state of another number of images."""
        if len(state["order"]) != len(self.x):
            raise ReproError(
                f"the checkpoint shuffles {len(state['order'])} images, the data has {len(self.x)}: start another run"
            )
        self.order, self.position = state["order"].cpu(), state["position"]
        self.generator.set_state(state["generator"].cpu())
        self._index = self.order.to(self.x.device)

    def _shuffle(self) -> None:
        self.order, self.position = torch.randperm(len(self.x), generator=self.generator), 0
        self._index = self.order.to(self.x.device)

    def _take(self) -> tuple[Tensor, Tensor]:
        index = self._index[self.position * self.size : (self.position + 1) * self.size]
        self.position += 1
        return self.x[index], self.y[index]
