"""The search step (DARTS Alg. 1): alpha on one batch, then w on another, at the paper's size and at a small one.

The plain formulation is the released one: a module for every edge and operation, whole backward passes, and for the
second order a second network built in every step.
"""

from functools import partial

import torch

from benchmarks.cases import Case, Options, Step, accelerate, replayed
from repro.darts import plain
from repro.darts.cnn.search import ImageSearch
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.plain_networks import SearchNetwork as PlainNetwork
from repro.originals.cnn import load_released
from repro.training.setup import capturable

SIZES = {  # channels, cells, nodes, batch, image size, image channels
    "tiny": (2, 3, 1, 4, 8, 1),
    "small": (4, 3, 2, 64, 8, 1),
    "paper": (16, 8, 4, 64, 32, 3),
}
EPOCHS, IMAGES = 50, 25_000
RATE, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0


def networks(size: str, device: str, dense: bool = False) -> tuple[PlainNetwork, SearchNetwork]:
    """Return the network in both formulations, of the same weights and alphas; dense: of ours."""
    channels, cells, nodes, _, _, in_channels = SIZES[size]
    torch.manual_seed(0)
    released = PlainNetwork(channels, 10, cells, nodes, in_channels=in_channels).to(device)
    network = SearchNetwork(channels, 10, cells, nodes, in_channels=in_channels, dense=dense).to(device)
    load_released(network, released.state_dict())
    released.alphas = [alpha.detach().clone().requires_grad_() for alpha in network.alphas]
    return released, network


def optimizers(weights, alphas, adam=torch.optim.Adam):
    """Return those of w and of alpha."""
    sgd = torch.optim.SGD(weights, RATE, MOMENTUM, weight_decay=DECAY)
    return sgd, adam(alphas, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)


def ours(order: int, network: SearchNetwork, bf16: bool) -> ImageSearch:
    """Return this package's search."""
    both = optimizers(network.weights(), network.alphas, partial(capturable, torch.optim.Adam))
    return ImageSearch(network, *both, order=order, grad_clip=CLIP, bf16=bf16)


def make(order: int, options: Options | None, size: str, device: str) -> Step:
    """Return a step on random images."""
    *_, batch, pixels, in_channels = SIZES[size]
    released, network = networks(size, device, (options or {}).get("dense", False))
    if options is None:
        network = released
    prepare, bf16 = accelerate(options, network, device)
    if options is None:
        both = optimizers(released.parameters(), released.alphas)
        step = partial(plain.search_step, released, *both, order=order, grad_clip=CLIP)
    else:
        search = ours(order, network, bf16)
        both = search.optimizers
        step = replayed(options, search.step, network, *both)
    images = torch.randn(2, batch, in_channels, pixels, pixels, device=device)
    labels = torch.randint(10, (2, batch), device=device)
    batches = [(prepare(x), y) for x, y in zip(images, labels, strict=True)]
    return Step(lambda: step(*batches), network, both)


STEPS = EPOCHS * -(-IMAGES // SIZES["paper"][3])
TAKES = frozenset({"precision", "channels_last", "capture", "dense"})
CASES = {
    f"search, order {order}": Case(partial(make, order), STEPS, "cifar10-search", {"order": order}, TAKES)
    for order in (1, 2)
}
