"""What people read first: README, CONTRIBUTING and the pages of docs/, with the code blocks and commands in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
TEXT = "\n".join(PAGES.values())


def section(page: str, heading: str) -> str:
    """The text under a heading of a page, up to the next one of its level."""
    (text,) = re.findall(rf"^{heading}\n(.*?)(?=^##? |\Z)", PAGES[ROOT / page], re.MULTILINE | re.DOTALL)
    return text


def blocks(language: str, text: str = TEXT) -> list[str]:
    """The code blocks of a language, of all pages."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The commands of a code block, in words."""
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [line for line in lines if line]


def quoted(text: str) -> list[list[str]]:
    """The commands between single backticks, in words."""
    found = re.findall(r"(?<!`)`((?:repro|python|make|conda) [^`]+)`(?!`)", text)
    return [part.split() for line in found for part in line.split(" && ")]
