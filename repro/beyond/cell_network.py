"""The networks of NAS-Bench-201 (Dong and Yang, ICLR 2020): all 15,625 in one, with shared weights.

Images (N, 3, 32, 32) -> stem (N, C, 32, 32) -> 3 stages of equal cells with C, 2C and 4C channels, a residual block
that halves the image before the second and the third -> (N, 4C, 8, 8) -> logits. A cell has 4 nodes, the first being
its input; a node is the sum over all nodes before it of an operation on the edge between them, and the last is the
cell's output. The 6 edges stand in the order of the table. Every operation keeps the shape.

The same weights serve DARTS, where each edge mixes its operations by softmax(alpha / T), and SPOS, where a gene names
one operation for each edge. BatchNorm within cells has no scale, as in the benchmark's own searches.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from repro.darts.double_backward import convolve
from repro.spaces.nas_bench import EDGES_201, NODES_201, OPERATIONS_201, SPACE_201
from repro.spaces.space import Gene
from repro.spos.network import Region, region

NONE, SKIP, CONV_1X1, CONV_3X3, POOL = range(len(OPERATIONS_201))
KERNELS = {CONV_1X1: 1, CONV_3X3: 3}


class ConvNorm(nn.Module):
    """Convolution with same padding and BatchNorm: (N, C, H, W) -> (N, C', H / stride, W / stride)."""

    def __init__(self, inp: int, out: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.stride, self.kernel = stride, kernel
        self.weight = nn.Parameter(nn.Conv2d(inp, out, kernel, bias=False).weight.detach())
        self.norm = nn.BatchNorm2d(out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        return self.norm(convolve(x, self.weight, self.stride, self.kernel // 2, 1, 1))


def average(x: Tensor) -> Tensor:
    """Return the mean of the 3x3 pixels around each pixel of x (N, C, H, W) that are in the image.

    On a CPU a third of the time of `nn.AvgPool2d`, whose backward pass is slow there.
    """
    channels, ones = x.shape[1], torch.ones_like(x[:1, :1])
    inside = avg_pool2d(ones, 3, 1, 1)  # the share of the nine pixels
    return convolve(x, x.new_full((channels, 1, 3, 3), 1 / 9), 1, 1, 1, channels) / inside


class Cell(nn.Module):
    """Four nodes, and on each of six edges all operations: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(  # of each edge, those that have weights
            nn.ModuleList(ConvNorm(channels, channels, kernel, affine=False) for kernel in KERNELS.values())
            for _ in EDGES_201
        )

    def forward(self, x: Tensor, choices: Tensor | Gene) -> Tensor:
        """Compute node after node; `choices` are the weights of all operations (6, 5), or one operation an edge."""
        leave = self.mixtures if isinstance(choices, Tensor) else self.operations
        states, sums = [x], [0.0] * NODES_201
        for source in range(NODES_201 - 1):
            edges = {edge: node for edge, (node, start) in enumerate(EDGES_201) if start == source}
            for node, part in zip(edges.values(), leave(states[source], [*edges], choices), strict=True):
                sums[node] = sums[node] + part
            states.append(sums[source + 1])  # which has all its edges
        return states[-1]

    def mixtures(self, x: Tensor, edges: Sequence[int], weights: Tensor) -> Iterator[Tensor]:
        """Yield Eq. 2 of DARTS on edges that leave one node: ReLU and pooling serve all, as does one convolution."""
        pooled, active, maps = average(x), x.relu(), []
        for place, kernel in enumerate(KERNELS.values()):
            stacked = torch.cat([self.convs[edge][place].weight for edge in edges])  # (edges * C, C, k, k)
            maps.append(convolve(active, stacked, 1, kernel // 2, 1, 1).split(x.shape[1], dim=1))
        for edge, *outputs in zip(edges, *maps, strict=True):
            p = weights[edge]
            mixed = p[SKIP] * x + p[POOL] * pooled  # `none` adds nothing
            for operation, conv, output in zip(KERNELS, self.convs[edge], outputs, strict=True):
                mixed = mixed + p[operation] * conv.norm(output)
            yield mixed

    def operations(self, x: Tensor, edges: Sequence[int], gene: Gene) -> Iterator[Tensor]:
        """Yield the chosen operation on edges that leave one node."""
        for edge in edges:
            if (choice := gene[edge]) in KERNELS:
                yield self.convs[edge][[*KERNELS].index(choice)](x.relu())
            else:  # `none` passes a gradient of zero, so that every parameter on the path has one
                yield {NONE: lambda x: x * 0.0, SKIP: lambda x: x, POOL: average}[choice](x)

    def chosen(self, gene: Gene) -> Iterator[ConvNorm]:
        """Go through the convolutions of a path."""
        for convs, choice in zip(self.convs, gene, strict=True):
            yield from (conv for operation, conv in zip(KERNELS, convs, strict=True) if operation == choice)


class Reduction(nn.Module):
    """A residual block that halves the image and doubles the channels: (N, C, H, W) -> (N, 2C, H / 2, W / 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, 2 * channels, 3, stride=2)
        self.second = ConvNorm(2 * channels, 2 * channels, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.shortcut(x) + self.second(self.first(x.relu()).relu())


class CellNetwork(nn.Module):
    """All networks of the space: `alpha` (6, 5) is apart from the `weights()`, and both are in the state dict.

    space: the genes that `forward` takes; with none it computes the mixture.
    """

    space, STAGES, bgr = SPACE_201, 3, False

    def __init__(self, channels: int = 16, classes: int = 10, cells: int = 5, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = ConvNorm(in_channels, channels, 3)
        widths = [channels * 2**stage for stage in range(self.STAGES)]
        self.stages = nn.ModuleList(nn.ModuleList(Cell(width) for _ in range(cells)) for width in widths)
        self.reductions = nn.ModuleList(map(Reduction, widths[:-1]))
        self.last = nn.BatchNorm2d(widths[-1])
        self.classifier = nn.Linear(widths[-1], classes)
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(EDGES_201), len(OPERATIONS_201)))
        self.register_buffer("temperature", torch.ones(()))  # T, which an annealed search lets fall

    @property
    def alphas(self) -> tuple[nn.Parameter]:
        """Return the architecture."""
        return (self.alpha,)

    def weights(self) -> list[nn.Parameter]:
        """Return w: every parameter that is not the architecture."""
        return [parameter for parameter in self.parameters() if parameter is not self.alpha]

    def probabilities(self) -> Tensor:
        """Return what the operations of each edge weigh: (6, 5)."""
        return (self.alpha / self.temperature).softmax(dim=1)

    def derived(self) -> Gene:
        """Return the cell as the benchmark derives it: of each edge the largest of all five alphas, `none` included."""
        return tuple(self.alpha.argmax(dim=1).tolist())

    def discrete_alphas(self) -> list[Tensor]:
        """Return alphas whose softmax is 1 for the derived operations."""
        found = torch.full_like(self.alpha, -torch.inf)
        return [found.scatter(1, self.alpha.argmax(dim=1, keepdim=True), 0.0)]

    def forward(self, x: Tensor, gene: Gene | None = None) -> Tensor:
        """Map images (N, in_channels, H, W) to logits (N, classes), as the mixture or along one path."""
        choices = self.probabilities() if gene is None else self.space.check(gene)
        x = self.stem(x)
        for stage, cells in enumerate(self.stages):
            x = self.reductions[stage - 1](x) if stage else x
            for cell in cells:
                x = cell(x, choices)
        return self.head(x)

    def head(self, x: Tensor) -> Tensor:
        """Map (N, 4C, H / 4, W / 4) to logits (N, classes)."""
        return self.classifier(self.last(x).relu().mean(dim=(2, 3)))

    def path(self, gene: Gene) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the parameters that a path uses, each as a whole."""
        cells = [cell for cells in self.stages for cell in cells]
        modules = [self.stem, self.reductions, self.last, self.classifier]
        for module in (*modules, *(conv for cell in cells for conv in cell.chosen(gene))):
            yield from ((parameter, region(parameter.shape)) for parameter in module.parameters())
