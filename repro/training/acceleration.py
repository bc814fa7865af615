"""How a step computes, apart from what: its arithmetic, its memory layout, and whether the network is compiled.

Parameters ask for it. What cannot be had here is left out, and one line says why.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from repro import progress
from repro.data.augment import Prepare
from repro.training import devices, parallel


def precision(asked: str, device: torch.device) -> str:
    """Return in what the steps compute, float32, tf32 or bf16 (by autocast), and tell PyTorch.

    `auto` takes bf16 on a GPU that has it. Shapes recur from step to step, so cuDNN tries its algorithms once for each
    and keeps the fastest.
    """
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)  # these have TF32 too
    if asked in ("bf16", "tf32") and not able:
        kind = {"bf16": "bfloat16", "tf32": "TF32"}[asked]
        progress.note(f"precision={asked}: steps compute in float32, because this is no GPU that has {kind}")
    chosen = {"auto": "bf16"}.get(asked, asked) if able else "float32"
    devices.allow_tf32(chosen == "tf32")
    torch.backends.cudnn.benchmark = device.type == "cuda"
    return chosen


def autocast(bf16: bool, device: torch.device) -> AbstractContextManager:
    """Return a context that computes in bfloat16 what can be, if asked to; weights stay in float32."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


@contextmanager
def without_tf32() -> Iterator[None]:
    """Compute float32 in float32, forwards and backwards."""
    allowed = torch.backends.cudnn.allow_tf32
    devices.allow_tf32(False)
    try:
        yield
    finally:
        devices.allow_tf32(allowed)


def lay_out(asked: str, network: nn.Module, prepare: Prepare, device: torch.device) -> Prepare:
    """Keep weights and images with channels last on a GPU if `asked` is auto; return what prepares images.

    On a CPU the networks lay images out themselves.
    """
    if asked == "off" or device.type != "cuda":
        return prepare
    network.to(memory_format=torch.channels_last)
    return lambda images: prepare(images).contiguous(memory_format=torch.channels_last)


def compile_network(asked: str, network: nn.Module, device: torch.device) -> None:
    """Compile the network if `asked` is auto and that is of use here."""
    if asked == "off":
        return
    reason = "" if device.type == "cuda" else "it pays on a GPU only"
    reason = "its BatchNorm is shared by several processes" if parallel.size() > 1 else reason
    try:
        if not reason:
            torch.compile(torch.relu)(torch.ones(8, device=device))
            return network.compile()
    except Exception as error:  # no compiler, no Triton, too old a GPU: each has an exception of its own
        reason = str(error).partition("\n")[0] or type(error).__name__
    progress.note(f"compile=auto: the network is not compiled, because {reason}")
