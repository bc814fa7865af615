"""The evaluation step (DARTS A.2.1): DARTS_V2 with auxiliary head and drop path, at two sizes.

The plain formulation is the library's: contiguous maps, its own depthwise convolutions and their gradients.
"""

from functools import partial
from unittest import mock

import torch
from torch import nn

from benchmarks.cases import Case, Options, Step, accelerate, replayed
from repro.darts.cnn import depthwise
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.operations import DepthwiseConv
from repro.spaces.genotypes import PUBLISHED
from repro.training.classifier import ImageTraining

SIZES = {  # channels, cells, batch, image size, image channels
    "tiny": (4, 3, 4, 8, 1),
    "small": (8, 3, 96, 8, 1),
    "paper": (36, 20, 96, 32, 3),
}
EPOCHS, IMAGES = 600, 50_000
DROP_PATH = 0.1  # half of the rate at the end


def make(options: Options | None, size: str, device: str) -> Step:
    """Return a step on random images."""
    channels, cells, batch, pixels, in_channels = SIZES[size]
    torch.manual_seed(0)
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=channels, cells=cells, in_channels=in_channels)
    network = network.to(device)
    network.set_drop_path_rate(DROP_PATH)
    images = torch.randn(batch, in_channels, pixels, pixels, device=device)
    labels = torch.randint(10, (batch,), device=device)
    prepare, bf16 = accelerate(options, network, device)
    images = prepare(images)
    optimizer = torch.optim.SGD(network.parameters(), 0.025, 0.9, weight_decay=3e-4)
    training = ImageTraining(network, optimizer, 5.0, 0.4, bf16=bf16)
    step = replayed(options or {}, training.step, network, optimizer)
    if options is not None:
        return Step(lambda: step(images, labels), network, [optimizer])
    for module in network.modules():
        if isinstance(module, DepthwiseConv):
            module.forward = partial(nn.Conv2d.forward, module)

    def plain():
        with mock.patch.object(depthwise, "laid_out", lambda x: x):
            return step(images, labels)

    return Step(plain, network, [optimizer])


TAKES = frozenset({"precision", "channels_last", "capture", "compile"})
CASES = {"evaluation": Case(make, EPOCHS * -(-IMAGES // SIZES["paper"][2]), "cifar10-eval", {}, TAKES)}
