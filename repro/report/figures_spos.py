"""The figures of SPOS (Sect. 4): a search as it goes on, accuracy against cost, and the agreement of two rankings."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from repro.report.style import BLUE, FAINT, GREEN, INK, ORANGE, canvas, describe, seeds, styled, told
from repro.results import intervals

# Line of each search: told apart without colour
SEARCHES = {"evolution": (BLUE, "-", "o"), "random search": (ORANGE, "--", "s")}
# What rows call a candidate's score, higher is better -> how it is drawn: its words, its unit, and the number shown
SCORES = {
    "accuracy": ("held-out accuracy", " %", lambda scores: scores),
    "log_likelihood": ("validation perplexity", "", lambda scores: np.exp(-scores)),
}


@styled
def search_progress(searches: Mapping[str, pd.DataFrame]) -> Figure:
    """Score of every candidate, in the order of evaluation, and the best so far.

    searches: a key of SEARCHES -> rows with a key of SCORES (accuracy in percent, or the log-likelihood of a word in
    nats, drawn as perplexity; inherited weights).
    """
    (figure, axes), best = canvas(5.6, 4.2), []
    for name, rows in searches.items():
        colour, line, marker = SEARCHES[name]
        measure = next(measure for measure in SCORES if measure in rows)
        (words, unit, shown), order = SCORES[measure], np.arange(1, len(rows) + 1)
        axes.scatter(order, shown(rows[measure]), s=12, marker=marker, color=colour, alpha=0.35, linewidths=0)
        axes.plot(
            order, shown(rows[measure].cummax()), color=colour, linestyle=line, linewidth=2, drawstyle="steps-post",
            label=f"{name}, best so far",
        )  # fmt: skip
        best.append(f"the best of {name} is {shown(rows[measure].max()):.1f}{unit}")
    axes.set(xlabel="candidates evaluated", ylabel=f"{words} ({unit.strip()})" if unit else words)
    figure.legend(loc="outside lower center", ncols=2)
    marks = "Points: the candidates of each search, in the colour of its line, in the order of evaluation."
    said = f"{words[0].upper()}{words[1:]} of every candidate in order: {', '.join(best)}"
    return describe(figure, said, marks)


# Panels of SPOS's Figures 2 and 3: title -> search -> its name, colour and line
PANELS = {
    "Figure 2: sampling": {"evolution": ("uniform over the cost", BLUE, "-"), "uniform": ("over paths", GREEN, "-.")},
    "Figure 3: search": {"evolution": ("evolution", BLUE, "-"), "random": ("random search", ORANGE, "--")},
}
ITERATION = 50  # candidates of the paper's, by which the record of others is cut


@styled
def iterations(rows: pd.DataFrame, others: Sequence[float]) -> Figure:
    """SPOS Figures 2 and 3: the best candidate so far over the iterations, of the supernets of several seeds.

    rows: `search`, `run`, `iteration` and `accuracy` (percent); others: accuracies (percent) of an evolution on
    ImageNet, candidate by candidate, as a dotted line with an axis of its own.
    """
    figure = Figure(figsize=(7.6, 4.4))
    best = np.maximum.accumulate(others)[ITERATION - 1 :: ITERATION]
    for axes, (title, searches) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
        for name, (label, colour, line) in searches.items():
            values = rows[rows["search"] == name].pivot(index="iteration", columns="run", values="accuracy")
            seeds(axes, values, color=colour, linestyle=line, marker="o", label=label)
        beside = axes.twinx()
        beside.plot(np.arange(1, len(best) + 1), best, color=INK, linestyle=":", linewidth=1.2)
        axes.set(title=title, xlabel="iteration")
    figure.axes[0].set_ylabel("best held-out accuracy (%)")
    beside.set_ylabel("others, on ImageNet (%), dotted")
    figure.legend(loc="outside lower center", ncols=2)
    words = (
        f"Best accuracy so far over {rows['iteration'].max() + 1} iterations of {rows['run'].nunique()} supernets: "
        "both samplings of paths, and evolution against random search"
    )
    return describe(figure, words, f"{told(rows['run'].nunique())} Dotted: others, on ImageNet, on the right axis.")


@styled
def cost_against_accuracy(
    searches: Mapping[str, pd.DataFrame], cost: str, *, unit: float, label: str, limit: float = 0.0
) -> Figure:
    """Accuracy of every candidate against its cost, with the Pareto front of them all and the limit.

    searches: as in `search_progress`, with a column `cost`; `unit` divides it, `label` names it; limit in that unit.
    """
    figure, axes = canvas(5.6, 4.2)
    for name, rows in searches.items():
        colour, _, marker = SEARCHES[name]
        axes.scatter(
            rows[cost] / unit, rows["accuracy"], s=22, marker=marker, color=colour, alpha=0.6, linewidths=0, label=name
        )
    every = pd.concat(searches.values(), ignore_index=True)
    front = every.loc[pareto_front(every[cost], every["accuracy"])]
    axes.step(front[cost] / unit, front["accuracy"], where="post", color=INK, linewidth=1.4, label="Pareto front")
    if limit:
        axes.axvline(limit, color=INK, linewidth=1.1, linestyle=":", label=f"limit, {limit:g}")
    axes.set(xlabel=label, ylabel="held-out accuracy (%)")
    figure.legend(loc="outside lower center", ncols=2)
    return describe(
        figure,
        f"Accuracy of {len(every)} candidates against {label}, with the Pareto front of {len(front)}",
        "Points: candidates; steps: the best accuracy at or below each cost.",
    )


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the places of the candidates that none beats at the same or a lower cost, by rising cost."""
    costs, accuracies = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    front: list[int] = []
    for place in np.lexsort((-accuracies, costs)).tolist():
        if not front or accuracies[place] > accuracies[front[-1]]:
            front.append(place)
    return front


