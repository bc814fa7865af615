"""The report: the notebook that reads all runs, executed and made into one HTML page that opens from disk.

Figures, tables and the executed notebook lie beside the page.
"""

import os
from pathlib import Path

from nbconvert import HTMLExporter
from traitlets.config import Config

from repro import engine
from repro.files import make_folder, write_bytes
from repro.settings import NOTEBOOKS, data_folder, runs_folder

SOURCE = NOTEBOOKS / "90_report.ipynb"
TRIGGERS = ("params.json", "metrics.jsonl", "result.json", "notebook.ipynb")


def build(profile: str, folder: Path | None = None) -> str:
    """Write the report into `folder` (default: report/ in the runs folder); return a line with its path."""
    folder = make_folder((folder or runs_folder() / "report").absolute())
    page = folder / "report.html"
    if is_current(page):
        return f"the report is up to date: {page}"
    values = {"profile": profile, "folder": str(folder)}
    environment = {"REPRO_RUNS": str(runs_folder()), "REPRO_DATA": str(data_folder()), "REPRO_PROGRESS_SECONDS": "2"}
    engine.execute(SOURCE, folder / "report.ipynb", values, environment)
    write_bytes(page, to_html(folder / "report.ipynb").encode())
    return f"report: {page}"


def is_current(page: Path) -> bool:
    """Whether the page is newer than every run's files and than the notebook it is made from."""
    if not page.exists():
        return False
    made = page.stat().st_mtime
    inputs = [SOURCE, *(path for name in TRIGGERS for path in runs_folder().glob(f"*/*/{name}"))]
    return all(path.stat().st_mtime < made for path in inputs)


def to_html(notebook: Path) -> str:
    """Return an executed notebook as one page that needs no network: code hidden, images within, no script."""
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = ("injected-parameters", "parameters")
    exporter = HTMLExporter(
        config=config,
        template_name="lab",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
        require_js_url="",
        mathjax_url="",
        mermaid_js_url="",
        jquery_url="",
    )
    held = os.getcwd()
    os.chdir(notebook.parent)  # images are embedded from beside the notebook
    try:
        page, _ = exporter.from_filename(notebook.name)
    finally:
        os.chdir(held)
    return page
