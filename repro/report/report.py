"""The report: the notebook that reads all runs, executed and made into one HTML page that opens from disk.

report.html and report.pdf; beside them the figures, tables/ and, in notebooks/, every executed notebook as it is and as
a page. The same runs give the same bytes; without a new run there is nothing to do.
"""

import hashlib
import html
import os
import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import nbformat

from repro.configs import profiles
from repro.configs.references import reference
from repro.configs.registry import EXPERIMENTS, find
from repro.errors import line
from repro.execution import engine
from repro.files import make_folder, read_json, sha256, write_bytes, write_json
from repro.progress import note
from repro.report import pages
from repro.report.typeset import verbatim
from repro.results import protocol
from repro.results.compare import page_of
from repro.runs import snapshot
from repro.runs.run import Run, shown_run
from repro.runs.states import survey
from repro.settings import NOTEBOOKS, PACKAGE, data_folder, published_folder, require_notebooks, runs_folder

SOURCE = NOTEBOOKS / "90_report.ipynb"
READ = ("*/*/*.json", "*/*/metrics.jsonl", "*/*/notebook.ipynb", "*/*/failure.txt", "*/*/*/metrics.jsonl")
PAGE = "report.html"
LIST = "contents.json"  # the files of a report with their SHA-256; what the next one lacks is deleted


def build(profile: str, folder: Path | None = None) -> str:
    """Write the report into `folder` (default: report/ in the runs folder); return a line with its path.

    It is built in a folder aside and then moved into place, so that its files are those that were built.
    """
    require_notebooks()
    folder = make_folder((folder or runs_folder() / "report").absolute())
    page, made_from, held = folder / PAGE, fingerprint(profile), contents(folder)
    if _is_from(page, made_from) and held == _contents(folder, held):
        return f"the report is up to date: {page}"
    aside = folder / ".new"
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(aside / "notebooks")
    with snapshot.taken():
        kept = {name for run in survey().runs for name in export(run, folder, aside, held)}
    _write(profile, aside, made_from)
    _replace(folder, aside, kept, held)
    return f"report: {page}"


def _write(profile: str, aside: Path, made_from: str) -> None:
    """Execute the report's notebook in the folder `aside` and make its page there."""
    executed = aside / "notebooks" / "report.ipynb"
    environment = {"REPRO_RUNS": str(runs_folder()), "REPRO_DATA": str(data_folder()), "REPRO_PROGRESS_SECONDS": "2"}
    engine.execute(SOURCE, executed, {"profile": profile, "folder": str(aside)}, environment)
    notebook = pages.stripped(engine.read(executed), {aside: "report"})
    write_bytes(executed, nbformat.writes(notebook).encode())
    text = pages.page(notebook, made_from=made_from, links=lambda _: None, report=True)
    write_bytes(aside / PAGE, text.encode())
    if reason := pages.print_pdf(aside / PAGE, aside / "report.pdf"):
        note(reason)


def contents(folder: Path) -> dict[str, str]:
    """Return the files of the report in a folder by their places in it, each with its SHA-256 when it was made."""
    held = read_json(folder / LIST) if (folder / LIST).exists() else {}
    if isinstance(held, list):  # as it was written before: their places alone
        return dict.fromkeys(filter(lambda name: isinstance(name, str), held), "")
    return held if isinstance(held, dict) else {}


def _contents(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return those of the files `names` that are in a folder, each with its SHA-256 as it is now."""
    return {name: _content(folder / name) for name in {*names}.intersection(_names(folder))}


def _replace(folder: Path, aside: Path, kept: set[str], held: Mapping[str, str]) -> None:
    """Move what was made into its place, the page last, and delete what only the report before consisted of."""
    made = sorted(_names(aside), key=lambda name: name == PAGE)
    own = {*made, *kept}
    for name in _names(folder):
        if name in held and name not in own:
            (folder / name).unlink()
    for name in made:
        make_folder((folder / name).parent)
        os.replace(aside / name, folder / name)
    write_json(folder / LIST, dict(sorted(_contents(folder, own).items())))
    shutil.rmtree(aside)


def _names(folder: Path) -> list[str]:
    """Return the files in a folder, by their places in it."""
    return [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]


def fingerprint(profile: str) -> str:
    """Return the SHA-256 of all that the report is made from: profile, runs, report notebook and this package."""
    digest = hashlib.sha256(profile.encode())
    sources = [SOURCE, *PACKAGE.rglob("*.py"), *PACKAGE.rglob("templates/*/*"), *PACKAGE.rglob("*.csv")]
    for root, files in (
        (PACKAGE.parent, sources),
        *((store, [f for glob in READ for f in store.glob(glob)]) for store in (runs_folder(), published_folder())),
    ):
        for file in sorted(set(files)):
            name = str(file.relative_to(root)) if file != SOURCE else ""
            digest.update(f"{name}\0{_content(file)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _content(file: Path) -> str:
    """Return the SHA-256 of a file; what cannot be read stands for itself."""
    try:
        return sha256(file)
    except OSError as error:
        return str(error.strerror)


def export(run: Run, folder: Path, aside: Path, held: Mapping[str, str]) -> list[str]:
    """Write a run's executed notebook, without the paths of this machine, as it is and as a page into `aside`.

    Those of `folder` that are still right are left alone; held: its `contents`. Returns the places of both files.
    """
    source, page = run.path / "notebook.ipynb", page_of(run)
    if not source.exists():
        return []
    made_from = hashlib.sha256(_content(source).encode() + pages.SOURCES).hexdigest()
    names = [page, str(Path(page).with_suffix(".ipynb"))]
    as_made = all(name in held and _content(folder / name) == held[name] for name in names)
    if not (as_made and _is_from(folder / page, made_from)):
        banner = f'Run {html.escape(run.name)}: {_says(run)}. <a href="../report.html">The whole report</a>'
        make = partial(pages.page, made_from=made_from, links=partial(_lead, run, folder), banner=banner)
        try:
            notebook = pages.stripped(engine.read(source))
            written = nbformat.writes(pages.moved(notebook, (folder / names[1]).parent)).encode()
            text = make(notebook).encode()
        except Exception as error:  # whatever it holds: the page then says why there is no more of it
            note(reason := line(f"{run.name}: its executed notebook cannot be shown: {error}"))
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(verbatim(reason), id="cell-00")])
            written, text = nbformat.writes(notebook).encode(), make(notebook).encode()
        write_bytes(aside / names[1], written)
        write_bytes(aside / page, text)
    return names


def _says(run: Run) -> str:
    """Say in words whether the numbers of a run are as published."""
    if protocol.as_published(run):
        return "the paper's protocol on the paper's data"
    return profiles.profile(run.profile).says or "its numbers are not made by the paper's protocol on the paper's data"


def _lead(run: Run, folder: Path, notebook: str) -> str | None:
    """Return where a notebook's page is, seen from that of `run`: of a run that it needs, or the profile's usual."""
    if notebook == SOURCE.name:
        return "../report.html"
    for experiment in (each for each in EXPERIMENTS.values() if each.notebook == notebook):
        references = find(run.experiment).needs(run.params)
        own = [each for each in references if each.experiment == experiment.name]
        for each in [*own, reference(experiment.name)]:
            needed = shown_run(each, run.profile)
            if (needed.path / "notebook.ipynb").exists():
                return Path(page_of(needed)).name
    return None


def _is_from(page: Path, made_from: str) -> bool:
    """Whether a page is there and was made from what this SHA-256 is of."""
    if not page.exists():
        return False
    with open(page, encoding="utf-8") as file:
        return f'content="{made_from}"' in file.read(1000)
