"""Language models in training: windows tile the text, resume is exact in both optimizers, a bad loss is survived."""

import math
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from repro.configs.common import Trained
from repro.configs.language_search import PtbSearch
from repro.darts.discretise import random_recurrent_genotype
from repro.darts.rnn.language_model import Dropout, LanguageModel
from repro.darts.rnn.search import LanguageSearch, architecture, search_epoch, validate
from repro.darts.rnn.training import CellTrainer, Descent, evaluate, streams, train_epoch
from repro.darts.rnn.windows import (
    Lengths,
    NotFinite,
    WindowAverage,
    Windows,
    search_length,
    training_length,
    window,
)
from repro.errors import ReproError, UsageError
from repro.experiments import language
from repro.runs.run import Run
from repro.spaces.genotypes import PUBLISHED, RecurrentGenotype
from repro.training import checkpoints
from repro.training.cuda_graph import Captured
from repro.training.fit import Epoch, fit
from repro.training.observer import Observer

CELL = RecurrentGenotype((("tanh", 0), ("relu", 1)), (1, 2))
V, H, B = 12, 16, 4
MILD = Dropout(0.1, 0.1, 0.2, 0.1, 0.2)


def words(count=600, seed=0):
    """A text with something to learn: each word is mostly the one before plus one."""
    generator = torch.Generator().manual_seed(seed)
    jumps = torch.where(
        torch.rand(count, generator=generator) < 0.8, 1, torch.randint(V, (count,), generator=generator)
    )
    return jumps.cumsum(0) % V


def training(lr=10.0, patience=1, capture="off"):
    torch.manual_seed(7)
    network = LanguageModel(V, H, CELL, dropout=MILD)
    return CellTrainer(network, Descent(bptt=10), lr, capture=capture, patience=patience)


def search(order=2, dropout=MILD, dtype=torch.float32, **options):
    torch.manual_seed(7)
    network = LanguageModel(V, H, nodes=2, dropout=dropout).to(dtype)
    weights = torch.optim.SGD(network.weights(), 5.0, weight_decay=5e-7)
    alphas = torch.optim.Adam(network.alphas, 0.01, (0.9, 0.999), weight_decay=1e-3)
    return LanguageSearch(network, weights, alphas, Descent(bptt=10), order, **options)


def epochs_of(side, lengths):
    """The epoch function of a recipe."""
    train, valid = (streams(side.network, words(seed=seed), B) for seed in (0, 1))
    if isinstance(side, LanguageSearch):
        train = train[:60]
        return lambda epoch: search_epoch(side, train, valid, lengths, epoch)
    return lambda epoch: train_epoch(side, train, valid, lengths, epoch)


class Watch(Observer):
    """Takes the gradient and alpha in every step, before it and after."""

    def __init__(self, side):
        self.side, self.steps, self.moved, self.gradients = side, [], [], []

    def before(self, index, *given):
        self.alpha = self.side.network.alpha.detach().clone()
        self.gradients.append(self.side.gradient(*given)[0][0].norm().item())

    def after(self, index, *given):
        self.steps.append(index)
        self.moved.append(not torch.equal(self.alpha, self.side.network.alpha))


def test_an_observer_of_the_search_changes_nothing():
    """Though what it computes draws masks of dropout."""
    plain, seen, rows = search(), search(), []
    watch = Watch(seen)
    for side, observers in ((plain, {}), (seen, {"watch": watch})):
        torch.manual_seed(1)
        train, valid = (streams(side.network, words(300, seed), B) for seed in (0, 1))
        rows.append(search_epoch(side, train, valid, Lengths(search_length, 7), Epoch(0), **observers))
    assert rows[0] == rows[1]
    assert torch.equal(plain.network.alpha, seen.network.alpha)
    assert watch.steps == [*range(len(watch.steps))]
    assert len(watch.steps) > 1
    assert all(watch.moved)
    assert min(watch.gradients) > 0


class Stop(Exception):
    pass


def run(path, side, epochs=6, stop=None, minutes=10.0):
    path.mkdir(exist_ok=True)
    lengths = Lengths(search_length if isinstance(side, LanguageSearch) else training_length, 7)
    here = Run(path, "test", "smoke", Trained(checkpoint_minutes=minutes))
    once = epochs_of(side, lengths)

    def epoch(this):
        row = once(this)
        if this.index == stop:
            raise Stop
        return row

    fit(here, {"side": side, "lengths": lengths}, epochs, epoch)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in here.metrics()]


@pytest.mark.parametrize("draw", [search_length, training_length])
def test_windows_tile_the_text(draw):
    text = torch.arange(500)[:, None]
    read = [window(text, start, length) for start, length in Windows(text, Lengths(draw, 0), 20)]
    tokens, targets = (torch.cat(parts)[:, 0] for parts in zip(*read, strict=True))
    assert torch.equal(tokens, torch.arange(len(tokens)))
    assert torch.equal(targets, tokens + 1)
    assert len(tokens) >= 498


