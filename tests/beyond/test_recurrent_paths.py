"""Uniform paths through recurrent cells: a path is the discrete cell bit for bit, and what is found can be trained."""

import pytest
import torch
from finished import run

from repro.beyond.recurrent_paths import WORST, PathDescent, PerplexityJudge, recurrent_space
from repro.darts.rnn.language_model import LanguageModel
from repro.darts.rnn.training import CellTrainer, Descent, descend, evaluate
from repro.darts.rnn.windows import Lengths, search_length
from repro.errors import ReproError
from repro.spaces.genotypes import from_json
from repro.spaces.space import PathSampler
from repro.training.fit import Epoch

SPACE = recurrent_space(4)
SMALL = {"tokens": 400, "batch": 8, "hidden_size": 6, "bptt": 10, "epochs": 1, "nodes": 2}


def model(gene=(0,) * 8):
    torch.manual_seed(0)
    return LanguageModel(12, 5, SPACE.genotype(gene))


def words(rows=21):
    return torch.randint(12, (rows, 3), generator=torch.Generator().manual_seed(1))


def test_the_space_holds_every_derived_cell():
    assert SPACE.sizes == (1, 2, 3, 4, 4, 4, 4, 4)
    small = recurrent_space(2)
    assert len({small.genotype(gene) for gene in small.genes()}) == small.count == 2 * 4 * 4
    cell = SPACE.genotype((0, 1, 0, 3, 0, 1, 2, 3))
    assert [tuple(edge) for edge in cell.recurrent] == [("tanh", 0), ("relu", 1), ("sigmoid", 0), ("identity", 3)]
    assert cell.concat == (1, 2, 3, 4)
    with pytest.raises(ReproError, match=r"choice 2 for the state of layer 1 is out of range: give 0 to 1 \(0, 1\)"):
        SPACE.check((0, 2, 0, 0, 0, 0, 0, 0))


def test_a_path_is_the_discrete_cell_bit_for_bit():
    supernet, text = model(), words()
    for gene in ((0, 1, 0, 3, 0, 1, 2, 3), (0, 0, 2, 1, 3, 3, 0, 1)):
        SPACE.choose(supernet, gene)
        cell = model(gene)
        cell.load_state_dict(supernet.state_dict())
        losses = []
        for network in (supernet, cell):
            torch.manual_seed(2)  # the same dropout
            network.zero_grad()
            losses.append(network(text[:-1], text[1:], network.initial(3)).loss)
            losses[-1].backward()
        assert torch.equal(*losses)
        for one, other in zip(supernet.weights(), cell.weights(), strict=True):
            assert torch.equal(one.grad, other.grad)
        judge = PerplexityJudge(SPACE, supernet, text, 7)
        assert judge(gene) == -evaluate(cell, text, 7)


def test_every_window_draws_a_path_and_trains_it_alone(monkeypatch):
    network, drawn = model(), []
    descent = PathDescent(5, sampler=PathSampler(SPACE, 3))
    training = CellTrainer(network, descent, 1.0)
    step = Descent.step

    def seen(self, network, *given):
        drawn.append(network.wiring)
        return step(self, network, *given)

    monkeypatch.setattr(Descent, "step", seen)
    descend(training, words(), Lengths(search_length, 0), Epoch(0))
    twin = PathSampler(SPACE, 3)
    cells = [SPACE.genotype(twin()) for _ in drawn]
    assert len(drawn) >= 4
    assert [wiring.activations for wiring in drawn] == [tuple(edge.op for edge in cell.recurrent) for cell in cells]
    assert len({wiring.activations for wiring in drawn}) > 1


def test_a_cell_whose_states_grow_without_bound_is_the_worst():
    network = model((0,) * 4 + (1,) * 4)
    with torch.no_grad():
        network.maps.fill_(float("inf"))
    assert PerplexityJudge(SPACE, network, words(), 7)((0,) * 4 + (1,) * 4) == WORST


def test_what_evolution_found_is_a_cell_that_full_training_takes(folder):
    evolution = {"generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1}
    found = run("ptb-paths", **SMALL, **evolution)
    scores = {part: found.child(part).metrics() for part in ("evolution", "random")}
    assert [len(rows) for rows in scores.values()] == [8, 8]
    assert scores["evolution"][:4] == scores["random"][:4]  # both begin with the same random cells
    best = max(scores["evolution"], key=lambda row: row["log_likelihood"])
    assert recurrent_space(2).genotype(best["gene"]) == from_json(found.result["genotype"])
    named = ",".join(f"{name}={value}" for name, value in {**SMALL, **evolution}.items())
    sizes = {name: value for name, value in SMALL.items() if name != "nodes"}
    trained = run("ptb-eval", genotype=f"run:ptb-paths/{named}", **sizes)
    assert trained.result["genotype"] == found.result["genotype"]
