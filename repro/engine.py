"""Papermill, made strict: a notebook has succeeded when every cell ran and result.json is there, never by metadata.

The kernel's streams are echoed as they come; the notebook is written aside and renamed, on failure too.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import DeadKernelError
from papermill import execute_notebook
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from repro.errors import AGAIN, ReproError

ENGINE = "repro"


class Engine(NBClientEngine):
    """Papermill's engine with one stream output a cell and an encrypted kernel connection where it can be had."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the notebook cell by cell in a new kernel."""
        client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            stdout_file=options["stdout_file"],
            stderr_file=options["stderr_file"],
            coalesce_streams=True,
            startup_timeout=120,
        )
        with open(options["kernel_log"], "wb") as log:  # what the kernel's process says beside the notebook's streams
            return client.execute(transport_encryption="auto", stderr=log)


papermill_engines.register(ENGINE, Engine)


def execute(source: Path, target: Path, values: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Execute the notebook `source` with the parameters `values` into `target`.

    Raises ReproError with the failing cell's error, or when the notebook is damaged or has no parameters cell.
    """
    check(source, values)
    aside, log = target.with_name(f".partial.{target.name}"), target.with_name("kernel.log")
    last_words = target.with_name("dead-kernel.log")
    last_words.unlink(missing_ok=True)
    held = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        execute_notebook(
            _literal(source),
            _literal(aside),
            dict(values),
            engine_name=ENGINE,
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            kernel_log=log,
        )
    except DeadKernelError:
        log.rename(last_words)
        raise ReproError(
            f"the kernel died while executing {target} (out of memory, or killed); {last_words} holds its last words, "
            f"and {AGAIN}"
        ) from None
    except PapermillExecutionError as error:
        trace = "\n".join(error.traceback) if error.traceback else str(error)
        raise NotebookError(_message(target, error), trace) from None
    finally:
        log.unlink(missing_ok=True)
        if aside.exists():
            os.replace(aside, target)
        for name, value in held.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class NotebookError(ReproError):
    """A cell of a notebook failed; `trace` is its traceback."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


def check(path: Path, values: Mapping[str, Any]) -> None:
    """Refuse a notebook that is damaged, or whose parameters cell is missing or lacks one of `values`."""
    notebook = read(path)
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ReproError(
            f"{path} has {len(cells)} cells tagged 'parameters', expected one; restore it with: git checkout"
        )
    absent = [name for name in values if f"\n{name} = " not in f"\n{cells[0].source}"]
    if absent:
        raise ReproError(f"{path}: the parameters cell lacks {', '.join(absent)}; restore it with: git checkout")


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook; ReproError names the file if it is missing or damaged."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        return notebook
    except Exception as error:  # nbformat raises its own, JSON's and attribute errors alike
        reason = str(error).splitlines()[0]
        raise ReproError(f"{path} is not a readable notebook ({reason}); restore it with: git checkout") from error


def executed(path: Path) -> bool:
    """Whether `path` is a notebook whose every code cell ran without an error."""
    try:
        cells = [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source]
    except ReproError:  # missing, or damaged: it is executed again
        return False
    failed = any(output.output_type == "error" for cell in cells for output in cell.outputs)
    return not failed and all(cell.execution_count for cell in cells)


def _literal(path: Path) -> str:
    """Return a path as Papermill takes it: braces in it are no places for parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _message(target: Path, error: PapermillExecutionError) -> str:
    if error.ename in ("ReproError", "UsageError"):
        return error.evalue
    return f"cell {error.exec_count} of {target} failed: {error.ename}: {error.evalue}"
