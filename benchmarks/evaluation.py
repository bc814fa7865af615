"""The evaluation step (DARTS A.2.1): DARTS_V2 with auxiliary head and drop path, at two sizes.

The plain formulation is the library's: contiguous maps, its own depthwise convolutions and their gradients.
"""

from functools import partial
from unittest import mock

import torch
from torch import nn

from benchmarks.cases import Case, accelerate
from repro.darts.cnn import depthwise
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.operations import DepthwiseConv
from repro.spaces.genotypes import PUBLISHED
from repro.training.classifier import ImageTraining
from repro.training.cuda_graph import captured

SIZES = {  # channels, cells, batch, image size, image channels
    "small": (8, 3, 96, 8, 1),
    "paper": (36, 20, 96, 32, 3),
}
EPOCHS, IMAGES = 600, 50_000
DROP_PATH = 0.1  # half of the rate at the end


def make(formulation: str, size: str, device: str):
    """Return a step on random images, which returns the loss."""
    channels, cells, batch, pixels, in_channels = SIZES[size]
    torch.manual_seed(0)
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=channels, cells=cells, in_channels=in_channels)
    network = network.to(device)
    network.set_drop_path_rate(DROP_PATH)
    images = torch.randn(batch, in_channels, pixels, pixels, device=device)
    labels = torch.randint(10, (batch,), device=device)
    prepare, bf16 = accelerate(formulation, network, device)
    images = prepare(images)
    optimizer = torch.optim.SGD(network.parameters(), 0.025, 0.9, weight_decay=3e-4)
    training = ImageTraining(network, optimizer, 5.0, 0.4, bf16=bf16)
    step = captured("auto" if formulation == "fast" else "off", training.step, network, [optimizer])
    if formulation != "plain":
        return lambda: step(images, labels)[0]
    for module in network.modules():
        if isinstance(module, DepthwiseConv):
            module.forward = partial(nn.Conv2d.forward, module)

    def plain():
        with mock.patch.object(depthwise, "laid_out", lambda x: x):
            return step(images, labels)[0]

    return plain


CASES = {"evaluation": Case(make, EPOCHS * -(-IMAGES // SIZES["paper"][2]))}
