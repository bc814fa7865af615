"""The papers' numbers: every table of DARTS (ICLR 2019) and SPOS (ECCV 2020) that this package sets its own beside.

The CSV files in `published_tables/` hold them; nothing is read, and pandas not imported, before a table is asked for.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import ReproError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = Path(__file__).resolve().parent / "published_tables"

ERROR = "test error (%)"
PERPLEXITY = {"valid_perplexity": "validation perplexity", "test_perplexity": "test perplexity"}
SIZE = {"params_millions": "parameters (M)"}
SEARCH = {"search_gpu_days": "search cost (GPU days)"}


@dataclass(frozen=True)
class Published:
    """One published table: where it stands, and what its numeric columns are, with units."""

    source: str
    title: str
    units: dict[str, str]  # column -> heading with unit
    remark: str = ""
    part: str = ""  # of spos_tables.csv, which holds several tables, the one called so
    names: dict[str, str] = field(default_factory=dict)  # columns that the file calls otherwise


TABLES = {
    "darts_table1_cifar10": Published(
        "DARTS, Table 1",
        "Image classifiers on CIFAR-10",
        {"test_error_percent": ERROR, "std": "standard deviation (%)", **SIZE, **SEARCH, "ops": "operations"},
        "Search costs leave out selection (1 GPU day) and the final evaluation (1.5 GPU days).",
    ),
    "darts_table2_ptb": Published(
        "DARTS, Table 2",
        "Language models on Penn Treebank",
        {**PERPLEXITY, **SIZE, **SEARCH, "ops": "operations"},
        "Search costs leave out selection (1 GPU day) and the final evaluation (3 GPU days).",
        names={"search_cost_gpu_days": "search_gpu_days"},
    ),
    "darts_table3_imagenet": Published(
        "DARTS, Table 3",
        "Image classifiers on ImageNet, mobile setting",
        {
            "top1_error_percent": "top-1 test error (%)",
            "top5_error_percent": "top-5 test error (%)",
            **SIZE,
            "mult_adds_millions": "multiply-adds (M)",
            **SEARCH,
        },
    ),
    "darts_table4_wikitext2": Published(
        "DARTS, Table 4",
        "Language models on WikiText-2",
        {**PERPLEXITY, **SIZE, **SEARCH},
    ),
    "darts_ablations": Published(
        "DARTS, Sect. 3.3 and appendix",
        "Alternative optimisation strategies and a deeper search, on CIFAR-10",
        {"test_error_percent": ERROR, "std": "standard deviation (%)", **SIZE},
        names={"strategy": "architecture"},
    ),
} | {
    name: Published(
        f"SPOS, {title.lower()}",
        title,
        {
            "flops_M": "multiply-adds (M)",
            "params_M": "parameters (M)",
            "bitops_G": "bit operations (2^30)",
            "top1_percent": "top-1 accuracy (%)",
        },
        "Rows marked as recalled were written down from memory and not checked against the paper.",
        part=part,
        names={"model": "architecture"},
    )
    for name, title, part in (
        ("spos_blocks", "Building block search", "building blocks"),
        ("spos_channels", "Channel search", "channels"),
        ("spos_bits", "Mixed-precision quantisation search", "quantization"),
        ("spos_released", "The released cell", "released cell"),
    )
}


def table(name: str) -> "DataFrame":
    """Return a published table: `architecture`, its numbers as floats (NaN: not given), other columns as text.

    Where there is something to say, `note` says what a number cannot ("about", another unit) and `recalled` marks
    numbers that were not checked against the paper.
    """
    if name not in TABLES:
        raise unknown("published table", name, TABLES, ReproError)
    import pandas as pd

    published = TABLES[name]
    file = FOLDER / ("spos_tables.csv" if published.part else f"{name}.csv")
    frame = pd.read_csv(file, comment="#", dtype=str, keep_default_na=False).rename(columns=published.names)
    if published.part:
        frame = frame[frame["table"] == published.part].drop(columns="table").reset_index(drop=True)
        frame["recalled"] = frame["source"].str.contains("recalled")
    notes = [[] for _ in frame.index]
    for column, heading in published.units.items():
        numbers = [_number(text, heading, note) for text, note in zip(frame[column], notes, strict=True)]
        frame[column] = pd.Series(numbers, dtype=float)
    if any(notes):
        frame["note"] = ["; ".join(note) for note in notes]
    return frame


def _number(text: str, heading: str, note: list[str]) -> float:
    """Return the number, and add to `note` what it leaves out."""
    if not text:
        return float("nan")
    try:
        if text.startswith("~"):
            note.append(f"{heading}: about {text[1:]}")
        return float(text.removeprefix("~"))
    except ValueError:
        note.append(f"{heading}: {text}")
        return float("nan")