def test_window_lengths_are_those_of_the_release():
    state, searching, training = torch.get_rng_state(), Lengths(search_length, 0), Lengths(training_length, 0)
    searched = [searching(35) for _ in range(4000)]
    assert set(searched) == {35, 17}
    assert searched.count(17) / 4000 == pytest.approx(0.05, abs=0.015)
    trained = torch.tensor([training(35) for _ in range(4000)], dtype=torch.float64)
    assert 5 <= trained.min() < 15
    assert 45 < trained.max() <= 55
    assert trained.mean().item() == pytest.approx(0.95 * 34.5 + 0.05 * 17, abs=0.3)  # cut to whole numbers
    assert min(training(2) for _ in range(500)) == 5
    assert torch.equal(torch.get_rng_state(), state)  # that of dropout


@pytest.mark.parametrize("bptt", [1, 7, 1000])
def test_evaluation_is_the_mean_over_all_predicted_words(bptt):
    network = training().network.double()
    text = streams(network, words(83), 2)
    log_prob = network.eval().log_prob(text[:-1], network.initial(2))
    expected = functional.nll_loss(log_prob.flatten(0, 1), text[1:].flatten()).item()
    network.train()
    assert evaluate(network, text, bptt) == pytest.approx(expected, rel=1e-12)
    assert network.training


def test_training_beats_even_guesses(tmp_path):
    rows = run(tmp_path / "run", training(), epochs=8)
    assert rows[-1]["best_valid_perplexity"] < 0.5 * V


def test_averaging_begins_when_validation_has_stopped_falling(tmp_path):
    side = training(patience=2)
    for epoch, loss in enumerate([5.0, 4.0, 4.5, 4.4]):
        side.validated(loss, epoch)
        assert side.trigger is None  # 4.4 is above 4.0, but that is one of the last two
    side.validated(4.1, 4)
    assert side.trigger == 4
    assert isinstance(side.optimizer, torch.optim.ASGD)
    assert (side.optimizer.defaults["t0"], side.optimizer.defaults["lambd"]) == (0, 0)
    assert (side.best["loss"], side.best["epoch"]) == (4.0, 1)
    side.validated(9.0, 5)
    assert side.trigger == 4
    assert side.losses == [5.0, 4.0, 4.5, 4.4, 4.1]


def test_averaged_weights_are_the_mean_of_the_iterates():
    side = training()
    side.trigger = 0
    side._average()
    tokens = streams(side.network, words(), B)
    iterates, hidden = [], side.network.initial(B)
    for start in range(0, 60, 10):
        _, hidden = side.descent.step(side.network, side.optimizer, window(tokens, start, 10), hidden)
        iterates.append(side.network.maps.detach().clone())
    mean = torch.stack(iterates[1:]).mean(0)  # PyTorch's average begins at its second step
    torch.testing.assert_close(side.averaged()[-1], mean)
    assert torch.equal(side.network.maps, iterates[-1])


def survived(monkeypatch, path, side, epochs):
    """The rows of a run whose first loss was not finite."""
    loss, faults = WindowAverage.loss, iter([NotFinite("the loss is nan")])

    def once(self):
        for fault in faults:
            raise fault
        return loss(self)

    with monkeypatch.context() as patch:
        patch.setattr(WindowAverage, "loss", once)
        torch.manual_seed(3)
        return run(path, side, epochs)


