"""One run in several processes: the losses of one process, whatever their number (DARTS A.2.3 took 12 GPU days).

Each process computes its part of every batch. What one process would have summed over the whole batch is summed over
the processes instead: losses, gradients, BatchNorm's statistics, counts. Gradients are summed explicitly, since
PyTorch's DistributedDataParallel averages what `backward()` leaves behind, not what `torch.autograd.grad` returns: two
processes would search for two architectures. Alone, every function here returns what it is given.
"""

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from repro.data.seeds import mixed_seed
from repro.errors import ReproError, UsageError
from repro.settings import grouped
from repro.training import devices

PATIENCE = timedelta(minutes=30)  # a process that waits longer for the others gives up
T = TypeVar("T")


def size() -> int:
    """Return the number of processes that work together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return this process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def group(device: str) -> Iterator[None]:
    """Work together with the other processes of this run, if there are any, each on its own GPU if they are on GPUs.

    On one machine they meet in a file that REPRO_GROUP names, and talk over loopback; torchrun's meet at its address.
    Raises ReproError where this machine has fewer GPUs than processes.
    """
    if not grouped():
        yield
        return
    local = [int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE")]
    place = placed(devices.pick(device), *local, torch.cuda.device_count())
    options: dict[str, Any] = {"timeout": PATIENCE}
    if path := os.environ.get("REPRO_GROUP"):
        os.environ.update(on_loopback())
        index, count = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
        options |= {"store": distributed.FileStore(path, count), "rank": index, "world_size": count}
    if place.type == "cuda":
        torch.cuda.set_device(place)
        options["device_id"] = place
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", **options)
    yield
    distributed.destroy_process_group()


def on_loopback() -> dict[str, str]:
    """Return the environment that keeps Gloo and NCCL on this machine; NCCL's status port stays shut."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    return {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": f"={loopback}", "NCCL_RAS_ENABLE": "0"}


def placed(device: torch.device, index: int, processes: int, gpus: int) -> torch.device:
    """Return the device of process `index` of the `processes` on this machine; ReproError if its GPUs are too few."""
    if device.type != "cuda":
        return device
    if processes > gpus:
        raise ReproError(f"{processes} processes on {gpus} GPUs: take processes={gpus} or device=cpu")
    return torch.device("cuda", index)


# ---- parts of a batch


def own_part(batch: Tensor) -> Tensor:
    """Return this process's part of a batch (N, ...): every image is in one part; UsageError if a part is empty."""
    if len(batch) < size():
        raise UsageError(f"{len(batch)} images cannot be divided among {size()} processes: take another batch")
    return batch[rank() :: size()]


def mean(value: Tensor, count: int) -> Tensor:
    """Return the mean over all images from the mean `value` over the `count` images of this process.

    It is the same number everywhere; its gradients are those of this process's part and want `sum_gradients`, or
    weights and alphas from `replicate`.
    """
    if size() == 1:
        return value
    (everywhere,) = all_reduce([value.new_full((), count, dtype=torch.float64)])
    return _Sum.apply(value * (count / everywhere).to(value.dtype))[0]


# ---- gradients


def replicate(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the same tensors; gradients that flow back through them are summed over the processes, to any order."""
    return tensors if size() == 1 else _Replicate.apply(*tensors)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace what `backward()` left in each `grad` by its sum over the processes."""
    if size() > 1:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_copy_(gradients, all_reduce(gradients))


class _Replicate(torch.autograd.Function):
    """From one value to each process its copy: the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _Sum.apply(*gradients)


class _Sum(torch.autograd.Function):
    """From the processes' values to one, their sum: each gets the gradient as it is."""

    @staticmethod
    def forward(ctx, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(all_reduce(tensors))

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _Replicate.apply(*gradients)


def total(x: Tensor) -> Tensor:
    """Return the sum over the processes, for each of them to compute its own part with."""
    return _Replicate.apply(*_Sum.apply(x))[0]


def all_reduce(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return each tensor summed over the processes, by one message for all."""
    message = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    distributed.all_reduce(message)
    parts = message.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


# ---- values


def sums(*values: Tensor | float) -> list[float]:
    """Return each number summed over the processes."""
    if size() == 1:
        return [float(value) for value in values]
    message = torch.tensor([float(value) for value in values], dtype=torch.float64, device=_place())
    distributed.all_reduce(message)
    return message.tolist()


def from_leader(make: Callable[[], T]) -> T:
    """Return what `make` gives in process 0, in every process: plain values, and tensors, which are on the CPU."""
    return gathered([make()] if rank() == 0 else [])[0]


def gathered(values: Sequence[T]) -> list[T]:
    """Return the values of all processes, in their order: plain ones, and tensors, which are on the CPU."""
    if size() == 1:
        return list(values)
    buffer = io.BytesIO()
    torch.save(list(values), buffer)
    message = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
    lengths = [int(length) for length in sums(*(len(message) * (index == rank()) for index in range(size())))]
    padded = torch.zeros(max(lengths), dtype=torch.uint8)
    padded[: len(message)] = message
    parts = [torch.empty_like(padded, device=_place()) for _ in lengths]
    distributed.all_gather(parts, padded.to(_place()))
    return [value for part, length in zip(parts, lengths, strict=True) for value in _read(part[:length])]


def _read(message: Tensor) -> list[Any]:
    """Return what a process told; whoever it was, nothing in it is executed, as a pickle's would be."""
    return torch.load(io.BytesIO(message.cpu().numpy()), map_location="cpu", weights_only=True)


def _place() -> str:
    """Return the device of what processes tell each other."""
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"


def draw_apart(seed: int, epoch: int) -> None:
    """Give every process but the first random draws of its own, by the epoch: a resumed run repeats them."""
    if rank():
        devices.seed_everything(mixed_seed(seed, "dropout", epoch, rank()))
