"""A supernet of any modules (SPOS Sect. 3): images (N, C, H, W) to logits (N, classes), a module of each layer chosen.

`network` is for blocks that share weights among widths, and that list their convolutions; here an alternative is a
module like any other, used whole, and what it costs is counted.

Equals `spos.plain.Supernet`; held by `test_single_path.py::test_a_supernet_of_any_modules_is_the_plain_one`.
"""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from repro.darts.complexity import count_mult_adds, count_parameters
from repro.errors import UsageError
from repro.spaces.space import Cost, Space
from repro.spos.network import Choices, Region, SinglePath, region


class Supernet(SinglePath):
    """A single-path supernet between the modules `stem` and `head`.

    layers: the alternatives of each layer by name, the same names in all; what a layer's alternatives return has one
    shape. shape: of an image, (C, H, W). UsageError for other names or shapes.
    """

    def __init__(
        self, stem: nn.Module, layers: Sequence[Mapping[str, nn.Module]], head: nn.Module, shape: Sequence[int]
    ) -> None:
        super().__init__()
        for index, layer in enumerate(layers):
            if list(layer) != list(layers[0]):
                raise UsageError(
                    f"layer {index} has the choices {list(layer)}, layer 0 {list(layers[0])}: give the same"
                )
        self.space = Space(len(layers), {"block": tuple(layers[0])})
        self.stem, self.head, self.image = stem, head, tuple(shape)
        self.features = nn.ModuleList(Choices(layer.values()) for layer in layers)
        self.inputs = self._inputs()  # shape of what enters each layer and, last, the head

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of an image."""
        return self.image

    def path(self, gene: Sequence[int] = ()) -> list[tuple[nn.Parameter, Region]]:
        """Return the parameters of stem, head and the modules that `gene` chooses, all of them whole."""
        layers = zip(self.features, self.space.by_layer(gene), strict=True)
        modules = [self.stem, self.head, *(layer[choice] for layer, (choice,) in layers)]
        return [(p, region(p.shape)) for module in modules for p in module.parameters()]

    def costs(self) -> dict[str, Cost]:
        """Return the `parameters` and `multiply-adds` of any gene; of modules as they are, in evaluation."""
        table = np.array(
            [[_counts(each, shape) for each in layer] for layer, shape in zip(self.features, self.inputs, strict=False)]
        )  # (layers, choices, 2)
        fixed = _counts(self.stem, self.image) + _counts(self.head, self.inputs[-1])
        names = "parameters", "multiply-adds"
        return {name: Cost(name, fixed[i].item(), table[..., i]) for i, name in enumerate(names)}

    def _inputs(self) -> list[tuple[int, ...]]:
        """Follow the shape of an image through the layers, on the meta device, where nothing is computed."""
        network, shapes = copy.deepcopy(nn.ModuleList((self.stem, *self.features))).to("meta").eval(), []
        x = network[0](torch.empty(1, *self.image, device="meta"))
        for index, layer in enumerate(network[1:]):
            shapes.append(tuple(x.shape[1:]))
            found = [each(x) for each in layer]
            if len({each.shape for each in found}) > 1:
                names = zip(*self.space.kinds.values(), found, strict=True)
                told = ", ".join(f"{name} {tuple(y.shape[1:])}" for name, y in names)
                raise UsageError(f"the choices of layer {index} return different shapes ({told}): give them one")
            x = found[0]
        return [*shapes, tuple(x.shape[1:])]


def _counts(module: nn.Module, shape: Sequence[int]) -> np.ndarray:
    """Return the parameters and multiply-adds of a module on one input."""
    return np.array([count_parameters(module), count_mult_adds(module, *shape)])
