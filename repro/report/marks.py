"""How a picture says in itself which run made it, unless that is as published: figures, graphs, and words for both.

Each takes the run whose numbers a picture shows; None where they are none of a run.
"""

import textwrap

from matplotlib.figure import Figure

from repro.results import standing
from repro.runs.run import Run

INK, FONT = "#333333", "Helvetica,Arial,DejaVu Sans,sans-serif"
LETTERS = 16  # of a mark, in an inch


def mark(run: Run | None) -> str:
    """Return the mark of a picture, empty where there is nothing to say."""
    return standing.mark(run) if run else ""


def in_words(words: str, run: Run | None) -> str:
    """Return what a picture shows in words, with its mark."""
    return f"{words}. Made by {mark(run)}" if mark(run) else words


def in_graph(source: str, run: Run | None) -> str:
    """Return DOT text whose picture has its mark at the bottom."""
    if not (words := mark(run).replace("\\", r"\\").replace('"', r"\"")):
        return source
    label = f'\tgraph [label="{words}" labelloc=b labeljust=r fontsize=9 fontcolor="{INK}" fontname="{FONT}"]\n'
    return source.rstrip().removesuffix("}") + label + "}\n"


def in_figure(figure: Figure, run: Run | None) -> float:
    """Make a figure higher by a strip at the bottom for its mark; return the strip's share of the height."""
    if not (lines := textwrap.wrap(mark(run), int(LETTERS * figure.get_figwidth()))):
        return 0.0
    strip = 0.06 + 0.13 * len(lines)
    figure.set_figheight(figure.get_figheight() + strip)
    share = strip / figure.get_figheight()
    place = {"ha": "right", "va": "center", "fontsize": 7, "color": INK, "parse_math": False}
    figure.text(0.995, share / 2, "\n".join(lines), **place)
    return share
