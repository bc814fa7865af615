"""Windows of random length for truncated back-propagation through time (DARTS A.1.2, A.2.2), and their mean loss."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from repro.errors import ReproError, UsageError
from repro.training.fit import Values

CHECK = 50  # windows between two checks that the loss is finite, each of which waits for the device
Window = tuple[Tensor, Tensor]  # tokens and the tokens after them, (T, B) each


class NotFinite(ReproError):
    """A loss is infinite or not a number."""


def window(text: Tensor, start: int, length: int) -> Window:
    """Return at most `length` rows of streams (rows, B) from `start` on, and the same one row later."""
    end = min(start + length, len(text) - 1)
    return text[start:end], text[start + 1 : end + 1]


class Windows:
    """Iterates over start and drawn length of the windows of one epoch; `len` is their expected number."""

    def __init__(self, text: Tensor, lengths: Callable[[int], int], bptt: int) -> None:
        if len(text) < 3:
            raise UsageError(
                f"streams of {len(text)} words are too short to train on: take a smaller batch or a longer text"
            )
        self.rows, self.lengths, self.bptt, self.start = len(text), lengths, bptt, 0

    def __len__(self) -> int:
        return -(-self.rows // self.bptt)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while self.start < self.rows - 2:
            start, length = self.start, self.lengths(self.bptt)
            self.start += length
            yield start, length

    def state_dict(self) -> dict[str, Any]:
        """Return where the next window starts."""
        return {"start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.start = state["start"]


class Lengths:
    """Draws the lengths of windows by one of the two functions below; `state_dict` resumes exactly."""

    def __init__(self, draw: Callable[[int, torch.Generator], int], seed: int) -> None:
        self.draw, self.generator = draw, torch.Generator().manual_seed(seed)

    def __call__(self, bptt: int) -> int:
        """Return the length of the next window, in words."""
        return self.draw(bptt, self.generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the generator's state."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Draw on from `state`."""
        self.generator.set_state(state["generator"].cpu())


def training_length(bptt: int, generator: torch.Generator) -> int:
    """Draw a window's length: N(bptt, 5), or N(bptt / 2, 5) with probability 0.05; at least 5, at most bptt + 20."""
    mean = bptt if torch.rand((), generator=generator).item() < 0.95 else bptt / 2
    return min(max(5, int(mean + 5 * torch.randn((), generator=generator).item())), bptt + 20)


def search_length(bptt: int, generator: torch.Generator) -> int:
    """Draw a window's length: `bptt`, or half of it with probability 0.05."""
    return bptt if torch.rand((), generator=generator).item() < 0.95 else max(1, bptt // 2)


class WindowAverage(Values):
    """The mean loss of windows, summed on the device; every CHECK windows it is checked to be finite."""

    def __init__(self) -> None:
        super().__init__(total=0.0, count=0, windows=0)

    def add(self, loss: Tensor, count: int) -> None:
        """Add the mean loss of `count` tokens; NotFinite if a check finds that the sum is not."""
        self.total = self.total + loss.double() * count
        self.count += count
        self.windows += 1
        if self.windows % CHECK == 0:
            self.loss()

    def loss(self) -> float:
        """Return the mean loss of all tokens; NotFinite if it is not."""
        mean = float(self.total) / self.count
        if not math.isfinite(mean):
            raise NotFinite(f"the loss is {mean} after {self.windows} windows")
        return mean


def perplexity(loss: float) -> float:
    """Return exp(loss), at most 1e300."""
    return math.exp(min(loss, 690.0))
