"""The convolutional search network (DARTS Sect. 2.1, 2.2, 3.1.1): (N, 3, H, W) images -> (N, classes) logits.

Every edge of a cell holds a mixture of all candidate operations, weighted by softmax(alpha) (Eq. 2). All mixed edges
that leave one state of a cell read the same tensor at the same stride, so they are computed together: 14 edges become
5 groups. Pooling and its BatchNorm have no parameters, so one result serves every edge of a group.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.genotypes import INPUTS, SEARCH_OPERATIONS
from repro.operations import Preprocess, Shape, odd_pixels, stack

EPS = 1e-5  # of BatchNorm
MOMENTUM = 0.1  # of its running statistics

# Kernel and dilation of the separable convolutions. The first two are applied twice.
SEPARABLE = {"sep_conv_3x3": (3, 1), "sep_conv_5x5": (5, 1), "dil_conv_3x3": (3, 2), "dil_conv_5x5": (5, 2)}
TWICE = ("sep_conv_3x3", "sep_conv_5x5")
COLUMN = {name: column for column, name in enumerate(SEARCH_OPERATIONS)}


def edge_number(node: int, source: int) -> int:
    """Return the row of alpha that holds the edge from state `source` into intermediate node `node` (from 0)."""
    return node * (node + 3) // 2 + source


class BatchStatistics(nn.Module):
    """BatchNorm without affine over (N, C, H, W), C maps at once; its statistics may be shared by `copies` edges."""

    def __init__(self, channels: int, copies: int = 1) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(copies * channels))
        self.register_buffer("running_var", torch.ones(copies * channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch's statistics in training, by the running ones in evaluation."""
        copies = len(self.running_mean) // x.shape[1]
        if not self.training:
            x = x.repeat(1, copies, 1, 1)
            return functional.batch_norm(x, self.running_mean, self.running_var, None, None, False, MOMENTUM, EPS)
        if copies == 1:
            return functional.batch_norm(x, self.running_mean, self.running_var, None, None, True, MOMENTUM, EPS)
        mean, var = torch.zeros_like(self.running_mean[: x.shape[1]]), torch.ones_like(self.running_var[: x.shape[1]])
        y = functional.batch_norm(x, mean, var, None, None, True, 1.0, EPS)
        self.running_mean.lerp_(mean.repeat(copies), MOMENTUM)
        self.running_var.lerp_(var.repeat(copies), MOMENTUM)
        return y.repeat(1, copies, 1, 1)


