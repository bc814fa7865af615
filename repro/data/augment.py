"""Augmentation where the images are: x (B, C, H, W) uint8 -> float, by one gather for the whole batch.

DARTS Sect. 3.1.1 and A.2.1: pad with black by 4, crop, flip, normalise; the evaluation then cuts out a square of 16.
Each image gets its own draw, as torchvision's per-image transforms would give it, and the same values bit for bit.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from repro.errors import UsageError

Prepare = Callable[[Tensor], Tensor]  # uint8 images (N, C, H, W) -> floats


class Augment:
    """Random crop, flip and cutout of uint8 batches, normalised; draws from its own generator, on the CPU.

    `padding` and `cutout` are in pixels, 0 for none. The draws do not depend on the device, and `state_dict` continues
    them bit for bit.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        seed: int,
        padding: int = 4,
        flip: bool = True,
        cutout: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if padding < 0 or cutout < 0:
            raise UsageError(f"padding={padding}, cutout={cutout}: pixels are counted from 0")
        self.padding, self.flip, self.cutout = padding, flip, cutout
        self.mean, self.std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, x: Tensor) -> Tensor:
        """Augment and normalise x (B, C, H, W) uint8 -> floats of the same shape; five draws an image."""
        draws = torch.rand(5, len(x), generator=self.generator).to(x.device, non_blocking=True)
        x = self.normalise(crop_and_flip(x, *draws[:3], padding=self.padding, flip=self.flip))
        return cut_out(x, *draws[3:], length=self.cutout) if self.cutout else x

    def normalise(self, x: Tensor) -> Tensor:
        """Return x (B, C, H, W) uint8 as floats of mean 0 and deviation 1: all that a test image gets."""
        return x.to(self.mean.dtype, memory_format=torch.contiguous_format).div_(255).sub_(self.mean).div_(self.std)

    def state_dict(self) -> dict:
        """Return the generator's state."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Draw on from `state`."""
        self.generator.set_state(state["generator"].cpu())


def crop_and_flip(x: Tensor, down: Tensor, right: Tensor, mirror: Tensor, *, padding: int, flip: bool) -> Tensor:
    """Move each image of x (B, C, H, W) by up to `padding` pixels, black coming in, then mirror half of them.

    down, right, mirror: (B,) uniform in [0, 1).
    """
    height, width = x.shape[-2:]
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    columns = columns.expand(len(x), width)  # (B, W)
    if flip:
        columns = torch.where(mirror[:, None] < 0.5, width - 1 - columns, columns)
    rows = rows + (down * (2 * padding + 1)).long()[:, None]  # (B, H), of the padded image
    columns = columns + (right * (2 * padding + 1)).long()[:, None]
    image = torch.arange(len(x), device=x.device)[:, None, None]
    padded = pad(x, (padding,) * 4)
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(x: Tensor, down: Tensor, right: Tensor, *, length: int) -> Tensor:
    """Set to 0, in place, a square of `length` around a random pixel of each image of x; it clips at the border.

    down, right: (B,) uniform in [0, 1). Rows from centre - length // 2 to before centre + length // 2; columns alike.
    """
    inside = []
    for size, draw in zip(x.shape[-2:], (down, right), strict=True):
        offset = torch.arange(size, device=x.device) - (draw * size).long()[:, None]  # (B, size), from the centre
        inside.append((offset >= -(length // 2)) & (offset < length // 2))
    return x.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)
