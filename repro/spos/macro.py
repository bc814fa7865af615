"""The networks of NAS-Bench-Macro (Su et al., CVPR 2021) and the supernet of them all: single paths with a known truth.

Images (N, 3, 32, 32) -> stem (N, 32, 32, 32) -> 8 layers in three stages, each halving the image and doubling the
channels: identity, MobileNetV2 block 3x3 with expansion 3, or 5x5 with 6 -> (N, 256, 4, 4) -> (N, 1280) -> (N, 10).
Parameters and multiply-adds of all 6,561 networks are those of the table.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from repro.spaces.layouts import MacroLayout
from repro.spaces.mobile import Residual
from repro.spaces.path_spaces import MACRO_BLOCKS
from repro.spaces.space import Space
from repro.spos.network import Branch, Chain, Choices, Conv, Region, SinglePath


class InvertedResidual(nn.Module):
    """MobileNetV2's block: x (N, C, H, W) to (N, C', H / stride, W / stride); skipped, a 1x1 where these differ."""

    def __init__(self, block: Residual, inp: int, out: int, stride: int, affine: bool) -> None:
        super().__init__()
        middle, same, self.stride = block.expansion * inp, stride == 1 and inp == out, stride
        if block.expansion:
            one, two = Conv(inp, middle, groups=block.groups), Conv(middle, out, relu=False, groups=block.groups)
            self.chain = (one, Conv(middle, middle, block.kernel, stride, depthwise=True), two)
        else:
            self.chain = () if same else (Conv(inp, out, 1, stride, relu=False),)
        self.shortcut = same
        self.branch = Branch(self.chain, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        if not self.chain:
            return x
        y = self.branch(x, self.chain)
        return x + y if self.shortcut else y

    def chains(self) -> list[Chain]:
        """Return the block's convolutions."""
        return [self.chain]

    def used(self) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the block's parameters."""
        return self.branch.used(self.chain)


class MacroNetwork(SinglePath):
    """The single-path supernet of NAS-Bench-Macro's space, or with `gene` the stand-alone network that it names."""

    def __init__(
        self,
        layout: MacroLayout,
        blocks: Sequence[str] = tuple(MACRO_BLOCKS),
        gene: Sequence[int] | None = None,
        affine: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.reduction = layout.size, 1
        self.space = Space(sum(layout.repeats), {"block": tuple(blocks)})
        last = layout.stem * 2 ** len(layout.repeats)
        self.chains = Conv(layout.channels, layout.stem, 3), Conv(last, layout.head)
        self.first, self.last = Branch(self.chains[:1], affine), Branch(self.chains[1:], affine)
        layers = [[InvertedResidual(MACRO_BLOCKS[name], *row, affine) for name in blocks] for row in layout.layers()]
        if gene is None:
            self.features = nn.ModuleList(map(Choices, layers))
        else:
            chosen = self.space.check(gene)
            self.features = nn.ModuleList(layer[choice] for layer, choice in zip(layers, chosen, strict=True))
            self.space = Space(self.space.layers, {})
        self.classifier = nn.Linear(layout.head, layout.classes)

    def ends(self) -> list[nn.Module]:
        """Return the modules before and after the layers."""
        return [self.first, self.last, self.classifier]

    def stem(self, x: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to (N, stem, H, W)."""
        return self.first(x, self.chains[:1])

    def head(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits (N, classes)."""
        return self.classifier(self.last(x, self.chains[1:]).mean((2, 3)))
