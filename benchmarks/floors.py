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
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

MATRIX = {"cpu": 2048, "cuda": 8192}  # rows and columns
COPIED = {"cpu": 2**26, "cuda": 2**28}  # float32 values, well above any cache
Seconds = Callable[[Callable[[], object], str], float]  # that a step takes on a device
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
        held = {tensor.untyped_storage()._cdata for tensor in read}  # meta tensors have no other address
        views = not operation._schema.is_mutable and all(t.untyped_storage()._cdata in held for t in made)
        if not views and operation.overloadpacket.__name__ not in MAKES_NOTHING:
            self.launches += 1
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*read, *made))
        return result


def count(step: Callable[[], object]) -> dict[str, int]:
    """Return the floating-point operations and the bytes of one step, and how many operations it launches."""
    grouped = {torch.ops.aten.convolution_backward: backward_operations}
    with FlopCounterMode(display=False, custom_mapping=grouped) as operations, Traffic() as traffic:
        step()
    return {"operations": operations.get_total_flops(), "bytes": traffic.bytes, "launches": traffic.launches}


def backward_operations(slope: Any, x: Any, weight: Any, *options: Any, out_shape: Any) -> int:
    """Return the operations of a convolution's gradients: as many as forwards for x, and again for the weights.

    Arguments are the shapes of tensors. PyTorch's own count takes the weights' gradient for one without groups.
    """
    _, _, _, _, transposed, _, _, (of_x, of_weight, _) = options
    return conv_flop_count(x, weight, slope, transposed) * (of_x + of_weight)


def peaks(device: str, seconds: Seconds) -> dict[str, float]:
    """Return float32 operations (on a GPU in bfloat16) and bytes a second."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    rates = product_rate(device, dtype, MATRIX[device], seconds), copy_rate(device, COPIED[device], seconds)
    return dict(zip(("operations", "bytes"), rates, strict=True))


def product_rate(device: str, dtype: torch.dtype, size: int, seconds: Seconds) -> float:
    """Return the operations a second of a product of matrices with so many rows, the best of five."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(seconds(lambda: a @ b, device) for _ in range(5))


def copy_rate(device: str, values: int, seconds: Seconds) -> float:
    """Return the bytes a second that a copy of so many float32 values reads and writes, the best of five."""
    source, target = torch.ones(2, values, device=device)
    return 2 * 4 * values / min(seconds(lambda: target.copy_(source), device) for _ in range(5))


def floor(counted: dict[str, int], rates: dict[str, float]) -> dict[str, float]:
    """Return the seconds that operations and bytes need."""
    return {name: counted[name] / rates[name] for name in rates}
