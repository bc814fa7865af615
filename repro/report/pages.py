"""Executed notebooks as pages that open from disk: nothing is loaded, formulas are pictures, machine paths are gone.

A notebook may come from elsewhere. A page keeps only the HTML elements and attributes that are allowed here, and its
content security policy lets a browser neither execute nor fetch anything.
"""

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import nh3
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from repro.files import make_folder, write_bytes
from repro.report import formulas
from repro.settings import NOTEBOOKS, ROOT, data_folder, published_folder, runs_folder

TEMPLATES = Path(__file__).parent / "templates"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SOURCES = b"".join(path.read_bytes() for path in [Path(__file__), *sorted(TEMPLATES.rglob("*.*"))])  # of any page
# Paths of another machine, where a run of it was merged: a module of a traceback, and the folder of a user
FOREIGN = {
    r"/(?:[^\s/\"':]+/)+((?:site-packages|repro|python3\.\d+)/[^\s\"':]+\.py)\b": r"\1",
    r"/(?:home|Users)/[^\s/\"':]+": "~",
}
Links = Callable[[str], str | None]
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PLAIN = """b blockquote br code dd del div dl dt em hr i li p pre span strong sub summary sup table tbody tfoot thead tr
    ul wbr"""
CELL, HEADING = {"colspan", "rowspan", "scope"}, {"id"}
# Element -> its attributes; all may have a class
ELEMENTS = {tag: set() for tag in PLAIN.split()} | {f"h{level}": HEADING for level in range(1, 7)}
ELEMENTS |= {"a": {"href"}, "img": {"src", "alt", "width", "height", "style"}, "td": CELL, "th": CELL}
ELEMENTS |= {"details": {"open"}, "nav": {"aria-label"}, "ol": {"start"}}
WITHOUT_TEXT = {"script", "style", "iframe", "object", "template", "noscript", "textarea", "svg", "math", "title"}
# Within the page, to another host, or to files of the report
TARGETS = {
    ("a", "href"): re.compile(
        r"#.*|https?://.*|(\.\./)?report\.html|(notebooks/|tables/)?[^/\\:?#]+\.(html|csv|md|tex)", re.DOTALL
    ),
    ("img", "src"): re.compile(r"data:image/(png|jpeg|gif|svg\+xml);base64,[A-Za-z0-9+/=\s]*"),
}
# Of the browser that prints: no script in any page, no host but one that never answers
PREFERENCES = {"profile": {"default_content_setting_values": {"javascript": 2}}}
OFFLINE = ("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=http://127.0.0.1:9")
OFFLINE += ("--proxy-bypass-list=<-loopback>",)


def stripped(notebook: NotebookNode, places: Mapping[Path, str] = {}) -> NotebookNode:
    """Return a copy without machine paths, times and the tools' own metadata; a bar of progress keeps its last state.

    places: more folders than those of this machine that are known, and what to call them.
    """
    notebook = nbformat.from_dict(_without_paths(notebook, places))
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = NotebookNode({"tags": tags} if (tags := cell.metadata.get("tags")) else {})
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = "".join(re.sub(r"^[^\n]*\r(?!\n)", "", line) for line in output.text.splitlines(True))
    return notebook


def _without_paths(value: Any, places: Mapping[Path, str]) -> Any:
    """Return a value of JSON, pictures aside, with the folders of this machine named for what they are."""
    if isinstance(value, dict):
        return {
            name: part if name.startswith("image/") else _without_paths(part, places) for name, part in value.items()
        }
    if isinstance(value, list):
        return [_without_paths(part, places) for part in value]
    return unplaced(value, places) if isinstance(value, str) else value


def unplaced(text: str, places: Mapping[Path, str] = {}) -> str:
    """Return a text with the folders of this machine named for what they are."""
    known = {Path(tempfile.gettempdir()): "tmp", Path(os.path.expanduser("~")): "~", ROOT: "."}
    known |= {published_folder(): "published", data_folder(): "data", runs_folder(): "runs", **places}
    text = re.sub(r"\S*/ipykernel_\d+/\d+\.py", "a cell", text)
    for folder, name in sorted(known.items(), key=lambda item: -len(str(item[0]))):
        if folder != Path(folder.anchor):  # not within a longer path, nor in a picture's base64
            text = re.sub(rf"(?<![\w/+=.~-]){re.escape(str(folder))}(?![\w+=.-])", name, text)
    for foreign, name in FOREIGN.items():
        text = re.sub(rf"(?<![\w/+=.~:-]){foreign}", name, text)
    return text


