"""BatchNorm whose batch is divided among processes: the statistics of the whole batch, in every process.

In one process each function is PyTorch's own, or returns what it is given.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.training import parallel


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Apply `torch.nn.functional.batch_norm` to (N, C, ...) as if the images of all processes were one batch."""
    if not training or parallel.size() == 1:
        return functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    x = x if x.dtype == torch.float64 else x.float()
    axes, per_channel = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
    sums = parallel.total(torch.cat([x.sum(axes), x.new_full((1,), x.numel() // x.shape[1])]))
    centre, count = sums[:-1] / sums[-1], sums[-1].detach()
    x = x - centre.view(per_channel)
    var = parallel.total(x.square().sum(axes)) / count
    with torch.no_grad():
        running_mean.lerp_(centre, momentum)
        running_var.lerp_(var * (count / (count - 1)), momentum)
    scale = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
    x = x * scale.view(per_channel)
    return x if bias is None else x + bias.view(per_channel)


def moments(means: Tensor, covariances: Tensor, count: int) -> tuple[Tensor, Tensor, int | Tensor]:
    """Return means (..., C), covariances (..., C, C) and count of all processes' rows, from those of this one's."""
    if parallel.size() == 1:
        return means, covariances, count
    (everywhere,) = parallel.all_reduce([means.new_full((), count)])
    share = count / everywhere
    joint = parallel.total(means * share)
    apart = means - joint
    return joint, parallel.total((covariances + apart[..., None] * apart[..., None, :]) * share), everywhere


def synchronise(network: nn.Module, *, differentiable_twice: bool = False) -> nn.Module:
    """Let every BatchNorm2d of the network work on the batches of all processes; names of tensors stay as they are.

    On GPUs it becomes PyTorch's own, unless it must be `differentiable_twice`, which that is not.
    """
    if parallel.size() > 1 and next(network.parameters()).is_cuda and not differentiable_twice:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if parallel.size() > 1:
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = _SynchronisedNorm
    return network


class _SynchronisedNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        statistics = (self.running_mean, self.running_var)
        return batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)
