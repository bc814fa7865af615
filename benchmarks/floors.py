"""What a step cannot be faster than: its operations at the machine's peak rate, its bytes at the machine's bandwidth.

Both peaks are measured here and now, by a matrix product and by a copy. The bytes are what the step's own operations
read and write, were each to touch memory once: another formulation, or fusion, would have others.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

MATRIX = {"cpu": 2048, "cuda": 8192}  # rows and columns
COPIED = {"cpu": 2**26, "cuda": 2**28}  # float32 values, well above any cache
MAKES_NOTHING = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")


class Traffic(TorchDispatchMode):
    """Counts operations, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.launches = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Apply the operation and count what it touches; views touch nothing."""
        result = operation(*args, **(kwargs or {}))
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        held = {tensor.untyped_storage().data_ptr() for tensor in read}
        views = not operation._schema.is_mutable and all(t.untyped_storage().data_ptr() in held for t in made)
        if not views and operation.overloadpacket.__name__ not in MAKES_NOTHING:
            self.launches += 1
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*read, *made))
        return result


def count(step: Callable[[], object]) -> dict[str, int]:
    """Return the floating-point operations and the bytes of one step, and how many operations it launches."""
    with FlopCounterMode(display=False) as operations, Traffic() as traffic:
        step()
    return {"operations": operations.get_total_flops(), "bytes": traffic.bytes, "launches": traffic.launches}


def peaks(device: str, seconds: Callable[[Callable[[], object], str], float]) -> dict[str, float]:
    """Return float32 operations (on a GPU in bfloat16) and bytes a second, the best of five."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    size, values = MATRIX[device], COPIED[device]
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    source, target = torch.ones(2, values, device=device)
    product = min(seconds(lambda: a @ b, device) for _ in range(5))
    copy = min(seconds(lambda: target.copy_(source), device) for _ in range(5))
    return {"operations": 2 * size**3 / product, "bytes": 2 * 4 * values / copy}


def floor(counted: dict[str, int], rates: dict[str, float]) -> dict[str, float]:
    """Return the seconds that operations and bytes need."""
    return {name: counted[name] / rates[name] for name in rates}
