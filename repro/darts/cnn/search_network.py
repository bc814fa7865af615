"""The convolutional search network (DARTS Sect. 2.1, 2.2, 3.1.1): (N, 3, H, W) images -> (N, classes) logits.

Every edge of a cell holds a mixture of all candidate operations, weighted by softmax(alpha) (Eq. 2). All mixed edges
that leave one state of a cell read the same tensor at the same stride, so they are computed together: 14 edges become
5 groups.

Equals `darts.plain_networks.SearchNetwork`; held by `test_supernet.py::test_equals_the_plain_network`.
"""

from itertools import count

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from repro.darts.cnn import depthwise
from repro.darts.cnn.mixed_edges import Contribution, MixedEdges, total
from repro.darts.cnn.operations import Preprocess, Shape, plain_sum, stack
from repro.spaces.genotypes import INPUTS, SEARCH_OPERATIONS


def edge_number(node: int, source: int) -> int:
    """Return the row of alpha that holds the edge from state `source` into intermediate node `node` (from 0)."""
    return node * (node + 3) // 2 + source


def targets_by_source(nodes: int) -> list[range]:
    """Return for every state that is read the nodes (from 0) that read it: all that come after it."""
    return [range(max(0, source - INPUTS + 1), nodes) for source in range(nodes + INPUTS - 1)]


class SearchCell(nn.Module):
    """A cell of mixed edges: outputs of the two cells before it -> (N, nodes * C, H', W').

    Equals `darts.plain.Cell`; held by `test_supernet.py::test_equals_the_plain_network`.
    """

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
        parts: list[list[Contribution | Tensor]] = [[] for _ in range(self.nodes)]
        rows = strengths.split([group.edges for group in self.groups])
        folds = not self.training or folds_on(before.device)
        for source, (group, targets) in enumerate(zip(self.groups, targets_by_source(self.nodes), strict=True)):
            mixed = (group.folded if folds else group.batched)(states[source], rows[source])
            for node, part in zip(targets, mixed, strict=True):
                parts[node].append(part)
            if source >= 1:  # states 0 .. source have all been read: the next node is complete
                states.append((total if folds else plain_sum)(parts[source - 1]))
        return torch.cat(states[INPUTS:], dim=1)


def folds_on(device: torch.device) -> bool:
    """Whether BatchNorm is folded: it saves memory traffic, which is what a CPU waits for."""
    return device.type == "cpu"


def recomputed(cell: nn.Module, *inputs: Tensor) -> Tensor:
    """Apply a cell and keep its inputs alone: the backward pass computes the rest again.

    It does so with the tensors that are the cell's weights now (`functional_call` may have put them there), and without
    moving its running statistics a second time.
    """
    weights, passes = dict(cell.named_parameters()), count()

    def apply(*inputs: Tensor) -> Tensor:
        if next(passes) == 0:
            return cell(*inputs)
        buffers = {name: buffer.clone() for name, buffer in cell.named_buffers()}
        return functional_call(cell, {**weights, **buffers}, inputs)

    return checkpoint(apply, *inputs, use_reentrant=False, preserve_rng_state=False)


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
        recomputes: bool = False,
    ) -> None:
        super().__init__()
        self.nodes, self.recomputes = nodes, recomputes
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
        before = last = self.stem(depthwise.laid_out(x))
        for cell in self.cells:
            inputs = before, last, reduce if cell.reduce else normal
            before, last = last, recomputed(cell, *inputs) if self.recomputes else cell(*inputs)
        return self.classifier(last.mean(dim=(2, 3)))
