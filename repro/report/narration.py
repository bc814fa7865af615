"""What a notebook says beside its figures: the method's own code, and sentences made of the run's numbers.

Code is printed from its source, so that it is what runs. A sentence takes its numbers from parameters and results, with
their interval, and says "at chance" of what is no better than guessing: so it holds for a run of any size. The
sentences are in `findings_darts` and `findings_spos`, one function (run) -> sentences for each notebook.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from math import sqrt
from statistics import fmean
from textwrap import dedent

from repro.report import style
from repro.results import intervals

NORMAL = 1.96  # of a two-sided interval at 95 %


def show_source(*parts: Callable) -> None:
    """Show the source of functions and classes in a notebook, highlighted, each under the file that holds it."""
    plain = "\n".join(dedent(inspect.getsource(part)) for part in parts)
    style.show({"text/markdown": "\n".join(map(source, parts)), "text/plain": plain})


def source(part: Callable) -> str:
    """Return the source of a function or class as Markdown, under its file, line and name."""
    lines, first = inspect.getsourcelines(part)
    place = f"`{part.__module__.replace('.', '/')}.py`, line {first}: `{part.__qualname__}`"
    return f"{place}\n\n```python\n{dedent(''.join(lines))}```\n"


def show(sentences: Sequence[str]) -> None:
    """Show sentences as a list in a notebook."""
    text = "\n".join(f"- {sentence}" for sentence in sentences)
    style.show({"text/markdown": re.sub(r"(?<=\d) %", "\u00a0%", text), "text/plain": text})


def error(percent: float, images: int, classes: int) -> str:
    """Return an error rate in words, with its interval; "at chance" where guessing among the classes may do as well."""
    high = interval(percent, images)[1]
    return _rate(percent, images) + _chance(high >= 100 - 100 / classes, 100 - 100 / classes)


def accuracy(percent: float, images: int, classes: int) -> str:
    """Return an accuracy in words, as `error` does an error rate."""
    low = interval(percent, images)[0]
    return _rate(percent, images) + _chance(low <= 100 / classes, 100 / classes)


def difference(first: float, second: float, images: int) -> str:
    """Return in words how far two rates (percent) are apart, each counted on so many images, and how sure that is."""
    points, half = (
        abs(first - second),
        100 * NORMAL * sqrt(sum(p * (1 - p) for p in (first / 100, second / 100)) / images),
    )
    sure = "more than" if points > half else "no more than"
    return f"{points:.1f} points apart, {sure} the {half:.1f} by which chance alone may part two on {images:,} images"


def unrelated(networks: int) -> float:
    """Return within which of 0 the Kendall's taus of unrelated rankings stay in 95 % of cases (normal)."""
    return NORMAL * sqrt(2 * (2 * networks + 5) / (9 * networks * (networks - 1)))


def tau(value: float | None, networks: int) -> str:
    """Return a Kendall's tau in words; "at chance" where unrelated rankings may do as well."""
    return "undefined" if value is None else f"{value:.2f}" + ", at chance" * (abs(value) <= unrelated(networks))


def mean_of(values: Sequence[float], unit: str) -> str:
    """Return a mean in words with its interval, where there are enough values; "at chance" where that has 0 in it."""
    if len(values) < style.FEWEST:
        return f"{fmean(values):+.2f} {unit} (n {len(values)}, too few for an interval)".replace("-", "−")
    mean, low, high, _ = intervals.one_sample(values)
    words = f"{mean:+.2f} {unit} ({100 * intervals.LEVEL:.0f} % interval {low:+.2f} to {high:+.2f}, n {len(values)})"
    return words.replace("-", "−") + ", at chance" * bool(low <= 0 <= high)


def interval(percent: float, images: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval (Wilson) of a rate in percent that was counted on so many images."""
    p, z = percent / 100, NORMAL**2 / images
    middle, half = p + z / 2, NORMAL * sqrt(p * (1 - p) / images + z / images / 4)
    return 100 * max(0.0, middle - half) / (1 + z), 100 * min(1 + z, middle + half) / (1 + z)


def _rate(percent: float, images: int) -> str:
    low, high = interval(percent, images)
    return f"{percent:.1f} % (95 % interval {low:.1f} to {high:.1f}, {images:,} images)"


def _chance(guessed: bool, chance: float) -> str:
    return f", at chance, which is {chance:.4g} %" * guessed
