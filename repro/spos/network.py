"""Single-path networks (SPOS Sect. 3): in each layer a gene chooses one alternative; only that path runs and learns.

An alternative is written down once, as chains of convolutions with their shapes. Modules, slices of weights held at
their widest ("Channel Number Search"), parameters and multiply-adds follow from the chains. x is (N, C, H, W).

Equals `spos.plain.Supernet`; held by `test_single_path.py::test_the_path_of_a_gene_is_the_plain_one`.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.darts.cnn.depthwise import laid_out, strided
from repro.spaces.space import Cost, Space

Region = tuple[slice, ...]  # the leading part of a parameter


class Conv(NamedTuple):
    """A convolution without bias, its BatchNorm and perhaps a ReLU."""

    inp: int
    out: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    relu: bool = True
    groups: int = 1  # unless it is depthwise; then channels are shuffled if a ReLU follows, as in ShuffleNet

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the weight."""
        return self.out, 1 if self.depthwise else self.inp // self.groups, self.kernel, self.kernel

    def module(self) -> nn.Conv2d:
        """Return the layer itself; same padding."""
        groups = self.inp if self.depthwise else self.groups
        return nn.Conv2d(self.inp, self.out, self.kernel, self.stride, self.kernel // 2, groups=groups, bias=False)


Chain = tuple[Conv, ...]


def chain_cost(chain: Chain, size: int) -> np.ndarray:
    """Return parameters (BatchNorm's scale and shift included) and multiply-adds on (size, size) inputs."""
    total = np.zeros(2, dtype=np.int64)
    for conv in chain:
        weights, size = int(np.prod(conv.shape)), -(-size // conv.stride)
        total += weights + 2 * conv.out, weights * size**2
    return total


def region(shape: Sequence[int]) -> Region:
    """Return the leading part of that shape, as slices."""
    return tuple(slice(0, n) for n in shape)


def convolve(x: Tensor, weight: Tensor, part: Conv) -> Tensor:
    """Apply `part` with this weight to (N, part.inp, H, W)."""
    stride, groups = part.stride, part.inp if part.depthwise else part.groups
    if part.kernel == 1 and stride > 1:
        x, stride = strided(x, stride), 1
    return F.conv2d(x, weight, None, stride, part.kernel // 2, 1, groups)


class SlicedNorm(nn.BatchNorm2d):
    """BatchNorm that serves its first C channels when x has only C of them."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        if (n := x.shape[1]) == self.num_features:
            return super().forward(x)
        if self.training:
            self.num_batches_tracked.add_(1)
        scale, shift = (None, None) if self.weight is None else (self.weight[:n], self.bias[:n])
        mean, var = self.running_mean[:n], self.running_var[:n]
        return F.batch_norm(x, mean, var, scale, shift, self.training, self.momentum, self.eps)


class Branch(nn.Sequential):
    """A chain of convolutions, held at its widest and run at the width of the chain that `forward` is given."""

    def __init__(self, widest: Chain, affine: bool) -> None:
        layers = []
        for conv in widest:  # ReLUs are modules too: the authors' checkpoints number the others by their places
            layers += [conv.module(), SlicedNorm(conv.out, affine=affine), *[nn.ReLU()] * conv.relu]
        super().__init__(*layers)

    def pairs(self) -> Iterator[tuple[nn.Conv2d, SlicedNorm]]:
        """Go through the convolutions, each with its BatchNorm."""
        modules = list(self)
        return ((conv, norm) for conv, norm in itertools.pairwise(modules) if isinstance(conv, nn.Conv2d))

    def forward(self, x: Tensor, chain: Chain) -> Tensor:
        """Map (N, chain[0].inp, H, W) to (N, chain[-1].out, H / stride, W / stride)."""
        for (conv, norm), part in zip(self.pairs(), chain, strict=True):
            x = norm(convolve(x, conv.weight[region(part.shape)], part))  # sliced on both sides
            x = F.relu(x, inplace=True) if part.relu else x
            x = F.channel_shuffle(x, part.groups) if part.relu and part.groups > 1 else x
        return x

    def used(self, chain: Chain) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the parameters that `chain` uses, each with the part that it uses."""
        for (conv, norm), part in zip(self.pairs(), chain, strict=True):
            yield conv.weight, region(part.shape)
            yield from ((p, region(part.shape[:1])) for p in norm.parameters())


class SinglePath(nn.Module):
    """A network of layers through which a gene chooses the path.

    Subclasses give the attributes, `stem` and `head` (tensor to tensor) and `ends`, the modules that these two use.
    A layer maps (x, *choice) to x and has `chains(*choice)`, `used(*choice)` and a `stride`.
    """

    space: Space
    features: Sequence[nn.Module]
    size: int  # of the square inputs
    reduction: int  # of that size in the stem
    chains: Chain  # convolutions of the stem, `stems` of them, and perhaps one of the head
    stems = 1
    bgr = False  # whether its weights are the authors', which want images in BGR, 0 to 255

    def forward(self, x: Tensor, gene: Sequence[int] = ()) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes) along the path of `gene`."""
        choices = self.space.by_layer(gene)
        x = self.stem(laid_out(x))
        for layer, choice in zip(self.features, choices, strict=True):
            x = layer(x, *choice)
        return self.head(x)

    def names(self, gene: Sequence[int]) -> dict[str, list[str]]:
        """Return the names of what a gene chooses, and of what is fixed, kind by kind, layer by layer."""
        return self.space.names(gene)

    def path(self, gene: Sequence[int] = ()) -> list[tuple[nn.Parameter, Region]]:
        """Return the parameters on the path, each with the part of it that is used: all that a step may change."""
        path = [(p, region(p.shape)) for module in self.ends() for p in module.parameters()]
        for layer, choice in zip(self.features, self.space.by_layer(gene), strict=True):
            path += layer.used(*choice)
        return path

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape (C, H, W) of an image."""
        return self.chains[0].inp, self.size, self.size

    def sizes(self) -> list[int]:
        """Return the size of the square inputs of each layer and, last, of the head."""
        strides = [self.reduction, *(layer.stride for layer in self.features)]
        return list(itertools.accumulate(strides, lambda size, stride: -(-size // stride), initial=self.size))[1:]

    def costs(self) -> dict[str, Cost]:
        """Return the `parameters` (with affine BatchNorm, as retrained) and `multiply-adds` of any gene, exactly."""
        rows = [np.zeros((2, *self.space.at(index)), dtype=np.int64) for index in range(len(self.features))]
        for row, layer, size in zip(rows, self.features, self.sizes(), strict=False):
            for choice in np.ndindex(*row.shape[1:]):
                row[:, *choice] = sum(chain_cost(chain, size) for chain in layer.chains(*choice))
        linear = next(m for end in self.ends() for m in end.modules() if isinstance(m, nn.Linear))
        fixed = np.array([sum(p.numel() for p in linear.parameters()), linear.weight.numel()])
        stem, head = self.chains[: self.stems], self.chains[self.stems :]
        fixed += chain_cost(stem, self.size) + chain_cost(head, self.sizes()[-1])
        names = "parameters", "multiply-adds"
        return {name: Cost.of_layers(name, fixed[i].item(), [row[i] for row in rows]) for i, name in enumerate(names)}


class Choices(nn.ModuleList):
    """A layer of alternatives, of which `choice` runs; further choices go to the alternative itself."""

    @property
    def stride(self) -> int:
        """Return the stride, the same for all."""
        return self[0].stride

    def forward(self, x: Tensor, choice: int, *rest: int) -> Tensor:
        """Run alternative `choice`."""
        return self[choice](x, *rest)

    def chains(self, choice: int, *rest: int) -> list[Chain]:
        """Return the convolutions of alternative `choice`."""
        return self[choice].chains(*rest)

    def used(self, choice: int, *rest: int) -> Iterator[tuple[nn.Parameter, Region]]:
        """Go through the parameters of alternative `choice`."""
        return self[choice].used(*rest)


class Mixture(nn.Module):
    """A supernet run as a whole, as relaxations do: each layer adds up its alternatives, weighted by softmax(alpha).

    Alpha is learnt by the loss, with the weights. In a `path_training.PathTraining` it stands where one path would: the
    empty gene is all of it, and one of several paths, one after another, is these alone, as ProxylessNAS runs two. For
    spaces of one kind of choice.
    """

    def __init__(self, network: SinglePath) -> None:
        super().__init__()
        self.network = network
        self.alphas = nn.Parameter(torch.zeros(len(network.features), *map(len, network.space.kinds.values())))

    def chosen(self, gene: Sequence[int]) -> list[Sequence[int]]:
        """Return which alternatives run in each layer."""
        layers = self.network.features
        return [gene[index :: len(layers)] or range(len(layer)) for index, layer in enumerate(layers)]

    def forward(self, x: Tensor, gene: Sequence[int] = ()) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes)."""
        x = self.network.stem(laid_out(x))
        for layer, alphas, chosen in zip(self.network.features, self.alphas, self.chosen(gene), strict=True):
            weights = alphas[list(chosen)].softmax(dim=0)
            x = functools.reduce(torch.add, (w * layer[each](x) for w, each in zip(weights, chosen, strict=True)))
        return self.network.head(x)

    def path(self, gene: Sequence[int] = ()) -> list[tuple[nn.Parameter, Region]]:
        """Return the parameters of all that runs, and alpha, whole."""
        layers = zip(self.network.features, self.chosen(gene), strict=True)
        running = [layer[each] for layer, chosen in layers for each in chosen]
        return [(p, region(p.shape)) for module in (*self.network.ends(), *running) for p in module.parameters()] + [
            (self.alphas, region(self.alphas.shape))
        ]
