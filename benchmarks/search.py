"""The search step (DARTS Alg. 1): alpha on one batch, then w on another, at the paper's size and at a small one.

The plain formulation is the released one: a module for every edge and operation, whole backward passes, and for the
second order a second network built in every step.
"""

import copy
from functools import partial

import torch
from plain_supernet import PlainSearchNetwork
from torch.nn.functional import cross_entropy

from benchmarks.cases import Case, accelerate
from repro.capture import captured
from repro.image_search import ImageSearch
from repro.released import load_released
from repro.supernet import SearchNetwork

SIZES = {  # channels, cells, nodes, batch, image size, image channels
    "small": (4, 3, 2, 64, 8, 1),
    "paper": (16, 8, 4, 64, 32, 3),
}
EPOCHS, IMAGES = 50, 25_000
RATE, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0


class Plain:
    """The released search step: whole backward passes, and for the second order a second network built in each step."""

    def __init__(self, network: PlainSearchNetwork, order: int) -> None:
        self.network, self.order = network, order
        self.weights = list(network.parameters())
        self.optimizer = torch.optim.SGD(self.weights, RATE, MOMENTUM, weight_decay=DECAY)
        self.alpha_optimizer = torch.optim.Adam(network.alphas, 3e-4, (0.5, 0.999), weight_decay=1e-3)

    def step(self, train, valid):
        self.alpha_optimizer.zero_grad()
        if self.order == 1:
            self.loss(self.network, valid).backward()
        else:
            self.second_order(train, valid)
        self.alpha_optimizer.step()
        self.optimizer.zero_grad()
        loss = self.loss(self.network, train)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.optimizer.step()
        return loss.detach()

    @staticmethod
    def loss(network, batch):
        images, labels = batch
        return cross_entropy(network(images), labels)

    def second_order(self, train, valid):
        """Leave the gradient of Eq. 7 in the alphas, with the finite difference of Eq. 8."""
        network, alphas = self.network, self.network.alphas
        slope = torch.autograd.grad(self.loss(network, train), self.weights)
        unrolled = copy.deepcopy(network)
        with torch.no_grad():
            for ahead, weight, part in zip(unrolled.parameters(), self.weights, slope, strict=True):
                buffer = self.optimizer.state[weight].get("momentum_buffer", 0)
                ahead.sub_(RATE * (MOMENTUM * buffer + part + DECAY * weight))
        self.loss(unrolled, valid).backward()
        vector = [weight.grad for weight in unrolled.parameters()]
        eps = 0.01 / torch.cat([part.flatten() for part in vector]).norm()
        sides = []
        for shift in (eps, -2 * eps, eps):
            with torch.no_grad():
                for weight, part in zip(self.weights, vector, strict=True):
                    weight.add_(shift * part)
            if len(sides) < 2:
                sides.append(torch.autograd.grad(self.loss(network, train), alphas))
        for alpha, ahead, plus, minus in zip(alphas, unrolled.alphas, *sides, strict=True):
            alpha.grad = ahead.grad - RATE * (plus - minus) / (2 * eps)


def networks(size: str, device: str) -> tuple[PlainSearchNetwork, SearchNetwork]:
    """Return the network in both formulations, of the same weights and alphas."""
    channels, cells, nodes, _, _, in_channels = SIZES[size]
    torch.manual_seed(0)
    plain = PlainSearchNetwork(channels, 10, cells, nodes, in_channels=in_channels).to(device)
    network = SearchNetwork(channels, 10, cells, nodes, in_channels=in_channels).to(device)
    load_released(network, plain.state_dict())
    plain.alphas = [alpha.detach().clone().requires_grad_() for alpha in network.alphas]
    return plain, network


def ours(order: int, network: SearchNetwork, bf16: bool, capture: str):
    """Return this package's step."""
    device = network.alphas_normal.device
    weights = torch.optim.SGD(network.weights(), RATE, MOMENTUM, weight_decay=DECAY)
    alphas = torch.optim.Adam(network.alphas, 3e-4, (0.5, 0.999), weight_decay=1e-3, capturable=device.type == "cuda")
    search = ImageSearch(network, weights, alphas, order=order, clip=CLIP, bf16=bf16)
    return captured(capture, search.step, network, [weights, alphas])


def make(order: int, formulation: str, size: str, device: str):
    """Return a step on random images, which returns the training loss, and in ours the logits too."""
    *_, batch, pixels, in_channels = SIZES[size]
    plain, network = networks(size, device)
    prepare, bf16 = accelerate(formulation, plain if formulation == "plain" else network, device)
    capture = "auto" if formulation == "fast" else "off"
    step = Plain(plain, order).step if formulation == "plain" else ours(order, network, bf16, capture)
    images = torch.randn(2, batch, in_channels, pixels, pixels, device=device)
    labels = torch.randint(10, (2, batch), device=device)
    batches = [(prepare(x), y) for x, y in zip(images, labels, strict=True)]
    return lambda: step(*batches)


STEPS = EPOCHS * -(-IMAGES // SIZES["paper"][3])
CASES = {f"search, order {order}": Case(partial(make, order), STEPS) for order in (1, 2)}
