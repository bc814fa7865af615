"""What the prose of a notebook states: numbers and data sets, but for what it says of the papers or of their code."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat

from repro.configs.parameters import Parameters
from repro.configs.registry import find
from repro.runs.run import Run
from repro.settings import NOTEBOOKS

UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
WORDS = {word: number for number, word in enumerate(UNITS)} | {"twenty": 20, "twenty-four": 24, "thirty-six": 36}
DATA = {"cifar10": "CIFAR-10", "imagenet": "ImageNet", "ptb": "Penn Treebank", "wikitext-2": "WikiText-2"}
OF_THE_PAPER = re.compile(r"\b(papers?|released|published|publication)\b|\bNAS-Bench|\bTable \d", re.IGNORECASE)
NO_NUMBER = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>]+>|"  # code, formulas, links, markup
    r"\b(Tables?|Fig(ures?|s?\.)|Sect\.|Eqs?\.|Algorithm|ICLR|ECCV|A)[ .][\d.]+( ?(and|to|,) [\d.]+)*|"  # places
    r"\b[A-Za-z]+[\w.]*[-_]?\d[\w-]*|\b\d+(\.\d+)?(st|nd|rd|th|x\d+)\b|\d[\d,]*\.\d+|1e-?\d+|"  # names, decimals
    r"at chance, which is \d+",  # of so many classes
    re.DOTALL,
)
LEAST = 4  # smaller numbers mean too many things


def sentences(text: str) -> list[str]:
    """The sentences of Markdown that are not about a paper; fenced code is none."""
    text = re.sub(r"```.*?```|<details>.*?</details>", "", text, flags=re.DOTALL)
    parts = [part for line in text.splitlines() for part in re.split(r"(?<=[.:;])\s+(?=[A-Z`>])", line)]
    return [part for part in parts if part.strip() and not OF_THE_PAPER.search(part)]


def numbers(sentence: str) -> set[int]:
    """The whole numbers of a sentence, in digits or in words; not those in code, formulas and names."""
    bare = NO_NUMBER.sub(" ", sentence)
    digits = {int(number.replace(",", "")) for number in re.findall(r"(?<![\w.])\d[\d,]*(?![\w.]\d)", bare)}
    return digits | {WORDS[word] for word in re.findall(r"[a-z]+(?:-[a-z]+)?", bare.lower()) if word in WORDS}


def constants(own: Parameters, other: Parameters) -> dict[int, str]:
    """The whole numbers of `other` that are none of `own`'s, and the parameters that have them."""
    kept, found = {*whole(vars(own))}, whole(vars(other))
    return {number: name for number, name in found.items() if number not in kept and number >= LEAST}


def whole(values: Mapping[str, Any]) -> dict[int, str]:
    """The whole numbers among parameters or results, with their names, and how many entries their lists have."""
    found = {}
    for name, value in values.items():
        for each in (*value, len(value)) if isinstance(value, tuple | list) else (value,):
            if isinstance(each, int):
                found.setdefault(each, name)
    return found


def stated(text: str) -> set[int]:
    """The whole numbers that a text states."""
    return {number for sentence in sentences(text) for number in numbers(sentence)}


def strangers(text: str, own: Parameters, other: Parameters) -> list[str]:
    """The sentences of a text about a run of `own` that state a number or a data set of `other`."""
    wrong, name = constants(own, other), lambda params: getattr(params, "dataset", getattr(params, "corpus", None))
    data = DATA.get(name(other)) if name(own) != name(other) else None
    return [
        sentence
        for sentence in sentences(text)
        if numbers(sentence) & {*wrong} or (data is not None and data in sentence)
    ]


def prose(path: Path) -> str:
    """All that the Markdown of a notebook says."""
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def findings(name: str) -> Callable[[Run], list[str]]:
    """The function whose sentences end the notebook of an experiment."""
    *_, seen, _ = nbformat.read(NOTEBOOKS / find(name).notebook, as_version=4).cells
    module, function = re.fullmatch(r"narration\.show\((\w+)\.(\w+)\(run\)\)", seen.source).groups()
    return getattr(import_module(f"repro.report.{module}"), function)
