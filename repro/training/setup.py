"""How a run and its networks compute, set up in one place: device, seeds, precision, layout, compilation, processes.

It puts together what `devices`, `acceleration`, `cuda_graph` and `parallel` do one by one.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import nn

from repro.configs.common import Accelerated, Seeded
from repro.data.augment import Prepare
from repro.runs.run import Run
from repro.training import acceleration, cuda_graph, devices, shared_norm

Moves = TypeVar("Moves", bound=torch.optim.Optimizer)


def start(params: Seeded, run: Run) -> torch.device:
    """Seed everything, and return the device of the run, which its provenance then names."""
    device = devices.pick(params.device, params.threads)
    devices.seed_everything(params.seed)
    run.record(device=devices.describe(device))
    return device


def capturable(kind: Callable[..., Moves], parameters: Sequence[nn.Parameter], **options: Any) -> Moves:
    """Return an optimizer, Adam or ASGD; on a GPU one that a graph can hold, also with a state from elsewhere."""
    on_gpu = parameters[0].is_cuda
    optimizer = kind(parameters, **options, capturable=on_gpu)

    def here(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "param_groups": [{**group, "capturable": on_gpu} for group in state["param_groups"]]}

    optimizer.register_load_state_dict_pre_hook(here)
    return optimizer


class Setup:
    """Lets `network`, which is on its device, compute as the parameters ask; what they do not have is not done.

    Precision is recorded in `run`, since it may be less than was asked for: with `bf16`, steps are to compute by
    autocast. Several processes share every batch; `differentiable_twice` says how BatchNorm does (see `synchronise`).
    """

    def __init__(
        self, params: Accelerated, run: Run, network: nn.Module, *, differentiable_twice: bool = False
    ) -> None:
        self.params, self.network = params, network
        self.device = next(network.parameters()).device
        precision = acceleration.precision(params.precision, self.device)
        run.record(precision=precision)
        self.bf16 = precision == "bf16"
        shared_norm.synchronise(network, differentiable_twice=differentiable_twice)
        acceleration.compile_network(getattr(params, "compile", "off"), network, self.device)

    def autocast(self) -> AbstractContextManager:
        """Return a context in which the network computes as its steps do."""
        return acceleration.autocast(self.bf16, self.device)

    def laid_out(self, prepare: Prepare) -> Prepare:
        """Return what prepares images in the memory layout of the network: channels last at most with bf16.

        On an H200 dilated depthwise convolutions of float32 took 4.8 times as long there (benchmarks/measured).
        """
        asked = self.params.channels_last if self.bf16 else "off"
        return acceleration.lay_out(asked, self.network, prepare, self.device)

    def captured(self, step: cuda_graph.Step, *optimizers: torch.optim.Optimizer) -> cuda_graph.Step:
        """Return a step that moves the network by these optimizers, replayed from a CUDA graph where that can be."""
        return cuda_graph.captured(getattr(self.params, "capture", "off"), step, self.network, optimizers)
