"""What the notebooks of DARTS say of their runs: one function (run) -> sentences for each, of that run's numbers alone.

Intervals are over the images or words that were measured on; another seed of the training adds to them.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp
from statistics import fmean, median
from typing import Any

import torch

from repro.configs.common import SmallImages
from repro.data.images import SOURCES, split
from repro.data.text import load_corpus
from repro.errors import ReproError
from repro.report.figures_darts import NAMES
from repro.report.narration import NORMAL, difference, error
from repro.runs.run import Run

NEAR = 0.01  # as near to where a descent comes to rest counts as arrived
CLOSE = 0.01  # operations whose softmax is no further apart count as tied
CLASSES = 10  # of CIFAR-10 and of the digits
ANOTHER_SEARCH = "This is one search: only other seeds show which of its choices come again."


def bilevel_toy(run: Run) -> list[str]:
    """Say where the descents of Figure 2 ended, and which came nearest to the solution (1, 1)."""
    ends = run.result["ends"]
    best = min(ends, key=lambda end: abs(end["alpha"] - 1) + abs(end["weight"] - 1))
    away = [f"{end['xi']:g}" for end in ends if abs(end["alpha"] - end["fixed_point"]) > NEAR]
    still = f"; not yet there: xi = {', '.join(away)}" if away else ""
    return [
        f"Nearest to the solution (1, 1) ends xi = {best['xi']:g}, at ({best['alpha']:.3f}, {best['weight']:.3f}) "
        f"with a validation loss of {best['valid_loss']:.3f}.",
        *(
            f"Without a virtual step, xi = 0, alpha ends at {end['alpha']:.3f}: a validation loss of "
            f"{end['valid_loss']:.3f}."
            for end in ends
            if end["xi"] == 0 and end is not best
        ),
        f"After {run.params.steps} steps {len(ends) - len(away)} of {len(ends)} descents are within {NEAR:g} of the "
        f"fixed point that was worked out for them{still}.",
        "Nothing was drawn at random: another run gives the same numbers.",
    ]


def image_search(run: Run) -> list[str]:
    """Say how well the search network does, and how sure its alphas are."""
    rows, params = run.metrics(), run.params
    last = rows[-1]
    judged = judged_images(params) if hasattr(params, "train_fraction") else _training_images(params)
    trained = "images that trained alpha" if hasattr(params, "train_fraction") else "images that trained w and alpha"
    return [
        f"After the last epoch the search network's validation error is {_error(last['valid_error'], judged)}; "
        f"these are the {trained}.",
        *(_sureness(softmax, cell) for cell, softmax in last["softmax_alpha"].items()),
        *_alike([cosine for row in rows for cosine in row.get("cosines", [])]),
        ANOTHER_SEARCH,
    ]


def _alike(cosines: Sequence[float]) -> list[str]:
    """Say how near the finite difference of Eq. 8 came to the exact derivative, if that was looked at."""
    if not cosines:
        return []
    return [
        f"Eq. 8's finite difference was held against the exact derivative at {len(cosines)} steps: the cosine between "
        f"both is {median(cosines):.2f} in the median, {min(cosines):.2f} to {max(cosines):.2f}, where 1 would be the "
        "same direction. This is the second term of Eq. 7 alone."
    ]


def text_search(run: Run) -> list[str]:
    """Say how well the search network does on text, and how sure its alphas are."""
    last = run.metrics()[-1]
    return [
        f"After the last epoch the search network's validation perplexity is "
        f"{perplexity(run, last['valid_perplexity'])}; this is the text that trained alpha.",
        _sureness(last["softmax_alpha"], "recurrent"),
        ANOTHER_SEARCH,
    ]


def choice(run: Run) -> list[str]:
    """Say how the cells that were compared after a short training differ, and whether that can be told from chance."""
    values = run.result["values"]
    return [
        f"The best of {len(values)} cells has a validation {_measured(run, min(values))}.",
        *_apart(run, values, "cells"),
        "Each cell was trained once: how much another seed moves these values, this run does not show.",
    ]


def progress(run: Run) -> list[str]:
    """Say whether the cells got better as the search went on, and how the published cells did beside them."""
    rows = run.load("snapshots.json")
    measure = next(name for name in ("valid_error", "valid_perplexity") if name in rows[0])
    epochs = sorted({row["epoch"] for row in rows})
    first, last = ({row["run"]: row[measure] for row in rows if row["epoch"] == epochs[end]} for end in (0, -1))
    better = sum(last[search] < first.get(search, last[search]) for search in last)
    beside = ", ".join(f"{NAMES[name]} {value:.1f}" for name, value in run.result["references"].items())
    return [
        f"From epoch {epochs[0]} to epoch {epochs[-1]} the cell got better in {better} of {len(last)} searches.",
        f"The best of the last cells has a validation {_measured(run, min(last.values()))}.",
        *_apart(run, [*last.values()], "last cells"),
        f"Trained alike, the cells of others have: {beside}.",
        "Each cell was trained once: how much another seed moves these values, this run does not show.",
    ]


def image_cell(run: Run) -> list[str]:
    """Say how well the trained cell classifies test images, and what the last epoch still changed."""
    result, tested = run.result, SOURCES[run.params.dataset].test
    early = f"The cell is the one that its search held after epoch {run.params.snapshot}."
    return [
        *[early] * (run.params.snapshot > 0),
        f"The test error is {_error(result['test_error'], tested)}, with {_size(result)}.",
        *_still_falling(run.metrics()),
        "This is one training: the spread over seeds is not in the interval.",
    ]


def imagenet_cell(run: Run) -> list[str]:
    """Say how well the trained cell classifies pictures, and how large it is."""
    result, classes = run.result, run.params.classes
    last, best = (error(result[name], result["valid_images"], classes) for name in ("top1_error", "best_top1_error"))
    return [
        f"The top-1 error after the last epoch is {last}; that of the best epoch, {best}.",
        "The best epoch was chosen by the images that it is judged on, so its error is too low by some unknown amount.",
        f"The network has {_size(result)} and {result['mult_adds_millions']:.3g}M multiply-adds.",
    ]


def text_cell(run: Run) -> list[str]:
    """Say how well the trained cell predicts words, how large it is, and whether averaging began."""
    result = run.result
    began = result.get("averaging_began")
    averaged = "did not begin within this run" if began is None else f"began after epoch {began}"
    return [
        f"The test perplexity is {perplexity(run, result['test_perplexity'], 'test')}, with {_size(result)}.",
        f"The best validation was in epoch {result['best_epoch'] + 1} of {run.params.epochs}; averaging {averaged}."
        if "best_epoch" in result
        else "The weights were given, and nothing was trained.",
        "This is one training: another seed would give another number.",
    ]


def order_cost(run: Run) -> list[str]:
    """Say how much longer a second-order step takes than a first-order one, with the interval of the ratio."""
    rows, result = run.metrics(), run.result
    ratios = sorted(row["seconds_second"] / row["seconds_first"] for row in rows)
    return [
        f"A step in second order took {result['ratio']:.2f} times as long as one in first order; the ratio of single "
        f"turns lay between {ratios[0]:.2f} and {ratios[-1]:.2f} in {len(rows)} turns.",
        "Passes forwards and backwards alone would give 2.5: what is above or below that is the optimizers' work, the "
        "virtual step's and this machine's.",
    ]


def _training_images(params: SmallImages) -> int:
    return params.images or SOURCES[params.dataset].train


def judged_images(params: Any) -> int:
    """Return how many training images were held out of the training of w."""
    images = _training_images(params)
    return images - split(images, params.train_fraction)


def _error(percent: float, images: int) -> str:
    return error(percent, images, CLASSES)


def _size(result: dict[str, Any]) -> str:
    return f"{result['parameters_millions']:.3f}M parameters"


def _measured(run: Run, value: float) -> str:
    """Return error or perplexity of a short training in words, with its interval."""
    if hasattr(run.params, "corpus"):
        return f"perplexity of {perplexity(run, value)}"
    return f"error of {_error(value, judged_images(run.params))}"


def _apart(run: Run, values: Sequence[float], what: str) -> list[str]:
    """Say how far the best and the worst value are apart, where there are several."""
    if len(values) < 2:
        return []
    low, high = min(values), max(values)
    if hasattr(run.params, "corpus"):
        return [f"The best and the worst of the {what} are {high - low:.1f} apart, {100 * (high / low - 1):.1f} %."]
    return [f"The best and the worst of the {what} are {difference(low, high, judged_images(run.params))}."]


def _sureness(softmax: Sequence[Sequence[float]], cell: str) -> str:
    """Say how far above an even softmax the strongest operations are, and on how many edges the second is close."""
    # without `none`, which only edges of NAS-Bench-201's one cell may end as
    first, where = (0, "cell") if cell == "cell" else (1, f"{cell} cell")
    ranked = [sorted(row[first:], reverse=True) for row in softmax]
    close = sum(first - second < CLOSE for first, second, *_ in ranked)
    strongest = f"strongest operation{' other than zero' * first}"
    return (
        f"In the {where} an edge's {strongest} has a softmax of {fmean(row[0] for row in ranked):.3f} on average, "
        f"where all alike would have {1 / len(softmax[0]):.3f}; on {close} of {len(ranked)} edges the second is within "
        f"{CLOSE:g} of it{', and chance may have decided' * bool(close)}."
    )


def perplexity(run: Run, value: float, part: str = "valid") -> str:
    """Return a perplexity in words beside that of word frequencies; "at chance" where it may be no better."""
    try:
        words, loss, error = _by_frequency(run, part)
    except ReproError:  # the text is not here: the run was made elsewhere
        return f"{value:.1f}"
    low, high = value * exp(-NORMAL * error), value * exp(NORMAL * error)
    text = f"{value:.1f} (95 % interval about {low:.1f} to {high:.1f}, {words:,} words)"
    known = f"word frequencies alone have {exp(loss):.1f}"
    return f"{text}, at chance: {known}" if high >= exp(loss) else f"{text}, where {known}"


def _by_frequency(run: Run, part: str) -> tuple[int, float, float]:
    """Return the words of a part, their mean loss by the training text's frequencies, and the error of that mean.

    The error stands in for that of a network's loss, whose spread over words is about the same.
    """
    corpus, judged = load_corpus(run.params.corpus).head(run.params.tokens), getattr(run.params, "judged_words", 0)
    counts = 1.0 + torch.bincount(corpus.train, minlength=corpus.vocabulary_size)
    losses = -(counts / counts.sum()).log()[getattr(corpus, part)[: judged or None]].double()
    return len(losses), losses.mean().item(), losses.std().item() / len(losses) ** 0.5


def _still_falling(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say what the last epoch did to the training error, where there were two epochs or more."""
    return [
        f"The last epoch moved the training error from {before['train_error']:.1f} to {after['train_error']:.1f} %: "
        f"{'it was still falling' if after['train_error'] < before['train_error'] else 'it no longer fell'}."
        for before, after in [*pairwise(rows)][-1:]
    ]
