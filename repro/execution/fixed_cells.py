"""What stands alike in all notebooks: `make cells` writes it anew.

The first code cell installs the package where it is missing; the parameters cell is that of `listing.cell`. Where
[project.urls] of pyproject.toml has the repository's own address, the package is installed from there and badges lead
to Colab and Binder. Until it has one, the cell says what to do, and there is no badge.
"""

import json
import re
import tomllib
from pathlib import Path

from repro.configs.registry import EXPERIMENTS
from repro.execution import listing
from repro.files import read_text, write_bytes
from repro.settings import NOTEBOOKS, ROOT

OWN = ("repository", "source")  # what a project calls its own address, in any case
MISSING = "the package repro is not installed: clone its repository, and in its folder: pip install -e ."
BADGE = r"\[!\[[^]\n]*\]\([^)\n]*\)\]\([^)\n]*\)"


def address(pyproject: Path) -> str:
    """Return the repository's own address that pyproject.toml gives; empty where it gives none."""
    urls = tomllib.loads(read_text(pyproject))["project"].get("urls", {})
    return next((url.removesuffix("/") for name, url in urls.items() if name.lower() in OWN), "")


def install(source: str) -> list[str]:
    """Return the lines of the cell that installs the package from `source`, if it is missing where the cell runs."""
    if not source:
        return ["from importlib.util import find_spec", "", *_if_missing(f'raise SystemExit("{MISSING}")')]
    pip = f'[sys.executable, "-m", "pip", "install", "--quiet", "git+{source}"]'
    imports = ["import subprocess", "import sys", "from importlib.util import find_spec", ""]
    return [*imports, *_if_missing(f"subprocess.run({pip}, check=True)")]


def _if_missing(statement: str) -> list[str]:
    return ['if not find_spec("repro"):', f"    {statement}"]


def badges(source: str, notebook: str) -> str:
    """Return the badges, in Markdown, that open a notebook of the repository at `source`; empty if not on GitHub."""
    if not (own := re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?", source)):
        return ""
    colab = f"https://colab.research.google.com/github/{own[1]}/blob/HEAD/notebooks/{notebook}"
    binder = f"https://mybinder.org/v2/gh/{own[1]}/HEAD?urlpath=lab/tree/notebooks/{notebook}"
    pictures = {"Open in Colab": ("https://colab.research.google.com/assets/colab-badge.svg", colab)}
    pictures |= {"Open in Binder": ("https://mybinder.org/badge_logo.svg", binder)}
    return " ".join(f"[![{words}]({picture})]({target})" for words, (picture, target) in pictures.items())


def badged(text: str, line: str) -> str:
    """Return Markdown with this line of badges under its first heading, and no other line of badges."""
    text = re.sub(rf"(?m)^(?:{BADGE} ?)+\n\n", "", text)
    heading, rest = text.split("\n\n", 1)
    return "\n\n".join(filter(None, (heading, line, rest)))


def rewritten(text: str, name: str, source: str) -> str:
    """Return the text of the notebook `name` with its cells and badges as they are to be."""
    notebook = json.loads(text)
    opening, *cells = (cell for cell in notebook["cells"] if "install" not in cell["metadata"].get("tags", []))
    opening["source"] = _lines(badged("".join(opening["source"]), badges(source, name)))
    code = {"cell_type": "code", "execution_count": None, "id": "install", "metadata": {"tags": ["install"]}}
    code |= {"outputs": [], "source": _lines("\n".join(install(source)))}
    for experiment in (each for each in EXPERIMENTS.values() if each.notebook == name):
        cell = next(cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
        cell["source"] = _lines("\n".join(listing.cell(experiment)))
    return json.dumps({**notebook, "cells": [opening, code, *cells]}, indent=1, ensure_ascii=False) + "\n"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main(root: Path = ROOT) -> None:
    """Write the notebooks and the README's badges anew."""
    source = address(root / "pyproject.toml")
    readme, first = root / "README.md", "00_bilevel_toy.ipynb"
    texts = {readme: badged(read_text(readme), badges(source, first))}
    texts |= {path: rewritten(read_text(path), path.name, source) for path in root.glob(f"{NOTEBOOKS.name}/*.ipynb")}
    for path, text in texts.items():
        if text != read_text(path):
            write_bytes(path, text.encode())
            print(path.relative_to(root))


if __name__ == "__main__":
    main()
