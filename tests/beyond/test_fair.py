"""Fair sampling: every choice once in a step, shared weights move once, and its gradient is the sum over its paths."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from repro.beyond.cell_network import CellNetwork
from repro.beyond.fair import FairSampler, FairTraining
from repro.errors import UsageError
from repro.spaces.space import Space
from repro.spos.path_training import path_training


def test_paths_of_a_step_take_every_choice_once():
    sampler = FairSampler(Space(4, {"block": ("a", "b", "c")}), seed=0)
    drawn = [sampler.paths() for _ in range(20)]
    for paths in drawn:
        assert all(sorted(column) == [0, 1, 2] for column in zip(*paths, strict=True))
    assert len({tuple(paths) for paths in drawn}) > 15


def test_a_sampler_goes_on_where_it_was():
    one, other = (FairSampler(Space(4, {"block": ("a", "b", "c")}), seed) for seed in (0, 1))
    one.paths()
    other.load_state_dict(one.state_dict())
    assert one.paths() == other.paths()


def test_layers_with_other_numbers_of_choices_are_refused():
    with pytest.raises(UsageError, match=r"as many choices in every layer, not \[2, 3\]"):
        FairSampler(Space(3, {"block": ("a", "b", "c")}, frozenset({0})), seed=0)


def test_a_step_is_one_of_sgd_along_the_sum_of_the_paths_gradients():
    torch.manual_seed(0)
    network = CellNetwork(2, 5, 1, in_channels=1).double()
    x, y = torch.randn(6, 1, 8, 8).double(), torch.arange(6) % 5
    sampler, twin = FairSampler(network.space, 3), FairSampler(network.space, 3)
    training = path_training(network, sampler, 10, lr=0.1, weight_decay=0.0, label_smoothing=0.0, kind=FairTraining)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    losses = [cross_entropy(network(x, gene), y) for gene in twin.paths()]
    gradients = torch.autograd.grad(sum(losses), network.parameters(), allow_unused=True)
    loss, _ = training.step(x, y)
    assert loss.item() == pytest.approx(sum(each.item() for each in losses) / 5, abs=1e-12)
    for (name, value), gradient in zip(network.named_parameters(), gradients, strict=True):
        moved = before[name] if gradient is None else before[name] - 0.1 * gradient
        torch.testing.assert_close(value.detach(), moved, rtol=1e-10, atol=1e-12)
    assert training.schedule.last_epoch == 1
