"""What a network costs: parameters, multiply-adds (Tables 1 and 3), and bytes of a step (SPOS Table 7).

Multiply-adds of convolutions and linear layers are counted on the meta device, where nothing is computed. Bytes are
measured while a step is taken.
"""

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module, with_auxiliary_head: bool = False) -> int:
    """Return the number of weights, without alphas and, unless `with_auxiliary_head`, without the auxiliary head."""
    left_out = ("alphas",) if with_auxiliary_head else ("alphas", "auxiliary")
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith(left_out))


def count_mult_adds(network: nn.Module, *shape: int) -> int:
    """Return the multiply-adds of one input, as (3, 32, 32), in evaluation; 1 multiply-add counts as 1."""
    network = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2


def peak_bytes(step: Callable[[], object], held: Iterable[Tensor], device: torch.device) -> int:
    """Return the peak memory of tensors during a step: those it allocates, and those `held` all the time.

    The step must not free what was allocated before it, such as gradients. On a GPU the allocator counts, workspaces of
    kernels included; on a CPU every tensor is tracked, without workspaces.
    """
    before = sum({storage._cdata: storage.nbytes() for storage in _storages(list(held))}.values())
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        others = torch.cuda.memory_allocated(device)
        step()
        return before + torch.cuda.max_memory_allocated(device) - others
    with _Allocated() as allocated:
        step()
    return before + allocated.peak


class _Allocated(TorchDispatchMode):
    """Tracks the memory that operations allocate for tensors, until the last view of it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, weakref.ref] = {}  # of memory, by its address in PyTorch
        self.bytes = self.peak = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Apply the operation; memory of its result that it did not read is new."""
        old = {storage._cdata for storage in _storages((args, kwargs))}
        result = operation(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in old | self.alive.keys():
                self._follow(storage, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.bytes)
        return result

    def _follow(self, storage: torch.UntypedStorage, key: int, size: int) -> None:
        def forget(_: weakref.ref) -> None:
            del self.alive[key]
            self.bytes -= size

        self.alive[key] = weakref.ref(storage, forget)
        self.bytes += size


def _storages(tree: Any) -> Iterator[torch.UntypedStorage]:
    """Return the storages of all tensors in nested containers."""
    return (leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
