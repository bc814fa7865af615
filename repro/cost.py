"""What a network costs: parameters, and multiply-adds of its convolutions and linear layers (Tables 1 and 3).

Both are counted on the meta device: nothing is computed, and the size of the network does not matter.
"""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module, auxiliary: bool = False) -> int:
    """Return the number of weights, without alphas and, unless `auxiliary`, without the auxiliary head."""
    left_out = ("alphas",) if auxiliary else ("alphas", "auxiliary")
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith(left_out))


def count_mult_adds(network: nn.Module, *shape: int) -> int:
    """Return the multiply-adds of one input, as (3, 32, 32), in evaluation; 1 multiply-add counts as 1."""
    network = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2