FILLS = ((BLUE, ""), (ORANGE, "//"), (GREEN, ".."), (FAINT, "xx"), ("white", ""), (INK, ""))  # colours and hatches


@styled
def networks(drawn: Mapping[str, Mapping[str, Sequence[str]]]) -> Figure:
    """SPOS's figures of networks: a box for each layer, whose fill is its block or bits, and its height its channels.

    drawn: name -> kind of choice (`block` or `bits`, perhaps `width`) -> what it chooses, layer by layer.
    """
    figure = Figure(figsize=(7.6, 0.6 + 0.8 * len(drawn)))
    filled = {name: next(iter(choices.values())) for name, choices in drawn.items()}
    styles = dict(zip(sorted({fill for each in filled.values() for fill in each}), FILLS, strict=False))
    for axes, (name, choices) in zip(figure.subplots(len(drawn), 1), drawn.items(), strict=True):
        heights = [float(width.lstrip("x")) for width in choices.get("width", ["1"] * len(filled[name]))]
        colours, hatches = zip(*(styles[fill] for fill in filled[name]), strict=True)
        axes.bar(range(len(heights)), heights, 0.8, color=colours, hatch=hatches, edgecolor=INK, linewidth=0.6)
        axes.set(ylim=(0, 1.7), xticks=[], yticks=[1], xlim=(-0.6, max(map(len, filled.values())) - 0.4))
        axes.set_title(name, loc="left", fontsize=8)
    handles = [Patch(facecolor=colour, edgecolor=INK, hatch=hatch) for colour, hatch in styles.values()]
    figure.legend(handles, [fill.replace("_", " ") for fill in styles], loc="outside lower center", ncols=len(styles))
    words = "Published networks, layer by layer: " + ", ".join(drawn)
    return describe(figure, words, "A bar: a layer; its height: its channels, as a share of the usual number.")


