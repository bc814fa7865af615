"""ProxylessNAS's space (SPOS Sect. 4, Table 5) as a supernet: images (N, 3, 224, 224) to logits (N, 1000).

Stem (N, 32, 112, 112) and a fixed block (N, 16, 112, 112) -> 21 layers, each an inverted residual or skipped ->
(N, 320, 7, 7) -> (N, 1280). ReLU stands where MobileNetV2 has ReLU6.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from repro.spaces.layouts import MobileLayout
from repro.spaces.mobile import BLOCKS, EVERY
from repro.spaces.space import Space
from repro.spos.macro import InvertedResidual
from repro.spos.network import Branch, Choices, Conv, SinglePath


class MobileNetwork(SinglePath):
    """The supernet of a `layout`, or with `gene` the stand-alone network that it names (then called without a gene).

    `affine` is BatchNorm's: supernets go without, retrained networks with. The last of `blocks` is to skip the layer.
    """

    def __init__(
        self,
        layout: MobileLayout,
        blocks: Sequence[str] = tuple(BLOCKS),
        gene: Sequence[int] | None = None,
        affine: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.reduction = layout.size, 1 if layout.small else 2
        stem = [Conv(layout.channels, layout.stem, 3, self.reduction)]
        if layout.first:
            stem += [Conv(layout.stem, layout.stem, 3, depthwise=True), Conv(layout.stem, layout.first, relu=False)]
        self.stems, self.chains = len(stem), (*stem, Conv(layout.widths[-1], layout.head))
        self.space = search_space(layout, blocks)
        self.first, self.last = Branch(stem, affine), Branch(self.chains[self.stems :], affine)
        self.features = nn.ModuleList()
        for index, row in enumerate(layout.layers()):
            make = partial(InvertedResidual, inp=row[0], out=row[1], stride=row[2], affine=affine)
            choices = [EVERY[name] for name in blocks][: self.space.at(index)[0]]
            chosen = None if gene is None else choices[self.space.check(gene)[index]]
            self.features.append(Choices(map(make, choices)) if chosen is None else make(chosen))
        if gene is not None:
            self.space = Space(self.space.layers, {})
        self.classifier = nn.Linear(layout.head, layout.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def ends(self) -> list[nn.Module]:
        """Return the modules before and after the layers."""
        return [self.first, self.last, self.classifier]

    def stem(self, x: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to (N, first, H / 2, W / 2), or (N, first, H, W) where they are small."""
        return self.first(x, self.chains[: self.stems])

    def head(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits (N, classes)."""
        return self.classifier(self.last(x, self.chains[self.stems :]).mean((2, 3)))


def search_space(layout: MobileLayout, blocks: Sequence[str] = tuple(BLOCKS)) -> Space:
    """Return the space of a layout: a block for each layer; those that change the shape cannot be skipped."""
    changing = [index for index, (inp, out, stride) in enumerate(layout.layers()) if stride > 1 or inp != out]
    return Space(sum(layout.repeats), {"block": tuple(blocks)}, frozenset(changing))
