"""The choice blocks of SPOS (Sect. 4): a ShuffleNetV2-like supernet, images (N, 3, 224, 224) to logits (N, 1000).

Stem (N, 16, 112, 112) -> 20 layers, each shuffle 3x3, 5x5, 7x7 or xception, perhaps with 0.2 to 1.6 times its middle
channels -> (N, 640, 7, 7) -> (N, 1024). Names of parameters are those of the authors' checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from repro.errors import unknown
from repro.spaces.layouts import Layout
from repro.spaces.path_spaces import BLOCKS, named
from repro.spaces.space import Space
from repro.spos.network import Branch, Chain, Choices, Conv, Region, SinglePath, SlicedNorm
from repro.training.checkpoints import refuse_other


class ChoiceBlock(nn.Module):
    """One ShuffleNetV2-like block (Sect. 4): half the channels pass, the others go through the main branch.

    x (N, C, H, W) to (N, C, H, W) or, where a stage begins, (N, C', H / stride, W / stride) and a branch for each part.
    `widths` are the numbers of middle channels to choose from; weights are held for the largest.
    """

    def __init__(
        self, name: str, inp: int, out: int, stride: int, first: bool, widths: Sequence[int], affine: bool
    ) -> None:
        super().__init__()
        kernel, self.stride = BLOCKS[name], stride
        inp = inp if first else inp // 2
        self.proj = (Conv(inp, inp, kernel, stride, True, relu=False), Conv(inp, inp)) if first else ()
        shape = self._xception if name == "xception" else self._shuffle
        self.plans = [shape(inp, middle, out - inp, kernel, stride) for middle in widths]
        self.branch_main = Branch(shape(inp, max(widths), out - inp, kernel, stride), affine)
        if first:
            self.branch_proj = Branch(self.proj, affine)

    @staticmethod
    def _shuffle(inp: int, middle: int, out: int, kernel: int, stride: int) -> Chain:
        return Conv(inp, middle), Conv(middle, middle, kernel, stride, True, relu=False), Conv(middle, out)

    @staticmethod
    def _xception(inp: int, middle: int, out: int, kernel: int, stride: int) -> Chain:
        depthwise = Conv(middle, middle, kernel, 1, True, relu=False)
        first = Conv(inp, inp, kernel, stride, True, relu=False)
        return first, Conv(inp, middle), depthwise, Conv(middle, middle), depthwise, Conv(middle, out)

    def forward(self, x: Tensor, width: int = 0) -> Tensor:
        """Run the block with its middle channels at choice `width`."""
        if self.proj:
            return torch.cat((self.branch_proj(x, self.proj), self.branch_main(x, self.plans[width])), 1)
        return torch.cat((x[:, ::2], self.branch_main(x[:, 1::2], self.plans[width])), 1)

    def chains(self, width: int = 0) -> list[Chain]:
        """Return the block's convolutions at choice `width`."""
        return [self.plans[width], self.proj]

    def used(self, width: int = 0) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the parameters used at choice `width`."""
        yield from self.branch_main.used(self.plans[width])
        if self.proj:
            yield from self.branch_proj.used(self.proj)


class ChoiceNetwork(SinglePath):
    """The supernet of a `layout`, or with `gene` the stand-alone network that it names (then called without a gene).

    `blocks` and `widths` are the choices of every layer; genes are blocks and, with several widths, then those. Blocks
    that are `fixed` are those of the layers, one each, and no choice.
    `affine` is BatchNorm's: supernets go without, retrained networks with. UsageError for an impossible layout.
    """

    def __init__(
        self,
        layout: Layout,
        blocks: Sequence[str] = tuple(BLOCKS),
        widths: Sequence[float] = (1.0,),
        gene: Sequence[int] | None = None,
        affine: bool = False,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.reduction = layout.size, layout.stem_stride
        self.chains = Conv(layout.channels, layout.stem, 3, layout.stem_stride), Conv(layout.widths[-1], layout.head)
        self.space, self.fixed = search_space(layout, () if fixed else blocks, widths), [*blocks] if fixed else []
        self.first_conv = Branch(self.chains[:1], affine)
        self.features = nn.ModuleList()
        for index, (inp, out, stride, first) in enumerate(layout.layers()):
            names = blocks[index : index + 1] if fixed else blocks
            middles = [max(1, int(out // 2 * scale)) for scale in widths]
            if gene is not None:
                chosen = dict(zip(self.space.kinds, self.space.by_layer(gene)[index], strict=True))
                names, middles = names[chosen.get("block", 0) :][:1], middles[chosen.get("width", 0) :][:1]
            layer = [ChoiceBlock(name, inp, out, stride, first, middles, affine) for name in names]
            self.features.append(layer[0] if fixed or gene is not None else Choices(layer))
        if gene is not None:
            self.space = Space(self.space.layers, {})
        self.conv_last = Branch(self.chains[1:], affine)
        self.dropout = nn.Dropout(layout.dropout)
        self.classifier = nn.Sequential(nn.Linear(layout.head, layout.classes, bias=False))
        self.apply(_initialise)
        nn.init.normal_(self.first_conv[0].weight, std=0.01)

    def names(self, gene: Sequence[int]) -> dict[str, list[str]]:
        """Return the names of what a gene chooses, and of fixed blocks."""
        return ({"block": self.fixed} if self.fixed else {}) | super().names(gene)

    def ends(self) -> list[nn.Module]:
        """Return the modules before and after the layers."""
        return [self.first_conv, self.conv_last, self.classifier]

    def stem(self, x: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to (N, stem, H / stride, W / stride)."""
        return self.first_conv(x, self.chains[:1])

    def head(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits (N, classes)."""
        return self.classifier(self.dropout(self.conv_last(x, self.chains[1:]).mean((2, 3))))


def search_space(layout: Layout, blocks: Sequence[str] = tuple(BLOCKS), widths: Sequence[float] = (1.0,)) -> Space:
    """Return the space of a layout: where there are several, a block and a width for each layer."""
    if bad := next((name for name in blocks if name not in BLOCKS), None):
        raise unknown("choice block", bad, BLOCKS)
    choices = ({"block": blocks} if blocks else {}) | ({"width": widths} if len(widths) > 1 else {})
    return Space(sum(layout.repeats), named(choices))


def _initialise(module: nn.Module) -> None:
    """Start as the released code does."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=1 / module.weight.shape[1])
    elif isinstance(module, SlicedNorm) and module.affine:
        nn.init.constant_(module.bias, 1e-4)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)


def load_released(network: ChoiceNetwork, state: Mapping[str, Tensor]) -> None:
    """Copy the authors' weights (supernet, or the cell they released) into a network; ReproError if they do not fit.

    `state` is what `checkpoints.read_state_dict` returns; these weights want their images from `bgr_255`.
    """
    own = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    state = {name: value for name, value in state.items() if "num_batches" not in name}
    of = "a supernet where one network was asked for, the other way round, or of another gene"
    refuse_other(state, own, of, "gene and layout")
    network.load_state_dict(state, strict=False)


def bgr_255(x: Tensor) -> Tensor:
    """Return images (N, 3, H, W) of uint8 RGB as the authors' weights want them: BGR floats, 0 to 255."""
    return x.flip(1).to(torch.get_default_dtype())
