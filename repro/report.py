"""The report: the notebook that reads all runs, executed and made into one HTML page that opens from disk.

report.html and report.pdf; beside them the figures, tables/ and, in notebooks/, every executed notebook as it is and as
a page. The same runs give the same bytes; without a new run there is nothing to do.
"""

import hashlib
import html
import time
from functools import partial
from pathlib import Path

import nbformat

from repro import engine, pages
from repro.errors import ReproError
from repro.experiments import EXPERIMENTS, find
from repro.files import make_folder, read_json, write_bytes, write_json
from repro.progress import note
from repro.references import reference
from repro.results.compare import page_of
from repro.runs import Run, needed_run
from repro.settings import NOTEBOOKS, data_folder, runs_folder
from repro.states import survey

SOURCE = NOTEBOOKS / "90_report.ipynb"
READ = ("*/*/*.json", "*/*/metrics.jsonl", "*/*/notebook.ipynb", "*/*/*/metrics.jsonl")
LIST = "contents.json"  # the files that a report consists of; what the next one lacks is deleted
BANNERS = {
    "smoke": "a first look on data that ships inside dependencies; its numbers show that the path works, no more",
    "short": "trends on real data; its numbers are not made by the paper's protocol",
    "paper": "the paper's protocol",
}


def build(profile: str, folder: Path | None = None) -> str:
    """Write the report into `folder` (default: report/ in the runs folder); return a line with its path."""
    folder = make_folder((folder or runs_folder() / "report").absolute())
    page, made_from = folder / "report.html", fingerprint(profile)
    if _is_from(page, made_from):
        return f"the report is up to date: {page}"
    began, held = time.time(), _contents(folder)
    executed = make_folder(folder / "notebooks") / "report.ipynb"
    kept = [file for run in survey()[0] for file in publish(run, folder)]
    environment = {"REPRO_RUNS": str(runs_folder()), "REPRO_DATA": str(data_folder()), "REPRO_PROGRESS_SECONDS": "2"}
    engine.execute(SOURCE, executed, {"profile": profile, "folder": str(folder)}, environment)
    notebook = pages.stripped(engine.read(executed), {folder: "report"})
    write_bytes(executed, nbformat.writes(notebook).encode())
    write_bytes(page, pages.page(notebook, made_from=made_from, links=lambda _: None, report=True).encode())
    if reason := pages.print_pdf(page, folder / "report.pdf"):
        note(reason)
    made = [
        file for file in folder.rglob("*") if file.is_file() and (file in kept or file.stat().st_mtime >= began - 1)
    ]
    for file in set(held) - set(made):
        file.unlink(missing_ok=True)
    write_json(folder / LIST, sorted(str(file.relative_to(folder)) for file in made if file.name != LIST))
    return f"report: {page}"


def fingerprint(profile: str) -> str:
    """Return the SHA-256 of all that the report is made from: profile, runs, report notebook and this package."""
    digest = hashlib.sha256(profile.encode())
    package = Path(__file__).parent
    sources = [SOURCE, *package.rglob("*.py"), *package.rglob("templates/*/*"), *package.rglob("*.csv")]
    for root, files in (
        (package.parent, sources),
        (runs_folder(), [f for glob in READ for f in runs_folder().glob(glob)]),
    ):
        for file in sorted(set(files)):
            digest.update(f"{file.relative_to(root) if file != SOURCE else ''}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def publish(run: Run, folder: Path) -> list[Path]:
    """Write a run's executed notebook, without the paths of this machine, as it is and as a page; return both files."""
    source, page = run.path / "notebook.ipynb", folder / page_of(run)
    if not source.exists():
        return []
    made_from = hashlib.sha256(source.read_bytes() + pages.SOURCES).hexdigest()
    files = [page, page.with_suffix(".ipynb")]
    if not (_is_from(page, made_from) and files[1].exists()):
        try:
            notebook = pages.stripped(engine.read(source))
        except ReproError as error:
            note(str(error))
            return []
        banner = f'Run {html.escape(run.name)}: {BANNERS[run.profile]}. <a href="../report.html">The whole report</a>'
        text = pages.page(notebook, made_from=made_from, links=partial(_lead, run, folder), banner=banner)
        write_bytes(files[1], nbformat.writes(notebook).encode())
        write_bytes(page, text.encode())
    return files


def _lead(run: Run, folder: Path, notebook: str) -> str | None:
    """Return where a notebook's page is, seen from that of `run`: of a run that it needs, or the profile's usual."""
    if notebook == SOURCE.name:
        return "../report.html"
    for experiment in (each for each in EXPERIMENTS.values() if each.notebook == notebook):
        references = find(run.experiment).needs(run.params)
        own = [each for each in references if each.experiment == experiment.name]
        for each in [*own, reference(experiment.name)]:
            needed = needed_run(each, run.profile)
            if (needed.path / "notebook.ipynb").exists():
                return Path(page_of(needed)).name
    return None


def _is_from(page: Path, made_from: str) -> bool:
    """Whether a page is there and was made from what this SHA-256 is of."""
    if not page.exists():
        return False
    with open(page, encoding="utf-8") as file:
        return f'content="{made_from}"' in file.read(1000)


def _contents(folder: Path) -> list[Path]:
    """Return the files in `folder` that the last report consisted of."""
    names = read_json(folder / LIST) if (folder / LIST).exists() else []
    own = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return [own[name] for name in names if name in own]
