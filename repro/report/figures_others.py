"""Our training curves beside those that others measured at the papers' size."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from repro.report.figures import INK, styled
from repro.results.others import Curve

LINES = ("-", "--", "-.", ":")
OURS = "#d55e00"


@styled
def errors(curves: Sequence[Curve], title: str) -> Figure:
    """Training error over the epochs, theirs as lines, ours as marks on a line."""
    figure = Figure(figsize=(6.4, 4))
    axes = figure.subplots()
    for place, curve in enumerate(curves):
        epochs = range(1, len(curve.errors) + 1)
        style = {"color": OURS, "marker": "o", "zorder": 3} if curve.ours else {"color": INK, "linewidth": 1.4}
        axes.plot(epochs, curve.errors, linestyle=LINES[place % len(LINES)], label=curve.name, **style)
    axes.set(xlabel="epoch", ylabel="training error (%)", title=title, xscale="log", yscale="log")
    figure.legend(loc="outside upper center", ncols=1)
    ends = "; ".join(f"{curve.name}: {curve.errors[-1]:.1f} % after {len(curve.errors)}" for curve in curves)
    figure.set_label(f"{title}: training error over the epochs. {ends}")
    return figure