def page(notebook: NotebookNode, *, made_from: str, links: Links, banner: str = "", report: bool = False) -> str:
    """Return a stripped notebook as an HTML page.

    links: gives a link's target in the page, None where it leads nowhere and only its text is kept; made_from: kept in
    the page, to tell whether it is still right; report: with a table of contents, without the code.
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = formulas.drawn(_linked(cell.source, links))
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = formulas.drawn(_linked(output.data["text/markdown"], links))
    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=report,
        filters={"allowed": allowed},
    )
    style = (TEMPLATES / "page" / "page.css").read_text(encoding="utf-8") + HtmlFormatter().get_style_defs(".highlight")
    facts = {"policy": POLICY, "made_from": made_from, "title": _title(notebook), "style": style, "banner": banner}
    if report:
        notebook.cells[0].source += "\n\n" + _contents(notebook)
    body, _ = exporter.from_notebook_node(notebook, resources={"page": facts})
    return body


def allowed(body: str) -> str:
    """Return what a page may show of HTML: no script, no style of its own, nothing that is loaded or sent."""
    return nh3.clean(
        body,
        tags={*ELEMENTS},
        clean_content_tags=WITHOUT_TEXT,
        attributes={"*": {"class"}, **ELEMENTS},
        attribute_filter=_attribute,
        url_schemes={"http", "https", "data"},
        filter_style_properties={"vertical-align"},
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Return an attribute's value, None where it leads where a page does not lead."""
    target = TARGETS.get((tag, name))
    return value if target is None or target.fullmatch(value) else None


def _contents(notebook: NotebookNode) -> str:
    """Return a table of contents: the headings of level 2, leading to where nbconvert puts their anchors."""
    lines = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    items = [f'<li><a href="#{html.escape(t.replace(" ", "-"))}">{html.escape(t)}</a></li>' for t in titles]
    inside = f"<summary>Contents</summary><ul>{''.join(items)}</ul>"
    return f'<nav aria-label="Contents"><details open>{inside}</details></nav>'


def _title(notebook: NotebookNode) -> str:
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    return html.escape(first.splitlines()[0].lstrip("# ")) if first else "repro"


def _linked(text: str, links: Links, targets: str = r"[^)\s]+\.ipynb") -> str:
    """Lead links to such targets, by default notebooks, where `links` says; where that is nowhere, keep the text."""

    def lead(match: re.Match) -> str:
        target = links(match[2])
        return f"[{match[1]}]({target})" if target else match[1]

    return re.sub(rf"\[([^\]\n]+)\]\(({targets})\)", lead, text)


def moved(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Return a copy whose relative links lead from `folder`, where that is in the repository, as from `notebooks/`.

    Elsewhere, and where a link leads nowhere, only its text is kept.
    """
    notebook = nbformat.from_dict(notebook)

    def lead(target: str) -> str | None:
        leads = folder.is_relative_to(ROOT) and (NOTEBOOKS / target).exists()
        return os.path.relpath(NOTEBOOKS / target, folder) if leads else None

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _linked(cell.source, lead, r"(?!\w+:|#)[^)\s]+")
    return notebook


def print_pdf(page: Path, target: Path) -> str | None:
    """Print a page as PDF with Chromium; return why there is none, where there is none.

    Links to other files are left out: Chromium would write this machine's path into them.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return f"no PDF: none of {', '.join(BROWSERS)} is on the path"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source, printed = Path(folder) / "page.html", Path(folder) / "page.pdf"
        text = re.sub(r'<a href="(?!#|https?:)[^"]*"', "<a", page.read_text(encoding="utf-8"))
        first = f'<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        source.write_text(first + text, "utf-8")
        command = [browser, *_confined(Path(folder) / "profile"), f"--print-to-pdf={printed}", source.as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=120, check=True, env={**os.environ, "TZ": "UTC"})
            write_bytes(target, _undated(printed.read_bytes()))
        except (OSError, subprocess.SubprocessError) as error:
            return f"no PDF: {browser} failed ({type(error).__name__})"
    return None


def _confined(profile: Path) -> list[str]:
    """Return the options of a browser that executes no script, reaches no host, and has a profile of its own."""
    settings = make_folder(profile / "Default") / "Preferences"
    settings.write_text(json.dumps(PREFERENCES), "utf-8")
    options = ["--headless", "--disable-gpu", "--disable-sync", "--no-first-run", "--no-pdf-header-footer"]
    options += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}", *OFFLINE]
    return options + ["--no-sandbox"] * (os.geteuid() == 0)  # it has none for root


def _undated(pdf: bytes) -> bytes:
    """Replace the dates in a PDF by one of the same length."""
    return re.sub(rb"(?<=Date \(D:)\d{14}", b"20000101000000", pdf)
