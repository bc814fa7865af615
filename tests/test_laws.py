"""Laws of whole experiments: test data decide nothing, and no cell is compared by images that trained it."""

from dataclasses import replace

import pytest
import torch
from golden import SIZES, computed, cut, differences, float64, numbers

from repro.data import images, text
from repro.data.images import load_images
from repro.experiments import cifar10_cells, image_data

LAST = {  # experiment -> what its last evaluation, and nothing else, takes from test data
    "cifar10-eval": ("test_loss", "test_error"),
    "ptb-eval": ("test_perplexity",),
    "spos-retrain": ("test_accuracy",),
}
OTHERS = ("cifar10-search", "cifar10-select", "cifar10-random", "cifar10-progress", "ptb-search", "ptb-select")
OTHERS += ("cifar10-cost", "spos-cost")
CHANGES = {"cifar10-eval": {"genotype": "DARTS_V2"}, "ptb-eval": {"genotype": "DARTS_V2_RNN", "epochs": 2}}
CHANGES["spos-retrain"] = {"architecture": "shuffle_3x3"}


@pytest.fixture
def smallest(tmp_path):
    """A run of an experiment in a folder of its own, as the golden ones are made."""

    def made(name, folder):
        with cut(SIZES, tmp_path / folder), float64():
            return numbers(computed(name, CHANGES.get(name, {})))

    return made


def poison(monkeypatch):
    """Let every test image be its negative, and every test text run backwards."""
    digits, load_corpus = images._digits, text.load_corpus

    def negative():
        arrays = digits()
        return {**arrays, "x_test": 255 - arrays["x_test"]}

    def backwards(*arguments):
        corpus = load_corpus(*arguments)
        return replace(corpus, test=corpus.test.flip(0))

    monkeypatch.setattr(images, "_digits", negative)
    monkeypatch.setattr("repro.experiments.language.load_corpus", backwards)


@pytest.mark.parametrize("name", [*LAST, *OTHERS])
def test_no_test_data_are_touched_before_the_last_evaluation(name, smallest, monkeypatch):
    clean = smallest(name, "clean")
    poison(monkeypatch)
    poisoned = smallest(name, "poisoned")
    touched = {place.split("/")[-1] for place in (line.split(":")[0] for line in differences(poisoned, clean))}
    assert touched == set(LAST.get(name, ()))


@pytest.mark.parametrize("name", ["cifar10-select", "cifar10-random", "cifar10-progress"])
def test_no_cell_is_compared_by_images_that_trained_it(name, smallest, monkeypatch):
    """Every image bears its number in its first pixels."""
    seen = []

    def numbered(*arguments):
        whole = load_images(*arguments)
        x = whole.x_train.clone()
        count = torch.arange(len(x))
        x[:, 0, 0, 0], x[:, 0, 0, 1] = (count // 256).byte(), (count % 256).byte()
        return replace(whole, x_train=x)

    def numbers_of(x):
        return set((256 * x[:, 0, 0, 0].long() + x[:, 0, 0, 1]).tolist())

    train_cell, evaluate = cifar10_cells.train_cell, cifar10_cells.evaluate

    def train(params, part, network, batches, augment):
        seen.append(numbers_of(batches.x))
        return train_cell(params, part, network, batches, augment)

    def score(network, x, *rest):
        seen.append(numbers_of(x))
        return evaluate(network, x, *rest)

    monkeypatch.setattr(image_data, "load_images", numbered)
    monkeypatch.setattr(cifar10_cells, "train_cell", train)
    monkeypatch.setattr(cifar10_cells, "evaluate", score)
    smallest(name, "here")
    assert len(seen) >= 4
    for trained, scored in zip(seen[::2], seen[1::2], strict=True):
        assert trained
        assert scored
        assert not trained & scored
