"""Sizes of single-path networks, stage by stage; the networks themselves are in `repro.spos`."""

from collections.abc import Iterator
from dataclasses import dataclass

from repro.errors import UsageError


@dataclass(frozen=True)
class Layout:
    """Stages of a network of choice blocks; the defaults are SPOS's, for ImageNet."""

    size: int = 224
    channels: int = 3
    classes: int = 1000
    stem: int = 16
    stem_stride: int = 2
    widths: tuple[int, ...] = (64, 160, 320, 640)
    repeats: tuple[int, ...] = (4, 4, 8, 4)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    head: int = 1024
    dropout: float = 0.1

    def layers(self) -> Iterator[tuple[int, int, int, bool]]:
        """Go through the layers: channels in and out, stride, and whether a stage begins."""
        inp = self.stem
        for width, repeat, stride in zip(self.widths, self.repeats, self.strides, strict=True):
            if width % 2:
                raise UsageError(f"a stage of {width} channels cannot be cut in halves: choose an even number")
            for index in range(repeat):
                yield inp, width, stride if index == 0 else 1, index == 0
                inp = width


@dataclass(frozen=True)
class ResidualLayout:
    """Stages of a ResNet; the defaults are ResNet-18 for ImageNet. `small` images: a 3x3 stem that keeps their size."""

    size: int = 224
    channels: int = 3
    classes: int = 1000
    widths: tuple[int, ...] = (64, 128, 256, 512)
    repeats: tuple[int, ...] = (2, 2, 2, 2)
    small: bool = False

    def layers(self) -> Iterator[tuple[str, int, int, int]]:
        """Go through the blocks: name of the stage, channels in and out, stride."""
        inp = self.widths[0]
        for stage, (out, repeat) in enumerate(zip(self.widths, self.repeats, strict=True)):
            for index in range(repeat):
                yield f"layer{stage + 1}", inp, out, 2 if stage and not index else 1
                inp = out


RESNETS = {18: ResidualLayout(), 34: ResidualLayout(repeats=(3, 4, 6, 3))}


@dataclass(frozen=True)
class MacroLayout:
    """Sizes of NAS-Bench-Macro's networks, by default; each stage halves the image and doubles the channels."""

    size: int = 32
    channels: int = 3
    classes: int = 10
    stem: int = 32
    repeats: tuple[int, ...] = (2, 3, 3)
    head: int = 1280

    def layers(self) -> Iterator[tuple[int, int, int]]:
        """Go through the layers: channels in and out, stride."""
        for stage, repeat in enumerate(self.repeats):
            width = self.stem * 2**stage
            yield width, 2 * width, 2
            yield from [(2 * width, 2 * width, 1)] * (repeat - 1)


@dataclass(frozen=True)
class MobileLayout:
    """Stages of a network of ProxylessNAS's space; the defaults are those of Proxyless-R, for ImageNet.

    small: images are so small that the stem and the first stage that would halve them keep their size.
    """

    size: int = 224
    channels: int = 3
    classes: int = 1000
    stem: int = 32
    first: int = 16  # channels after the fixed block; 0: there is none
    widths: tuple[int, ...] = (32, 40, 80, 96, 192, 320)
    repeats: tuple[int, ...] = (4, 4, 4, 4, 4, 1)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1)
    head: int = 1280
    small: bool = False

    def layers(self) -> Iterator[tuple[int, int, int]]:
        """Go through the layers: channels in and out, stride."""
        inp, kept = self.first or self.stem, self.strides.index(2) if self.small else None
        for stage, (width, repeat, stride) in enumerate(zip(self.widths, self.repeats, self.strides, strict=True)):
            for index in range(repeat):
                yield inp, width, stride if index == 0 and stage != kept else 1
                inp = width
