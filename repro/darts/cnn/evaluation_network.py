"""The evaluation networks (DARTS Sect. 3.2, A.2.3): a discrete cell, stacked, for CIFAR-10 and for ImageNet.

(N, 3, 32, 32) -> (N, 10) behind a stem of one convolution; (N, 3, 224, 224) -> (N, 1000) behind three of stride 2.
In training an auxiliary head (weight 0.4 in the loss) reads the second reduction cell, and drop path zeroes the results
of operations, image by image.

Equals `darts.plain_networks.evaluation_network`;
held by `test_released.py::test_every_operation_is_read_in_the_released_naming`.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.darts.cnn import depthwise
from repro.darts.cnn.operations import Identity, Preprocess, Shape, operation, plain_sum, stack
from repro.errors import ReproError, unknown
from repro.spaces.cell_space import reductions
from repro.spaces.genotypes import CONVOLUTIONAL, ConvGenotype


class DiscreteCell(nn.Module):
    """A cell of the genotype: outputs of the two cells before it -> (N, width, H', W'); a node sums two operations."""

    def __init__(self, genotype: ConvGenotype, shape: Shape) -> None:
        super().__init__()
        cell = "reduce" if shape.reduce else "normal"
        self.edges, self.concat = getattr(genotype, cell), getattr(genotype, f"{cell}_concat")
        self.width = len(self.concat) * shape.channels
        self.preprocess = Preprocess(shape, affine=True)
        self.operations = nn.ModuleList(
            operation(op, shape.channels, shape.stride(source)) for op, source in self.edges
        )

    def forward(self, before: Tensor, last: Tensor, drop_path_rate: Tensor | None) -> Tensor:
        """Compute the nodes in order; `drop_path_rate` is None without drop path."""
        states = self.preprocess(before, last)
        results: list[Tensor] = []
        for edge, apply in zip(self.edges, self.operations, strict=True):
            result = apply(states[edge.source])
            # Deviation: the paper drops every path; the released code spares identities, and so do we
            if drop_path_rate is not None and not isinstance(apply, Identity):
                result = drop_images(result, drop_path_rate)
            results.append(result)
            if len(results) == CONVOLUTIONAL.keep:
                states.append(plain_sum(results))
                results = []
        return torch.cat([states[state] for state in self.concat], dim=1)


def drop_images(x: Tensor, rate: Tensor) -> Tensor:
    """Zero each image of (N, C, H, W) with probability `rate`, and scale the others so that the mean stays.

    The rate is a tensor, so that a captured or compiled step takes a new one every epoch.
    """
    keep = 1 - rate
    kept = torch.rand(len(x), 1, 1, 1, dtype=keep.dtype, device=x.device) < keep  # in bfloat16 rates would be coarse
    return x * (kept / keep).to(x.dtype)


class PoolTo2x2(nn.Module):
    """Average (N, C, H, W) to (N, C, 2, 2).

    The paper's maps are 8x8 on CIFAR-10, pooled with stride 3, and 7x7 on ImageNet, pooled with stride 2.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        if min(x.shape[2:]) >= 5 + self.stride:
            x = functional.avg_pool2d(x, 5, self.stride)
        return x if x.shape[2:] == (2, 2) else functional.adaptive_avg_pool2d(x, 2)


class AuxiliaryHead(nn.Module):
    """A small classifier that feeds gradient into the middle of the network: (N, C, H, W) -> (N, classes)."""

    def __init__(self, channels: int, classes: int, stride: int, last_norm: bool) -> None:
        super().__init__()
        # As in the released code, whose ImageNet head has no BatchNorm here
        norm = [nn.BatchNorm2d(768)] if last_norm else []
        self.features = nn.Sequential(
            # In place, as in the released code: if no cell follows this head, the classifier reads rectified maps too
            nn.ReLU(inplace=True),
            PoolTo2x2(stride),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            *norm,
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier(self.features(x).flatten(1))


class CifarStem(nn.Module):
    """One 3x3 convolution to three times the width, for both inputs of the first cell."""

    reduced = False

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.widths = (3 * channels, 3 * channels)
        self.layers = nn.Sequential(*_conv_norm(in_channels, 3 * channels, stride=1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two inputs of the first cell."""
        x = self.layers(x)
        return x, x


class ImageNetStem(nn.Module):
    """Three 3x3 convolutions of stride 2; the first cell reads the second one and the third one."""

    reduced = True

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.widths = (channels, channels)
        first, second = _conv_norm(in_channels, channels // 2, 2), _conv_norm(channels // 2, channels, 2)
        self.quarter = nn.Sequential(*first, nn.ReLU(), *second)
        self.eighth = nn.Sequential(nn.ReLU(), *_conv_norm(channels, channels, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two inputs of the first cell."""
        before = self.quarter(x)
        return before, self.eighth(before)


def _conv_norm(channels_in: int, channels_out: int, stride: int) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return conv, nn.BatchNorm2d(channels_out)


class EvaluationNetwork(nn.Module):
    """Stacked cells of one genotype: images (N, in_channels, H, W) -> logits (N, classes), and the head's or None.

    kind: "cifar" or "imagenet", for stem and auxiliary head. The defaults are the paper's CIFAR-10 network; its
        ImageNet network has 48 channels, 1000 classes and 14 cells.
    """

    def __init__(
        self,
        genotype: ConvGenotype,
        kind: str = "cifar",
        *,
        channels: int = 36,
        classes: int = 10,
        cells: int = 20,
        auxiliary_head: bool = True,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise unknown("evaluation network", kind, KINDS, ReproError)
        if not isinstance(genotype, ConvGenotype):
            raise ReproError(
                f"a {type(genotype).__name__} given as the cell of an image network: expected a ConvGenotype"
            )
        make_stem, pooling_stride, last_norm = KINDS[kind]
        self.stem = make_stem(in_channels, channels)
        self.cells = stack(partial(DiscreteCell, genotype), cells, channels, self.stem.widths, self.stem.reduced)
        self.classifier = nn.Linear(self.cells[-1].width, classes)
        self.auxiliary_after = reductions(cells)[1]
        width = self.cells[self.auxiliary_after].width
        self.auxiliary = AuxiliaryHead(width, classes, pooling_stride, last_norm) if auxiliary_head else None
        self.register_buffer("drop_path_rate", torch.zeros(()), persistent=False)
        self.drops_paths = False

    def set_drop_path_rate(self, rate: float) -> None:
        """Set the rate of drop path in training; at 0 no random number is drawn."""
        self.drop_path_rate.fill_(rate)
        self.drops_paths = rate > 0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits and, in training with an auxiliary head, those of the head."""
        drop_path_rate = self.drop_path_rate if self.training and self.drops_paths else None
        before, last = self.stem(depthwise.laid_out(x))
        auxiliary = None
        for index, cell in enumerate(self.cells):
            before, last = last, cell(before, last, drop_path_rate)
            if index == self.auxiliary_after and self.training and self.auxiliary is not None:
                auxiliary = self.auxiliary(last)
        return self.classifier(last.mean(dim=(2, 3))), auxiliary


# stem, stride of the auxiliary head's pooling, and whether that head has its last BatchNorm
KINDS = {"cifar": (CifarStem, 3, True), "imagenet": (ImageNetStem, 2, False)}