@styled
def rankings(networks: pd.DataFrame, tau: float | None, of_cost: float | None) -> Figure:
    """Accuracy with inherited weights against that of training from scratch, one point a network.

    networks: rows with `inherited` and `stand_alone` (percent); tau: Kendall's, None where a ranking is all ties;
    of_cost: that of multiply-adds with the accuracy from scratch, which a supernet has to beat.
    """
    figure, axes = canvas(5.6, 4.6)
    axes.scatter(networks["stand_alone"], networks["inherited"], s=26, color=BLUE, edgecolor=INK, linewidths=0.5)
    if len(networks) > 1 and networks["stand_alone"].nunique() > 1:
        slope, start = np.polyfit(networks["stand_alone"], networks["inherited"], 1)
        ends = np.array([networks["stand_alone"].min(), networks["stand_alone"].max()])
        axes.plot(ends, start + slope * ends, color=FAINT, linewidth=1.2, linestyle="--", zorder=0)
    between = intervals.kendall(networks["stand_alone"], networks["inherited"])
    agreement, cost = ("undefined" if value is None else f"{value:.2f}" for value in (tau, of_cost))
    agreement += f" [{between.low:.2f}, {between.high:.2f}]" if between else ""
    axes.set(
        xlabel="accuracy trained from scratch (%)", ylabel="accuracy with inherited weights (%)",
        title=rf"Kendall's $\tau$ = {agreement}, {len(networks)} networks; cost alone: {cost}",
    )  # fmt: skip
    axes.title.set_fontsize(10)
    return describe(
        figure,
        f"Accuracy with inherited weights against that from scratch; Kendall's tau is {agreement}, "
        f"that of multiply-adds alone {cost}",
        "Points: networks; dashed: the straight line of least squares; in brackets: the 97 % interval over networks.",
    )


@styled
def taus(found: pd.DataFrame) -> Figure:
    """Kendall's tau of several supernets: each as a point, their mean with its 97 % interval.

    found: a row for each supernet, a column for each ranking, named for people.
    """
    figure, axes = canvas(5.8, 1.2 + 0.5 * found.shape[1])
    said = []
    for place, name in enumerate(found):
        values = found[name].dropna()
        mean, low, high, _ = intervals.one_sample(values)
        axes.plot(values, [place] * len(values), "o", color=FAINT, markersize=5)
        axes.hlines(place, low, high, color=BLUE, linewidth=2)
        axes.plot(mean, place, "o", color=BLUE, markersize=7)
        said.append(f"{name} {mean:.2f} [{low:.2f}, {high:.2f}]")
    axes.set(xlabel=r"Kendall's $\tau$", ylim=(found.shape[1] - 0.5, -0.5))
    axes.set_yticks(range(found.shape[1]), [textwrap.fill(name, 26) for name in found], fontsize=9)
    marks = f"Grey points: each of {len(found)} supernets; blue: their mean and its 97 % interval."
    return describe(figure, f"Kendall's tau of {len(found)} supernets: {'; '.join(said)}", marks)


@styled
def sums(networks: pd.DataFrame, error: float) -> Figure:
    """Latency (ms) as the sum of measured blocks against that of the whole network, a point for each.

    networks: rows with `network` (random, or a name), `measured` and `summed`; error: the sum's, in percent, on average
    over the random ones.
    """
    figure, axes = canvas(5.2, 4.4)
    drawn, named = networks[networks["network"] == "random"], networks[networks["network"] != "random"]
    axes.plot(drawn["measured"], drawn["summed"], "o", color=BLUE, label="drawn at random")
    if len(named):
        axes.plot(named["measured"], named["summed"], "s", color=ORANGE, label="published")
    top = 1.05 * networks[["measured", "summed"]].max(axis=None)
    axes.plot([0, top], [0, top], color=FAINT, linewidth=1.2, linestyle="--", zorder=0)
    axes.set(xlabel="whole network (ms)", ylabel="sum of its blocks (ms)", xlim=(0, top), ylim=(0, top))
    figure.legend(loc="outside lower center", ncols=2)
    words = (
        f"Latency as the sum of blocks against that of the whole: {len(drawn)} random networks, {error:.1f} % away on "
        "average" + f", and {len(named)} published ones" * bool(len(named))
    )
    return describe(figure, words, "Points: networks; dashed: where the sum is the whole.")