def _weight(*shape: int) -> nn.Parameter:
    """Return a convolution's weight, drawn as `nn.Conv2d` does; the last three dimensions are its fan-in."""
    bound = 1 / math.sqrt(math.prod(shape[-3:]))
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class MixedEdges(nn.Module):
    """All mixed edges that leave one state (Eq. 2): (N, C, H, W) and strengths (E, 8) -> (N, E, C, H', W')."""

    def __init__(self, channels: int, edges: int, stride: int) -> None:
        super().__init__()
        self.channels, self.edges, self.stride = channels, edges, stride
        maps = edges * channels
        self.depthwise, self.pointwise = nn.ParameterDict(), nn.ParameterDict()
        self.depthwise_2, self.pointwise_2 = nn.ParameterDict(), nn.ParameterDict()
        self.norm, self.norm_2 = nn.ModuleDict(), nn.ModuleDict()
        for name, (kernel, _) in SEPARABLE.items():
            self.depthwise[name] = _weight(maps, 1, kernel, kernel)
            self.pointwise[name] = _weight(maps, channels, 1, 1)
            self.norm[name] = BatchStatistics(maps)
        for name in TWICE:
            kernel, _ = SEPARABLE[name]
            self.depthwise_2[name] = _weight(maps, 1, kernel, kernel)
            self.pointwise_2[name] = _weight(maps, channels, 1, 1)
            self.norm_2[name] = BatchStatistics(maps)
        for name in ("max_pool_3x3", "avg_pool_3x3"):
            self.norm[name] = BatchStatistics(channels, copies=edges)
        if stride == 2:
            self.skip_even = _weight(edges * (channels // 2), channels, 1, 1)
            self.skip_odd = _weight(edges * (channels - channels // 2), channels, 1, 1)
            self.norm["skip_connect"] = BatchStatistics(maps)

    def forward(self, x: Tensor, strengths: Tensor) -> Tensor:
        """Return what each edge adds to its node."""
        results = {name: self._separable(name, x) for name in SEPARABLE}
        results["max_pool_3x3"] = self.norm["max_pool_3x3"](functional.max_pool2d(x, 3, self.stride, 1))
        pooled = functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        results["avg_pool_3x3"] = self.norm["avg_pool_3x3"](pooled)
        results["skip_connect"] = self._skip(x)
        total = 0
        for name, result in results.items():
            strength = strengths[:, COLUMN[name]].view(1, self.edges, 1, 1, 1)
            total = total + strength * result.unflatten(1, (self.edges, self.channels))
        return total

    def _separable(self, name: str, x: Tensor) -> Tensor:
        x = torch.relu(x).repeat(1, self.edges, 1, 1)
        x = self._convolve(name, x, self.depthwise[name], self.pointwise[name], self.stride)
        x = self.norm[name](x)
        if name in TWICE:
            x = self._convolve(name, torch.relu(x), self.depthwise_2[name], self.pointwise_2[name], stride=1)
            x = self.norm_2[name](x)
        return x

    def _convolve(self, name: str, x: Tensor, depthwise: Tensor, pointwise: Tensor, stride: int) -> Tensor:
        kernel, dilation = SEPARABLE[name]
        padding = dilation * (kernel // 2)
        x = functional.conv2d(x, depthwise, None, stride, padding, dilation, groups=len(depthwise))
        return functional.conv2d(x, pointwise, groups=self.edges)

    def _skip(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x.repeat(1, self.edges, 1, 1)
        x = torch.relu(x)
        halves = [
            functional.conv2d(pixels, weight, stride=2).unflatten(1, (self.edges, -1))
            for pixels, weight in ((x, self.skip_even), (odd_pixels(x), self.skip_odd))
        ]
        return self.norm["skip_connect"](torch.cat(halves, dim=2).flatten(1, 2))


class SearchCell(nn.Module):
    """A cell of mixed edges: outputs of the two cells before it -> (N, nodes * C, H', W')."""

    def __init__(self, shape: Shape, nodes: int) -> None:
        super().__init__()
        self.nodes, self.reduce, self.width = nodes, shape.reduce, nodes * shape.channels
        self.preprocess = Preprocess(shape, affine=False)
        self.groups = nn.ModuleList(
            MixedEdges(shape.channels, len(targets), shape.stride(source))
            for source, targets in enumerate(targets_by_source(nodes))
        )

    def forward(self, before: Tensor, last: Tensor, strengths: Tensor) -> Tensor:
        """Compute the nodes in order; `strengths` (edges, 8) has its rows grouped by source state."""
        states = self.preprocess(before, last)
        sums: list[Tensor | None] = [None] * self.nodes
        rows = strengths.split([group.edges for group in self.groups])
        for source, targets in enumerate(targets_by_source(self.nodes)):
            mixed = self.groups[source](states[source], rows[source])
            for node, part in zip(targets, mixed.unbind(1), strict=True):
                sums[node] = part if sums[node] is None else sums[node] + part
            if source >= 1:  # states 0 .. source have all been read: the next node is complete
                states.append(sums[source - 1])
        return torch.cat(states[INPUTS:], dim=1)


def targets_by_source(nodes: int) -> list[range]:
    """Return for every state that is read the nodes (from 0) that read it: all that come after it."""
    return [range(max(0, source - INPUTS + 1), nodes) for source in range(nodes + INPUTS - 1)]


class SearchNetwork(nn.Module):
    """The search network; its `alphas` are apart from its `weights()`, and both are in the state dict."""

    def __init__(
        self,
        channels: int = 16,
        classes: int = 10,
        cells: int = 8,
        nodes: int = 4,
        stem_multiplier: int = 3,
        in_channels: int = 3,
        alpha_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        width = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = stack(lambda shape: SearchCell(shape, nodes), cells, channels, (width, width))
        self.classifier = nn.Linear(self.cells[-1].width, classes)
        edges = edge_number(nodes, 0)
        # Deviation: the paper starts from zeros (alpha_scale=0); the released code from 1e-3 N(0, 1), which breaks ties
        self.alphas_normal = nn.Parameter(alpha_scale * torch.randn(edges, len(SEARCH_OPERATIONS)))
        self.alphas_reduce = nn.Parameter(alpha_scale * torch.randn(edges, len(SEARCH_OPERATIONS)))
        order = [
            edge_number(node, source) for source, targets in enumerate(targets_by_source(nodes)) for node in targets
        ]
        self.register_buffer("by_source", torch.tensor(order), persistent=False)

    @property
    def alphas(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The architecture: (edges, 8) for normal and for reduction cells."""
        return self.alphas_normal, self.alphas_reduce

    def weights(self) -> list[nn.Parameter]:
        """Return w: every parameter that is not the architecture."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("alphas_")]

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, in_channels, H, W) to logits (N, classes)."""
        normal, reduce = (alpha.softmax(dim=1).index_select(0, self.by_source) for alpha in self.alphas)
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last, reduce if cell.reduce else normal)
        return self.classifier(last.mean(dim=(2, 3)))
