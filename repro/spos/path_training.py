"""Training along sampled paths, and judging candidates with the weights they inherit (SPOS Sect. 3 and 4).

A step runs one path and changes nothing else. A candidate gets BatchNorm statistics of its own from training images,
then its accuracy on held-out images, the same for all candidates. Genes are those of `repro.spaces.space`.

Equals `spos.plain.train_step`; held by `test_single_path.py::test_steps_are_those_of_the_plain_supernet`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from repro.data.augment import Prepare
from repro.spaces.space import Gene, PathSampler
from repro.spos.network import Region, SinglePath
from repro.training.acceleration import autocast


class PathSGD(torch.optim.Optimizer):
    """SGD with momentum on the part of the parameters that a path uses; the rest stays bit for bit, buffers included.

    Weight decay is for parameters of more than one dimension: not for BatchNorm, nor for biases.
    """

    def __init__(self, network: nn.Module, lr: float, momentum: float, weight_decay: float) -> None:
        matrices = [p for p in network.parameters() if p.ndim > 1]
        vectors = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, path: Sequence[tuple[nn.Parameter, Region]]) -> None:
        """Move the parameters of `path` along their gradients."""
        regions = {id(parameter): region for parameter, region in path}
        for group in self.param_groups:
            used = [(p, regions[id(p)]) for p in group["params"] if id(p) in regions]
            if not used:
                continue
            weights = [p[region] for p, region in used]
            buffers = [self._buffer(p)[region] for p, region in used]
            gradients = torch._foreach_add([p.grad[r] for p, r in used], weights, alpha=group["weight_decay"])
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, gradients)
            torch._foreach_add_(weights, buffers, alpha=-group["lr"])

    def _buffer(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


@dataclass
class PathTraining:
    """A network, the sampler of its paths and its optimizer; a stand-alone network has one path, the empty gene.

    Steps after the last of `steps` have rate 0: in them BatchNorm averages the statistics of all their batches alike.
    `repro.training.classifier.train_epoch` runs an epoch of it.
    """

    network: SinglePath
    sampler: PathSampler
    optimizer: PathSGD
    schedule: LambdaLR
    label_smoothing: float
    steps: int
    bf16: bool = False  # computes in bfloat16 where autocast does, with weights in float32

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step on images (N, C, H, W) along one path; return the smoothed loss and the logits (N, classes)."""
        if (beyond := self.schedule.last_epoch - self.steps) >= 0:
            for norm in norms(self.network):
                norm.momentum = 1 / (beyond + 1)
        gene = self.sampler()
        self.optimizer.zero_grad()
        with autocast(self.bf16, images.device):
            logits = self.network(images, gene)
            loss = cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        loss.backward()
        self.optimizer.step(self.network.path(gene))
        self.schedule.step()
        return loss.detach(), logits.detach()

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.schedule.base_lrs[0] * self.schedule.lr_lambdas[0](step)

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, besides batches and augmentation."""
        return {name: getattr(self, name) for name in ("network", "sampler", "optimizer", "schedule")}


def path_training(
    network: SinglePath,
    sampler: PathSampler,
    steps: int,
    *,
    lr: float = 0.5,
    momentum: float = 0.9,
    weight_decay: float = 4e-5,
    label_smoothing: float = 0.1,
    bf16: bool = False,
    kind: type[PathTraining] = PathTraining,
) -> PathTraining:
    """Return the published training of `network`: the learning rate falls linearly to 0 over all `steps`."""
    optimizer = PathSGD(network, lr, momentum, weight_decay)
    schedule = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    return kind(network, sampler, optimizer, schedule, label_smoothing, steps, bf16)


def norms(network: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    """Return the network's BatchNorms."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]


@dataclass(frozen=True)
class PathJudge:
    """Scores genes by top-1 accuracy (percent) with inherited weights: higher is better, the same images for all.

    calibration (M, C, H, W), images (N, C, H, W) and labels (N,) as loaded; `prepare` makes floats of them, and with
    `bf16` the network computes in bfloat16 where autocast does. Without `recalibrates` the statistics stay those of the
    training, of all paths together.
    """

    network: SinglePath
    calibration: Tensor
    images: Tensor
    labels: Tensor
    prepare: Prepare
    bf16: bool = False
    batch: int = 256
    recalibrates: bool = True

    def __call__(self, gene: Gene = ()) -> float:
        """Recalibrate the network for `gene` and return its accuracy."""
        with autocast(self.bf16, self.labels.device):
            if self.recalibrates:
                recalibrate(self.network, gene, self.calibration, self.prepare, self.batch)
            return accuracy(self.network, gene, self.images, self.labels, self.prepare, self.batch)


@torch.no_grad()
def recalibrate(network: SinglePath, gene: Gene, images: Tensor, prepare: Prepare, batch: int = 256) -> None:
    """Replace BatchNorm statistics on the path by their mean over batches of `images` (N, C, H, W); dropout is off.

    Images that do not fill a last batch are left out, so that every batch counts the same.
    """
    network.eval()
    moved = norms(network)
    momenta = [norm.momentum for norm in moved]
    for norm in moved:
        norm.reset_running_stats()
        norm.train()
    whole = max(len(images) // batch, 1) * batch
    for index, part in enumerate(images[:whole].split(batch)):
        for norm in moved:  # cumulative average; for a momentum of None, each would wait for its count on the device
            norm.momentum = 1 / (index + 1)
        network(prepare(part), gene)
    for norm, momentum in zip(moved, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@torch.no_grad()
def accuracy(
    network: SinglePath, gene: Gene, images: Tensor, labels: Tensor, prepare: Prepare, batch: int = 256
) -> float:
    """Return the top-1 accuracy (percent) of a path in evaluation mode, with the statistics it has."""
    network.eval()
    right = [
        (network(prepare(x), gene).argmax(1) == y).sum()
        for x, y in zip(images.split(batch), labels.split(batch), strict=True)
    ]
    return 100 * int(sum(right)) / len(labels)
