"""Cells by performance: what hurts most is kept, what is decided stays, and an interrupted derivation ends the same."""

import pytest
import torch
from finished import run
from interruptions import interrupted

from repro.beyond.derivation import REMOVED, choose_edges, choose_operation, order
from repro.errors import UsageError
from repro.experiments import derivation
from repro.spaces.genotypes import CONVOLUTIONAL
from repro.spaces.nas_bench import gene_201

pytestmark = pytest.mark.usefixtures("folder")


def test_the_operation_whose_removal_hurts_most_is_chosen_whatever_its_alpha():
    alpha = torch.zeros(3, 5)
    alpha[1, 4] = 3.0

    def error():  # operation 2 of edge 1 is worth most
        share = alpha.softmax(1)[1]
        return 100 - 50 * share[2].item() - 10 * share[4].item()

    before = alpha.clone()
    errors = choose_operation(alpha, 1, error)
    assert errors.index(max(errors)) == 2
    assert alpha[1].softmax(0).tolist() == pytest.approx([0, 0, 1, 0, 0])
    assert torch.equal(alpha[[0, 2]], before[[0, 2]])
    assert len(choose_operation(alpha, 0, error, first=1)) == 4


def test_the_two_edges_without_which_the_network_is_worst_are_retained():
    alpha = torch.zeros(CONVOLUTIONAL.rows(3).start, 8)
    alpha[:, 3] = 5.0
    worth = torch.tensor([1.0, 7.0, 2.0, 9.0])  # of the edges into node 2

    def error():
        return 100 - (worth * (1 - alpha[5:9].softmax(1)[:, 0])).sum().item()

    errors = choose_edges(alpha, 2, error, CONVOLUTIONAL)
    assert [round(value - min(errors)) for value in errors] == [0, 6, 1, 8]
    assert (alpha[5:9, 3] > REMOVED).tolist() == [False, True, False, True]
    assert (alpha[:5, 3] == 5).all()


def test_every_edge_is_decided_once_in_an_order_of_the_seed():
    assert sorted(order([2, 3], 0)) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert order([6], 0) == order([6], 0) != order([6], 1)


SEARCH = {"images": 48, "batch": 12, "channels": 2, "epochs": 1}
NAMED = "run:nb201-search/" + ",".join(f"{key}={value}" for key, value in SEARCH.items())


def test_a_derivation_ends_the_same_where_it_was_interrupted():
    run("nb201-search", **SEARCH)
    options = {"search": NAMED, "tune_steps": 2, "checkpoint_minutes": 1e-9}
    whole = run("derivation", **options)
    assert whole.result["decisions"] == 6
    gene_201(whole.result["cell"])
    rows = [row["errors"] for row in whole.metrics()]
    for path in whole.path.glob("*"):
        path.unlink() if path.is_file() else None
    for at in (2, 5):
        with interrupted(derivation.ImageSearch, "weight_step", at):
            run("derivation", **options)
    again = run("derivation", **options)
    assert [row["errors"] for row in again.metrics()] == rows
    assert again.result == whole.result


def test_a_search_of_another_kind_is_refused_in_one_line():
    with pytest.raises(
        UsageError, match=r"search=run:ptb-search has no alphas to decide on: name nb201-search or cifar10"
    ):
        run("derivation", search="run:ptb-search")
