"""The lens: a search is the same with it, float64 is the search's own problem, and one unrolled step is exact."""

import pytest
import torch

from repro.beyond.lens import look, medians
from repro.configs.cifar10_search import CifarSearch
from repro.darts.bilevel import architecture_gradient
from repro.darts.cnn.search import ImageSearch
from repro.darts.cnn.search_network import SearchNetwork


@pytest.fixture
def search():
    """A small search two steps old, so that SGD has momentum, and batches for its next step."""
    torch.manual_seed(0)
    network = SearchNetwork(4, 10, 3, 2)
    sgd = torch.optim.SGD(network.weights(), 0.05, 0.9, weight_decay=CifarSearch.weight_decay)
    search = ImageSearch(network, sgd, torch.optim.Adam(network.alphas, 0.01))
    batches = [(torch.randn(6, 3, 8, 8), torch.randint(10, (6,))) for _ in range(2)]
    for _ in range(2):
        search.step(*batches)
    return search, batches


def test_a_look_leaves_network_and_optimizers_as_they_are(search):
    search, batches = search
    state = lambda: [search.network.state_dict(), search.weight_optimizer.state_dict()["state"]]
    before = [value.clone() for value in torch.utils._pytree.tree_leaves(state())]
    look(search, *batches, (0.01,), (1, 2))
    assert all(map(torch.equal, before, torch.utils._pytree.tree_leaves(state())))


def test_a_look_compares_what_the_search_would_take(search):
    search, batches = search
    seen = look(search, *batches, (0.01,), (1,))
    assert seen["gradients"]["unrolled 1"]["relative_error"] < 1e-10
    in_search = search.cosine(*batches)
    ours = next(row for row in seen["differences"] if row["precision"] == "float32")
    assert ours["cosine"] == pytest.approx(in_search, abs=1e-3)
    first, exact = (
        torch.cat([part.flatten() for part in architecture_gradient(order, **search.problem(*batches))])
        for order in (1, "exact")
    )
    cosine = torch.cosine_similarity(first, exact, dim=0).item()
    assert seen["gradients"]["first order"]["cosine"] == pytest.approx(cosine, abs=1e-4)
    assert seen["share"] > 0
    assert medians([seen, seen])["float32"]["0.01"] == ours["cosine"]
