"""Latency: a path's is the sum of its blocks' medians, everything is timed in turn, and nothing is timed cold."""

from time import perf_counter, thread_time

import numpy as np
import pytest
import torch
from test_single_path import NETWORKS

from repro.spaces.space import Cost
from repro.spos import latency
from repro.training import devices

X = torch.rand(2, 1, 8, 8)


@pytest.fixture
def counted(monkeypatch):
    """A clock for which the k-th call takes k ms in the first round, and 10 and 1000 times as long in the others."""
    seen = []

    def use(calls):
        def timed(call, device, clock):
            call()
            seen.append(clock)
            index = len(seen) - 1
            return None, 1e-3 * (index % calls) * (1, 10, 1000)[index // calls]

        monkeypatch.setattr(devices, "timed", timed)
        return seen

    return use


@pytest.mark.parametrize("name", NETWORKS)
def test_the_latency_of_a_path_is_the_sum_of_its_blocks(name, counted):
    network, rng = NETWORKS[name](), np.random.default_rng(0)
    places = [(i, *choice) for i in range(network.space.layers) for choice in np.ndindex(*network.space.at(i))]
    genes = list({network.space.random(rng): None for _ in range(3)})  # in a small space some are drawn twice
    calls = len(places) + 2 + len(genes)  # stem and head, and whole networks
    seen = counted(calls)
    (found,) = latency.measure({"": network}, {"": genes}, X, 3).values()
    assert len(seen) == 3 * calls
    assert set(seen) == {thread_time if torch.get_num_threads() == 1 else perf_counter}
    middle = {place: 10 * (1 + index) for index, place in enumerate(places)}  # the stem is the first
    for gene in genes:
        blocks = [middle[index, *choice] for index, choice in enumerate(network.space.by_layer(gene))]
        assert found.cost(gene) == pytest.approx(0 + sum(blocks) + 10 * (len(places) + 1))
    assert found.whole == pytest.approx({gene: 10 * (len(places) + 2 + i) for i, gene in enumerate(genes)})
    assert Cost.from_json(found.cost.to_json())(genes[0]) == found.cost(genes[0])
    assert found.spread(genes[0]) == pytest.approx(found.cost(genes[0]) * (505 - 5.5) / 10)  # quartiles of 1, 10, 1000


def test_every_call_runs_twice_in_a_round_and_only_the_second_is_timed(monkeypatch):
    network, runs, timed = NETWORKS["mobile"](), [], []
    stem = network.stem
    monkeypatch.setattr(network, "stem", lambda x: runs.append(len(timed)) or stem(x))
    monkeypatch.setattr(devices, "timed", lambda call, *rest: timed.append(call()) or (None, 1.0))
    latency.measure({"": network}, {"": []}, X, 2)
    calls = 2 + sum(network.space.sizes)
    assert len(timed) == 2 * calls
    assert runs == [0, *(0, 0), *(calls, calls)]  # at first for the inputs of the layers
