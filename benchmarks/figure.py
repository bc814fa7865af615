"""The comparison as a figure: seconds a step of each formulation, and the floors of ours."""

from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from repro.report.style import styled

COLOURS = {"plain": "#999999", "ours": "#0072b2", "eager": "#009e73", "fast": "#d55e00"}
MARKERS = ["s", "o", "^", "D"]
FLOORS = {"operations": ("x", "floor: operations"), "bytes": ("|", "floor: bytes")}


@styled
def compared(results: list[dict[str, Any]], machine: str) -> Figure:
    """Return the median seconds with the range of all rounds, the ratios, and marks at the floors."""
    labels = [f"{found['case']}\n{found['size']} size" for found in results]
    rows = [
        {"step": label, "formulation": formulation, "seconds": value}
        for label, found in zip(labels, results, strict=True)
        for formulation, values in found["seconds"].items()
        for value in values
    ]
    names = [name for name in COLOURS if any(name in found["seconds"] for found in results)]
    figure, axes = plt.subplots(figsize=(7.5, 0.8 + 0.75 * len(results)), layout="constrained")
    figure.set_label(f"Seconds a step, plain and ours, on {machine}")
    options = {"estimator": "median", "errorbar": ("pi", 100), "palette": COLOURS, "hue_order": names}
    options |= {"markers": MARKERS[: len(names)], "linestyle": "none", "markersize": 7, "err_kws": {"linewidth": 1.5}}
    sns.pointplot(pd.DataFrame(rows), y="step", x="seconds", hue="formulation", ax=axes, **options)
    for place, found in enumerate(results):
        for name, (marker, label) in FLOORS.items():
            axes.plot(found["floor"][name], place, marker, color="black", label=label if place == 0 else None)
        best = list(found["ratios"])[-1]
        text = f"{median(found['ratios'][best]):.1f} times"
        axes.annotate(text, (max(found["seconds"]["plain"]), place), (9, 0), textcoords="offset points", va="center")
    axes.set(ylim=(len(results) - 0.5, -0.5), xscale="log", xlabel=f"seconds a step ({machine})", ylabel="")
    axes.set_xlim(right=6 * max(max(found["seconds"]["plain"]) for found in results))  # room for the ratios
    handles, words = axes.get_legend_handles_labels()
    axes.get_legend().remove()
    figure.legend(handles, words, loc="outside upper center", ncols=len(words), frameon=False)
    return figure
