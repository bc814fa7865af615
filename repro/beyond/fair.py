"""Fair sampling (Chu et al., FairNAS, ICCV 2021): in every step of a supernet each choice is trained equally often.

A step draws as many paths as a layer has choices, so that together they take every choice of every layer once, adds up
their gradients on one batch, and moves the weights once. It costs as much as so many steps of SPOS.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from repro.errors import UsageError
from repro.spaces.space import Gene, PathSampler, Space
from repro.spos.path_training import PathTraining
from repro.training.acceleration import autocast


class FairSampler(PathSampler):
    """Draws the paths of each step; UsageError where layers have different numbers of choices."""

    def __init__(self, space: Space, seed: int) -> None:
        if len(set(space.sizes)) > 1:
            raise UsageError(f"fair sampling needs as many choices in every layer, not {sorted(set(space.sizes))}")
        super().__init__(space, seed)

    def paths(self) -> list[Gene]:
        """Return the next step's paths: at each place of a gene every choice once."""
        orders = [self.rng.permutation(size) for size in self.space.sizes]  # (places, choices)
        return [tuple(gene) for gene in np.transpose(orders).tolist()]


@dataclass
class FairTraining(PathTraining):
    """A supernet whose steps train all choices; its paths must use their parameters whole."""

    sampler: FairSampler

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step on images (N, C, H, W) along all paths; return their mean loss and the last one's logits."""
        genes, losses = self.sampler.paths(), []
        self.optimizer.zero_grad()
        for gene in genes:
            with autocast(self.bf16, images.device):
                logits = self.network(images, gene)
                losses.append(cross_entropy(logits, labels, label_smoothing=self.label_smoothing))
            losses[-1].backward()
        used = {id(parameter): (parameter, part) for gene in genes for parameter, part in self.network.path(gene)}
        self.optimizer.step([*used.values()])
        self.schedule.step()
        return torch.stack(losses).detach().mean(), logits.detach()
