"""How every picture looks and is kept: colours and defaults, the mark of a run, and files that are the same every time.

`save` writes a figure as SVG, PDF and PNG, `save_graph` a graph as DOT draws it, and both show it where they are called
in a notebook. A picture of a run that is not as published says in itself which run made it.
"""

import functools
import io
import textwrap
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from repro.files import make_folder, write_bytes
from repro.progress import note, show
from repro.report.dot import render
from repro.results import protocol
from repro.results.intervals import one_sample
from repro.runs.run import Run

INK, FAINT = "#333333", "#b5b5b5"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart by whoever sees no red or green
FONT = "Helvetica,Arial,DejaVu Sans,sans-serif"  # of graphs
LETTERS = 16  # of a mark, in an inch
FEWEST = 3  # runs of which an interval of the mean is drawn: that of two is 21 standard errors wide to each side
STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("notebook"),
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so every machine has it
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.formatter.useoffset": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "svg.hashsalt": "repro",
    "pdf.fonttype": 42,
}
NO_DATES = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
PIXELS_PER_INCH = 90  # of a figure shown in a notebook
NETWORK = "Green: input; blue: layers; red: reductions; orange: heads. Arrows: what reads what."


@contextmanager
def defaults() -> Iterator[None]:
    """Draw in this style alone: from Matplotlib's own defaults, whatever a matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def describe(figure: Figure, words: str, marks: str) -> Figure:
    """Return a figure that says in `words` what it shows, for those who cannot see it; below it stand its `marks`.

    marks: what each point, line and colour is that its legend does not explain.
    """
    figure.set_label(words)
    figure.marks = marks
    return figure


def seeds(axes: Axes, values: pd.DataFrame, every: int = 1, **look: Any) -> None:
    """Draw several runs of one kind over the epochs: their mean, each as points and, from three on, an interval.

    values: a row for each epoch, counted from 0, a column for each run; every: epochs from one mark to the next; look:
    of the line of the means.
    """
    epochs, mean = values.index + 1, values.mean(axis=1)
    several = {} if values.shape[1] == 1 else {"marker": ""}
    (line,) = axes.plot(epochs, mean, markersize=4.5, markevery=every, **look | several)
    points = {**look, "linestyle": "", "alpha": 0.6, "label": None}
    for run in values if several else ():
        axes.plot(epochs, values[run], markersize=3.5, markevery=every, **points)
    if values.shape[1] >= FEWEST:
        whole = values.dropna()
        _, low, high, _ = zip(*map(one_sample, whole.to_numpy()), strict=True)
        axes.fill_between(whole.index + 1, low, high, color=line.get_color(), alpha=0.15, lw=0)


def told(runs: int) -> str:
    """Say what `seeds` draws of so many runs."""
    if runs == 1:
        return "Points: the epochs of one run."
    interval = "bands: its 97 % interval" if runs >= FEWEST else f"no interval, which takes {FEWEST} runs"
    return f"Lines: the mean of {runs} runs; points: each run; {interval}."


def save(figure: Figure, stem: Path, run: Run | None) -> None:
    """Write `stem`.svg, `stem`.pdf and `stem`.png, each whole or not at all; show the figure in a notebook.

    run: the run whose numbers it shows; unless that is as published, the figure is marked. None if it shows no run's.
    The figure's label is its alternative text.
    """
    make_folder(stem.parent)
    lay_out(figure, mark_figure(figure, run))
    figure.set_label(marked_words(figure.get_label(), run))
    for extension, metadata in NO_DATES.items():
        buffer = io.BytesIO()
        title = {"Title": figure.get_label()} if figure.get_label() and extension != "png" else {}
        with defaults():
            figure.savefig(buffer, format=extension, metadata=metadata | title)
        picture = _few_colours(buffer) if extension == "png" else buffer.getvalue()
        write_bytes(stem.with_name(f"{stem.name}.{extension}"), picture)
    facts = {"width": round(figure.get_figwidth() * PIXELS_PER_INCH), "alt": figure.get_label()}
    show({"image/png": b64encode(picture).decode()}, **{"image/png": facts})
    if marks := getattr(figure, "marks", ""):
        show({"text/markdown": marks})


def lay_out(figure: Figure, share: float) -> None:
    """Place the axes once, to six digits: the last ones that the solver finds are not the same each time.

    share: of the height, at the bottom, which is kept free of axes and legends.
    """
    figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
    with defaults():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(number, 6) for number in axes.get_position(original=True).bounds])
    for legend in figure.legends:  # only now, since the layout makes room for legends that have no place of their own
        legend.set_bbox_to_anchor((0, share, 1, 1 - share))


def _few_colours(png: io.BytesIO) -> bytes:
    """Return the picture with a palette of 256 colours: a third of the size, and no difference to see."""
    buffer = io.BytesIO()
    Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws: it does so in this style and leaves Matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Figure:
        with defaults():
            return draw(*arguments, **options)

    return drawn


def mark(run: Run | None) -> str:
    """Return the mark of a picture, empty where there is nothing to say."""
    return protocol.mark(run) if run else ""


def marked_words(words: str, run: Run | None) -> str:
    """Return what a picture shows in words, with its mark."""
    return f"{words}. Made by {mark(run)}" if mark(run) else words


def marked_graph(source: str, run: Run | None) -> str:
    """Return DOT text whose picture has its mark at the bottom."""
    if not (words := mark(run).replace("\\", r"\\").replace('"', r"\"")):
        return source
    label = f'\tgraph [label="{words}" labelloc=b labeljust=r fontsize=9 fontcolor="{INK}" fontname="{FONT}"]\n'
    return source.rstrip().removesuffix("}") + label + "}\n"


def mark_figure(figure: Figure, run: Run | None) -> float:
    """Make a figure higher by a strip at the bottom for its mark; return the strip's share of the height."""
    if not (lines := textwrap.wrap(mark(run), int(LETTERS * figure.get_figwidth()))):
        return 0.0
    strip = 0.06 + 0.13 * len(lines)
    figure.set_figheight(figure.get_figheight() + strip)
    share = strip / figure.get_figheight()
    place = {"ha": "right", "va": "center", "fontsize": 7, "color": INK, "parse_math": False}
    figure.text(0.995, share / 2, "\n".join(lines), **place)
    return share


def save_graph(
    source: str,
    stem: Path,
    run: Run | None,
    formats: Sequence[str] = ("svg",),
    alt: str = "Graph of the network",
    marks: str = NETWORK,
) -> None:
    """Draw DOT text into `stem`.svg (or pdf, png); show it in a notebook, with `alt` in words, or say why not.

    run: as in `save`; marks: as in `describe`.
    """
    paths, reason = render(marked_graph(source, run), stem, formats)
    if reason:
        note(reason)
    if paths[0].suffix == ".svg":
        show(
            {"image/svg+xml": paths[0].read_text(encoding="utf-8")},
            **{"image/svg+xml": {"alt": marked_words(alt, run)}},
        )
        show({"text/markdown": marks})
