"""The convolutional search network (DARTS Sect. 2.1, 2.2, 3.1.1): (N, 3, H, W) images -> (N, classes) logits.

Every edge of a cell holds a mixture of all candidate operations, weighted by softmax(alpha) (Eq. 2). All mixed edges
that leave one state of a cell read the same tensor at the same stride, so they are computed together: 14 edges become
5 groups.

Equals `darts.plain_networks.SearchNetwork`; held by `test_supernet.py::test_equals_the_plain_network`.
"""

from itertools import chain, count

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from repro.darts.cnn import depthwise
from repro.darts.cnn.batched_edges import BatchedEdges
from repro.darts.cnn.dense_edges import DenseEdges
from repro.darts.cnn.folded_edges import Contribution, FoldedEdges, total
from repro.darts.cnn.mixed_edges import MixedEdges
from repro.darts.cnn.operations import Preprocess, Shape, plain_sum, stack
from repro.darts.discretise import discrete_alphas
from repro.spaces.genotypes import CONVOLUTIONAL


class SearchCell(nn.Module):
    """A cell of mixed edges: outputs of the two cells before it -> (N, nodes * C, H', W').

    Equals `darts.plain.Cell`; held by `test_supernet.py::test_equals_the_plain_network`.
    """

    def __init__(self, shape: Shape, nodes: int, dense: bool = False) -> None:
        super().__init__()
        self.unfolded = DenseEdges if dense else BatchedEdges
        self.nodes, self.reduce, self.width = nodes, shape.reduce, nodes * shape.channels
        self.preprocess = Preprocess(shape, affine=False)
        edges = CONVOLUTIONAL.edges(nodes)
        self.targets = [[edges[row][0] for row in rows] for rows in CONVOLUTIONAL.by_source(nodes)]
        self.groups = nn.ModuleList(
            MixedEdges(shape.channels, len(nodes), shape.stride(source)) for source, nodes in enumerate(self.targets)
        )

    def forward(self, before: Tensor, last: Tensor, probabilities: Tensor) -> Tensor:
        """Compute the nodes in order; `probabilities` (edges, 8) has its rows grouped by source state."""
        states = self.preprocess(before, last)  # 2 x (N, C, H, W)
        parts: list[list[Contribution | Tensor]] = [[] for _ in range(self.nodes)]
        rows = probabilities.split([group.edges for group in self.groups])  # (E, 8) each
        folds = not self.training or folds_on(before.device)
        mix, add = (FoldedEdges, total) if folds else (self.unfolded, plain_sum)
        for source, (group, targets) in enumerate(zip(self.groups, self.targets, strict=True)):
            for node, part in zip(targets, mix(group)(states[source], rows[source]), strict=True):
                parts[node].append(part)
            if source >= CONVOLUTIONAL.inputs - 1:  # the next node has all its edges
                states.append(add(parts[len(states) - CONVOLUTIONAL.inputs]))  # (N, C, H', W')
        return torch.cat(states[CONVOLUTIONAL.inputs :], dim=1)


def folds_on(device: torch.device) -> bool:
    """Whether BatchNorm is folded: it saves memory traffic, which is what a CPU waits for."""
    return device.type == "cpu"


def recomputed(cell: nn.Module, *inputs: Tensor) -> Tensor:
    """Apply a cell and store its inputs only: the backward pass recomputes its activations.

    It recomputes with the tensors that are the cell's weights now (`functional_call` may have put them there), and does
    not move the running statistics a second time.
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
        dense: bool = False,
    ) -> None:
        super().__init__()
        self.nodes, self.recomputes = nodes, recomputes
        width = stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = stack(lambda shape: SearchCell(shape, nodes, dense), cells, channels, (width, width))
        self.classifier = nn.Linear(self.cells[-1].width, classes)
        shape = CONVOLUTIONAL.rows(nodes).start, len(CONVOLUTIONAL.operations)  # (edges, 8)
        # Deviation: the paper starts from zeros (alpha_scale=0); the released code from 1e-3 N(0, 1), which breaks ties
        self.alphas_normal = nn.Parameter(alpha_scale * torch.randn(shape))
        self.alphas_reduce = nn.Parameter(alpha_scale * torch.randn(shape))
        order = [*chain.from_iterable(CONVOLUTIONAL.by_source(nodes))]
        self.register_buffer("by_source", torch.tensor(order), persistent=False)

    @property
    def alphas(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The architecture: (edges, 8) for normal and for reduction cells."""
        return self.alphas_normal, self.alphas_reduce

    def discrete_alphas(self) -> list[Tensor]:
        """Return alphas whose softmax is 1 for the derived operations, and for `none` on the other edges."""
        return [*map(discrete_alphas, self.alphas)]

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
