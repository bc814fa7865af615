"""Mixed-precision search (SPOS Sect. 3, "Mixed-Precision Quantization Search"): bits and width of each residual block.

Images (N, 3, 224, 224) -> full-precision stem (N, 64, 56, 56) -> the basic blocks of ResNet-18 or -34, each with a pair
(weight bits, activation bits) and one number of middle channels -> full-precision classifier. One set of weights serves
every choice: sliced to the width, then quantised to the bits (DoReFa). Activations are cut off where training puts the
clip (PACT), one for each number of bits. 32 bits mean full precision. Names are torchvision's.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import UsageError
from repro.spaces.layouts import RESNETS, ResidualLayout
from repro.spaces.path_spaces import BITS, SCALES, named
from repro.spaces.space import Cost, Space
from repro.spos.network import Branch, Chain, Conv, Region, SinglePath, SlicedNorm, convolve, region

FULL = 32
FIRST_CLIP = 3.0


def quantise_weights(w: Tensor, bits: int) -> Tensor:
    """Return weights of any shape on 2^bits levels in [-1, 1], or for one bit in {-m, m} with m their mean magnitude.

    Gradients pass the rounding unchanged (DoReFa-Net, Sect. 2.3).
    """
    if bits == FULL:
        return w
    if bits == 1:
        signs = torch.where(w >= 0, 1.0, -1.0).to(w) * w.detach().abs().mean()
        return signs + (w - w.detach())  # the value of signs, the gradient of w
    top = 2**bits - 1
    squashed = torch.tanh(w)
    unit = squashed / (2 * squashed.abs().max()) + 0.5  # in [0, 1]
    return 2 * torch.fake_quantize_per_tensor_affine(unit, 1 / top, 0, 0, top) - 1


def quantise_activations(x: Tensor, clip: Tensor, bits: int) -> Tensor:
    """Return x of any shape, cut off at 0 and at `clip` (a scalar) and put on 2^bits levels between.

    The gradient reaches x where it was not cut off and `clip` where x lay above (PACT, Eq. 1 to 3).
    """
    x = F.relu(x)
    if bits == FULL:
        return x
    top = 2**bits - 1
    scale, zero = (clip.detach() / top).float(), torch.zeros((), dtype=torch.int32, device=x.device)
    return torch.fake_quantize_per_tensor_affine(torch.minimum(x, clip), scale, zero, 0, top)


class QuantisedBlock(nn.Module):
    """A basic residual block: x (N, C, H, W), its sum before the ReLU, to the same of (N, C', H / stride, W / stride).

    `bits` and `widths` are the choices: pairs of bits, numbers of channels between the two 3x3 convolutions. Each
    convolution's input has one clip, or one `clip_each` number of bits.
    """

    def __init__(
        self,
        inp: int,
        out: int,
        stride: int,
        bits: Sequence[tuple[int, int]],
        widths: Sequence[int],
        affine: bool,
        clip_each: bool,
    ) -> None:
        super().__init__()
        self.stride, self.bits = stride, bits
        self.plans = [(Conv(inp, m, 3, stride), Conv(m, out, 3, relu=False)) for m in widths]
        self.short = (Conv(inp, out, 1, stride, relu=False),) if stride > 1 or inp != out else ()
        self.conv1, self.conv2 = (conv.module() for conv in self.plans[int(np.argmax(widths))])
        self.bn1, self.bn2 = SlicedNorm(max(widths), affine=affine), SlicedNorm(out, affine=affine)
        self.downsample = Branch(self.short, affine) if self.short else None
        levels = sorted({activation for _, activation in bits})
        self.level = {activation: index if clip_each else 0 for index, activation in enumerate(levels)}
        # a matrix, as weight decay is for those: PACT wants it for clips
        self.clips = nn.Parameter(torch.full((2, len({*self.level.values()})), FIRST_CLIP))

    def forward(self, x: Tensor, bits: int = 0, width: int = 0) -> Tensor:
        """Run the block at choices `bits` and `width`."""
        (weight_bits, activation_bits), (one, two) = self.bits[bits], self.plans[width]
        clip_in, clip_middle = self.clips[:, self.level[activation_bits]]
        quantised = quantise_activations(x, clip_in, activation_bits)
        y = self.bn1(_convolve(quantised, self.conv1, one, weight_bits))
        y = quantise_activations(y, clip_middle, activation_bits)
        y = self.bn2(_convolve(y, self.conv2, two, weight_bits))
        if self.downsample is not None:
            conv, norm = self.downsample
            x = norm(_convolve(quantised, conv, self.short[0], weight_bits))
        return F.relu(x + y)

    def chains(self, bits: int = 0, width: int = 0) -> list[Chain]:
        """Return the block's convolutions at choice `width`."""
        return [self.plans[width], self.short]

    def used(self, bits: int = 0, width: int = 0) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the parameters used at those choices."""
        for conv, norm, part in zip((self.conv1, self.conv2), (self.bn1, self.bn2), self.plans[width], strict=True):
            yield conv.weight, region(part.shape)
            yield from ((p, region(part.shape[:1])) for p in norm.parameters())
        if self.downsample is not None:
            yield from self.downsample.used(self.short)
        if (activation_bits := self.bits[bits][1]) != FULL:
            level = self.level[activation_bits]
            yield self.clips, (slice(0, 2), slice(level, level + 1))


def _convolve(x: Tensor, conv: nn.Conv2d, part: Conv, bits: int) -> Tensor:
    weight = quantise_weights(conv.weight[region(part.shape)], bits)
    return convolve(x, weight, part)


class QuantisedResNet(SinglePath):
    """The mixed-precision supernet of a `layout`, or with `gene` the stand-alone network that it names.

    Genes are bits, then widths: one of `bits` and one of `scales` for each residual block. `clip_each`: whether the
    clips of PACT are one for each number of bits. `ends_bits`: of the weights of stem and classifier, and of what goes
    into the classifier. UsageError for bits that are not 1 to 8 or 32.
    """

    def __init__(
        self,
        layout: ResidualLayout = RESNETS[18],
        bits: Sequence[tuple[int, int]] = BITS,
        scales: Sequence[float] = SCALES,
        gene: Sequence[int] | None = None,
        affine: bool = False,
        clip_each: bool = True,
        ends_bits: int = FULL,
    ) -> None:
        super().__init__()
        self.ends_bits = ends_bits
        self.size, self.reduction, self.small = layout.size, 1 if layout.small else 4, layout.small
        stem = (
            Conv(layout.channels, layout.widths[0], 3)
            if layout.small
            else Conv(layout.channels, layout.widths[0], 7, 2)
        )
        self.chains = (stem,)
        self.conv1, self.bn1 = stem.module(), SlicedNorm(stem.out, affine=affine)
        self.space = search_space(layout, bits, scales)
        choices = None if gene is None else self.space.by_layer(gene)
        self.stages = list(dict.fromkeys(stage for stage, *_ in layout.layers()))
        for stage in self.stages:
            self.add_module(stage, nn.Sequential())
        for index, (stage, inp, out, stride) in enumerate(layout.layers()):
            pairs, middles = bits, [max(1, int(out * scale)) for scale in scales]
            if choices:
                pairs, middles = [bits[choices[index][0]]], [middles[choices[index][1]]]
            getattr(self, stage).append(QuantisedBlock(inp, out, stride, pairs, middles, affine, clip_each))
        if choices:
            self.space = Space(self.space.layers, {})
        self.fc = nn.Linear(layout.widths[-1], layout.classes)
        self.clips = nn.ParameterList([torch.full((1, 1), FIRST_CLIP)] * (ends_bits != FULL))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def features(self) -> list[QuantisedBlock]:
        """Return the residual blocks, in order."""
        return [block for stage in self.stages for block in getattr(self, stage)]

    def ends(self) -> list[nn.Module]:
        """Return the modules before and after the blocks."""
        return [self.conv1, self.bn1, self.fc, self.clips]

    def stem(self, x: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to (N, C, H / 4, W / 4), or (N, C, H, W) where they are small."""
        x = F.relu(self.bn1(_convolve(x, self.conv1, self.chains[0], self.ends_bits)))
        return x if self.small else F.max_pool2d(x, 3, 2, 1)

    def head(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits (N, classes)."""
        x = x.mean((2, 3))
        for clip in self.clips:
            x = quantise_activations(x, clip.squeeze(), self.ends_bits)
        return F.linear(x, quantise_weights(self.fc.weight, self.ends_bits), self.fc.bias)

    def costs(self) -> dict[str, Cost]:
        """Add `BitOps` over the residual blocks: multiply-adds times weight bits times activation bits."""
        costs = super().costs()
        bits = np.array([[w * a for w, a in block.bits] for block in self.features])  # (blocks, choices)
        table = costs["multiply-adds"].table
        table = table * (bits[..., None] if table.ndim == 3 else bits[:, 0])
        return costs | {"BitOps": Cost("BitOps", 0, table)}


def search_space(
    layout: ResidualLayout = RESNETS[18], bits: Sequence[tuple[int, int]] = BITS, scales: Sequence[float] = SCALES
) -> Space:
    """Return the space of a layout: a pair of bits and a width for each residual block."""
    if bad := next((b for pair in bits for b in pair if b not in (*range(1, 9), FULL)), None):
        raise UsageError(f"{bad} bits are not supported: choose 1 to 8, or {FULL} for full precision")
    return Space(sum(layout.repeats), named({"bits": bits, "width": scales}))