@pytest.mark.parametrize(("make", "epochs"), [(search, 2), (training, 4)])
def test_replayed_steps_equal_plain_ones(make, epochs, tmp_path, monkeypatch):
    """Windows of many lengths, a return to the start of an epoch, and the change to averaged SGD included."""
    recorded = []

    def record(step, given):
        recorded.append(len(given[0][0]))
        results = tuple(map(torch.zeros_like, (torch.zeros(()), *given[len(given) // 2 :])))

        def replay():
            for place, value in zip(results, step(*given), strict=True):
                place.copy_(value)

        return replay, results

    for place in ("training", "search"):
        on_a_gpu = lambda asked, step, *of: step if asked == "off" else Captured(step, *of, record)
        monkeypatch.setattr(f"repro.darts.rnn.{place}.captured", on_a_gpu)
    sides = {capture: make(capture=capture) for capture in ("off", "auto")}
    rows = [survived(monkeypatch, tmp_path / capture, side, epochs) for capture, side in sides.items()]
    assert rows[0] == rows[1]
    assert [row["restarts"] for row in rows[0]] == [1] + [0] * (epochs - 1)
    assert make is search or sides["auto"].trigger < epochs - 1
    for one, other in zip(*(side.network.weights() for side in sides.values()), strict=True):
        assert torch.equal(one, other)
    assert len(recorded) > len(set(recorded)) > 1  # each length, and again after the return


@pytest.fixture
def on_meta(monkeypatch):
    """Let `meta` pass for a GPU, also where PyTorch lists those whose optimizers can be captured."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", torch.Tensor.is_meta)
    for kind in (torch.optim.Adam, torch.optim.ASGD):
        module = sys.modules[kind.__module__]
        monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda **_: ["meta"])
    return torch.device("meta")


@pytest.mark.parametrize("order", [1, 2])
def test_no_step_asks_for_a_value(order, on_meta):
    """A graph can hold no step that does; `meta` tensors have no values, so that asking for one raises."""
    params = PtbSearch.build({"order": order, "hidden_size": H, "nodes": 2, "batch": B})
    side = language.build_search(params, SimpleNamespace(vocabulary_size=V), on_meta)
    text, hidden = torch.zeros(6, B, dtype=torch.int64, device=on_meta), side.network.initial(B)
    assert side.alpha_optimizer.defaults["capturable"]
    for _ in range(2):
        assert side.step((text, text), (text, text), hidden, hidden)[1].shape == (B, H)


def test_no_step_of_averaged_sgd_asks_for_a_value(on_meta):
    side = CellTrainer(LanguageModel(V, H, CELL, dropout=MILD).to(on_meta), Descent())
    side._average()
    text = torch.zeros(6, B, dtype=torch.int64, device=on_meta)
    for _ in range(2):
        side.step((text, text), side.network.initial(B))
    assert side.averaged()[0].shape == (V, H)


def test_best_weights_are_what_is_tested(tmp_path):
    side = training()
    valid = streams(side.network, words(seed=1), B)
    rows = run(tmp_path / "run", side)
    side.load_best()
    assert math.exp(evaluate(side.network, valid, 10)) == pytest.approx(rows[-1]["best_valid_perplexity"], rel=1e-6)
    assert rows[side.best["epoch"]]["valid_perplexity"] == rows[-1]["best_valid_perplexity"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    side = training()
    return run(tmp_path_factory.mktemp("whole"), side), side


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_resumed_training_is_bit_identical_in_both_optimizers(tmp_path, uninterrupted, stop):
    rows, whole = uninterrupted
    assert whole.trigger == 2  # so that the stops lie in SGD, at the switch, and in averaged SGD
    with pytest.raises(Stop):
        run(tmp_path / "parts", training(), stop=stop)
    torch.manual_seed(99)
    resumed = training()
    assert run(tmp_path / "parts", resumed) == rows
    assert resumed.trigger == whole.trigger
    for one, other in zip(resumed.best["weights"], whole.best["weights"], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("order", [1, 2])
def test_resumed_search_is_bit_identical(tmp_path, order):
    whole = search(order)
    straight = run(tmp_path / "whole", whole, epochs=2)
    with pytest.raises(Stop):
        run(tmp_path / "parts", search(order), epochs=2, stop=1)
    resumed = search(order)
    assert run(tmp_path / "parts", resumed, epochs=2) == straight
    assert torch.equal(resumed.network.alpha, whole.network.alpha)


def window_pair():
    text = words(120).view(30, B)
    return (text[:10], text[1:11]), (text[15:25], text[16:26])


def test_search_moves_weights_and_alpha_towards_a_lower_loss():
    side = search(1, Dropout(0, 0, 0, 0, 0))
    before, hidden, losses = side.network.alpha.detach().clone(), side.network.initial(B), []
    for _ in range(80):
        losses.append(side.step(*window_pair(), hidden, hidden)[0].item())
    assert losses[0] == pytest.approx(math.log(V), rel=0.05)
    assert losses[-1] < 0.5 * losses[0]
    assert (side.network.alpha - before).abs().max() > 0.1
    found = architecture(side.network)
    assert len(found["genotype"]["recurrent"]) == 2
    assert [len(row) for row in found["softmax_alpha"]] == [5] * 3


def test_search_is_validated_with_batch_statistics_and_moves_none():
    side = search()
    text = streams(side.network, words(83), 4)
    before = {name: value.clone() for name, value in side.network.state_dict().items()}
    found = validate(side, text, Epoch(0))
    assert side.network.norm.training
    assert all(torch.equal(value, before[name]) for name, value in side.network.state_dict().items())
    undropped = search(dropout=Dropout(0, 0, 0, 0, 0)).network.train()
    log_prob = undropped.log_prob(text[:-1], undropped.initial(4))
    expected = functional.nll_loss(log_prob.flatten(0, 1), text[1:].flatten()).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_frozen_masks_make_the_finite_difference_that_of_one_function():
    gradients = {}
    for frozen in (True, False):
        for order in (2, "exact"):
            side = search(order, dtype=torch.float64, eps=1e-6, frozen_masks=frozen)
            hidden = side.network.initial(B)
            torch.manual_seed(3)
            gradients[frozen, order] = side.gradient(*window_pair(), hidden, hidden)[0][0]
    torch.testing.assert_close(gradients[True, 2], gradients[True, "exact"], rtol=1e-5, atol=1e-8)
    assert (gradients[False, 2] - gradients[False, "exact"]).norm() > 10 * gradients[False, "exact"].norm()


def test_embedding_moves_in_the_virtual_step_on_request():
    none = Dropout(0, 0, 0, 0, 0)
    found = []
    for moves in (False, True):
        side = search("exact", none, torch.float64, moves_embedding=moves)
        hidden = side.network.initial(B)
        found.append(side.gradient(*window_pair(), hidden, hidden))
    assert not torch.allclose(found[0][0][0], found[1][0][0], rtol=1e-3)
    assert not torch.allclose(found[0][1], found[1][1], rtol=1e-3)  # the hidden state after the validation window


def spoil(monkeypatch, calls):
    """Make the loss not finite in some of the network's calls."""
    forward, count = LanguageModel.forward, iter(range(10**6))

    def spoiled(self, *arguments, **options):
        output = forward(self, *arguments, **options)
        return output._replace(loss=output.loss * math.nan) if next(count) in calls else output

    monkeypatch.setattr(LanguageModel, "forward", spoiled)


def test_training_recovers_from_a_loss_that_is_not_finite(tmp_path, monkeypatch):
    spoil(monkeypatch, {3})
    rows = run(tmp_path / "run", training(), epochs=3)
    assert [row["restarts"] for row in rows] == [1, 0, 0]
    assert all(math.isfinite(row["valid_perplexity"]) for row in rows)


@pytest.mark.parametrize("make", [training, search])
def test_a_second_try_of_an_epoch_goes_on_within_it(tmp_path, monkeypatch, make):
    def stop():
        held = checkpoints.load(tmp_path / "parts")
        if held and held["within"]["steps"].get("train") == 2 and tries(held) == 1:
            raise Stop

    tries = lambda held: held["within"]["processes"][0]["parts"]["start"]["start"]["restarts"]
    step = Descent.step
    with monkeypatch.context() as patch:
        spoil(patch, {3})
        rows = run(tmp_path / "whole", make(), epochs=2)
        assert [row["restarts"] for row in rows] == [1, 0]
    with monkeypatch.context() as patch:
        spoil(patch, {3})
        patch.setattr(Descent, "step", lambda *arguments: stop() or step(*arguments))
        with pytest.raises(Stop):
            run(tmp_path / "parts", make(), epochs=2, minutes=1e-9)
    assert run(tmp_path / "parts", make(), epochs=2) == rows


@pytest.mark.parametrize(("make", "lr"), [(training, 10.0), (search, 5.0)])
def test_recovery_has_a_bound(monkeypatch, make, lr):
    spoil(monkeypatch, range(10**6))
    side = make()
    before = side.network.maps.detach().clone()
    with pytest.raises(ReproError, match=f"not finite in 4 tries of one epoch at lr={lr}"):
        epochs_of(side, Lengths(training_length, 0))(Epoch(0))
    assert torch.equal(side.network.maps, before)


def test_evaluation_of_what_is_not_finite_says_so(monkeypatch):
    spoil(monkeypatch, range(10**6))
    side = training()
    with pytest.raises(NotFinite, match="the loss is nan after"):
        evaluate(side.network, streams(side.network, words(), B))


def test_wrong_texts_are_refused_before_training():
    side = training()
    with pytest.raises(ReproError, match="a word numbered 12, the network knows 12"):
        streams(side.network, torch.tensor([0, 12, 1]), 1)
    with pytest.raises(UsageError, match="a batch of 400 streams needs 800 tokens, the text has 600"):
        streams(side.network, words(), 400)
    short = streams(side.network, words(8), 4)
    with pytest.raises(UsageError, match="streams of 2 words are too short"):
        train_epoch(side, short, short, Lengths(training_length, 0), Epoch(0))


def test_random_cells_are_drawn_from_the_whole_space():
    generator = torch.Generator().manual_seed(0)
    cells = [random_recurrent_genotype(generator, 8) for _ in range(300)]
    assert {edge.source for cell in cells for edge in cell.recurrent} == set(range(8))
    assert {edge.op for cell in cells for edge in cell.recurrent} == {"tanh", "relu", "sigmoid", "identity"}
    assert len(set(cells)) == 300
    assert cells[0].concat == PUBLISHED["DARTS_V2_RNN"].concat
