"""The formulation that a GPU computes knows no memory layout: with channels last the gradients are the same."""

import pytest
import torch
from torch.nn import functional

from repro.darts.cnn import depthwise, search_network
from repro.darts.cnn.search_network import SearchNetwork


def gradients(layout, dense):
    """Of w and alpha, in float64, with images and weights in a layout."""
    torch.manual_seed(0)
    network = SearchNetwork(channels=4, cells=3, nodes=2, dense=dense).double().to(memory_format=layout)
    images, labels = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.randint(10, (4,))
    loss = functional.cross_entropy(network(images.contiguous(memory_format=layout)), labels)
    return torch.autograd.grad(loss, [*network.weights(), *network.alphas])


@pytest.mark.parametrize("dense", [False, True])
def test_gradients_are_the_same_in_both_layouts(dense, monkeypatch):
    """On the H200 they were not, so that the fault is no one's here (docs/gpu.md)."""
    monkeypatch.setattr(search_network, "folds_on", lambda device: False)
    monkeypatch.setattr(depthwise, "laid_out", lambda x: x)
    monkeypatch.setattr(depthwise, "library_is_fast", lambda *how: True)
    both = (gradients(layout, dense) for layout in (torch.contiguous_format, torch.channels_last))
    for plain, last in zip(*both, strict=True):
        torch.testing.assert_close(last, plain, rtol=1e-10, atol=1e-12)
