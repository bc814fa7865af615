"""The supernet's step (SPOS Sect. 3), along one path; at the paper's size of use on a GPU alone.

The plain formulation is that of `repro.spos.plain`: blocks of modules, and SGD over all weights.
"""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Options, Step, accelerate
from repro.spaces.layouts import Layout
from repro.spos import plain
from repro.spos.choice_blocks import ChoiceNetwork
from repro.spos.path_training import path_training

SMALL = Layout(16, 3, 10, stem=4, stem_stride=1, widths=(8, 20), repeats=(2, 2), strides=(1, 2), head=12, dropout=0.0)
SIZES = {"tiny": (SMALL, 2), "small": (SMALL, 4), "paper": (replace(Layout(), dropout=0.0), 1024)}  # layout, batch
ITERATIONS, DECAY = 150_000, 4e-5


class PlainBlock(nn.Module):
    """A choice block with its layers as modules."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.main, self.proj = (nn.Sequential(*getattr(block, f"branch_{name}", ())) for name in ("main", "proj"))

    def forward(self, x: Tensor) -> Tensor:
        """Let half of the channels pass, unless a stage begins."""
        halves = (x, x) if len(self.proj) else (x[:, ::2], x[:, 1::2])
        return torch.cat((self.proj(halves[0]), self.main(halves[1])), 1)


def plain_supernet(
    network: ChoiceNetwork, lr: float = 0.5, decay: float = DECAY
) -> tuple[plain.Supernet, torch.optim.SGD]:
    """Return the same supernet in plain code, with the same weights, and the optimizer of its training."""
    network = copy.deepcopy(network)
    stem, last = nn.Sequential(*network.first_conv), nn.Sequential(*network.conv_last)
    head = nn.Sequential(last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.dropout, network.classifier)
    supernet = plain.Supernet(stem, [map(PlainBlock, layer) for layer in network.features], head)
    groups = [[p for p in supernet.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    decays = [{"params": p, "weight_decay": rate} for p, rate in zip(groups, (decay, 0.0), strict=True) if p]
    return supernet, torch.optim.SGD(decays, lr, momentum=0.9)


def make(options: Options | None, size: str, device: str) -> Step:
    """Return a step on random images, always along one path."""
    layout, batch = SIZES[size]
    torch.manual_seed(0)
    network = ChoiceNetwork(layout).to(device)
    images = torch.randn(batch, layout.channels, layout.size, layout.size, device=device)
    labels = torch.randint(layout.classes, (batch,), device=device)
    sizes = network.space.sizes
    if options is None:
        supernet, optimizer = plain_supernet(network)
        accelerate(options, supernet, device)
        draw = lambda: plain.train_step(supernet, optimizer, images, labels, np.random.default_rng(0))
        return Step(draw, supernet, [optimizer])
    gene = plain.uniform_path(sizes, np.random.default_rng(0))
    prepare, bf16 = accelerate(options, network, device)
    training = path_training(network, lambda: gene, ITERATIONS * 10**6, lr=0.5, bf16=bf16)  # the rate does not fall
    return Step(partial(training.step, prepare(images), labels), network, [training.optimizer])


TAKES = frozenset({"precision", "channels_last"})
CASES = {"supernet path": Case(make, ITERATIONS, "spos-supernet", {}, TAKES)}
