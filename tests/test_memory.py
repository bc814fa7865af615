"""Nothing that reduces maps overwrites memory: gradients of every such layer, in a process of its own that may die.

With few channels that come last, on maps of 56 and more, the library does so in a 1x1 convolution with a stride.
"""

import subprocess
import sys

SCRIPT = """
import torch
from repro.darts.cnn import depthwise, operations
from repro.darts.cnn.batched_edges import BatchedEdges
from repro.darts.cnn.mixed_edges import MixedEdges
from repro.spaces.nas_bench import MACRO_BLOCKS
from repro.spos import choice_blocks, macro, quantise

torch.manual_seed(0)
torch.set_num_threads(1)


def layers(channels):
    for name in operations.OPERATIONS:
        yield operations.operation(name, channels, 2)
    edges = MixedEdges(channels, 2, 2)
    yield lambda x: torch.cat(BatchedEdges(edges)(x, torch.full((2, 8), 1 / 8)), 1)
    yield quantise.QuantisedBlock(channels, 2 * channels, 2, [(2, 2)], [channels], True, False)
    for block in MACRO_BLOCKS.values():
        yield macro.InvertedResidual(block, channels, 2 * channels, 2, True)
    for name in choice_blocks.BLOCKS:
        yield choice_blocks.ChoiceBlock(name, channels, 2 * channels, 2, True, [channels], True)


untouched = []
for channels, size in ((2, 112), (4, 56), (8, 57), (12, 56)):
    for layer in layers(channels):
        x = depthwise.laid_out(torch.randn(4, channels, size, size)).requires_grad_()
        layer(x).square().mean().backward()
        untouched.append(torch.ones(1000))
assert all(part.eq(1).all() for part in untouched)
"""


def test_layers_that_reduce_maps_leave_memory_alone():
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, (answer.returncode, answer.stderr[-2000:])
