"""What a notebook says beside its figures: the method's own code, and sentences made of the run's numbers.

Code is printed from its source, so that it is what runs. A sentence takes its numbers from parameters and results, with
their interval, and says "at chance" of what is no better than guessing: so it holds for a run of any size. The
sentences are in `findings_darts` and `findings_spos`, one function (run) -> sentences for each notebook.
"""

import inspect
from collections.abc import Callable, Sequence
from math import sqrt
from textwrap import dedent

from repro.report import style

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
    style.show({"text/markdown": text, "text/plain": text})


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
