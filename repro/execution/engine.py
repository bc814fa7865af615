"""Papermill, made strict: a notebook has succeeded when every cell ran and result.json is there, never by metadata.

The kernel's streams are echoed as they come; the notebook is written aside and renamed, on failure too.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from papermill import execute_notebook
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from repro.errors import AGAIN, ReproError, line
from repro.execution.notebooks import parameters_of
from repro.files import private, read_text
from repro.settings import own_package

ENGINE = "repro"
LEFT = {"profile": "smoke", "folder": "report"}  # what cells set that a run may set otherwise


@dataclass
class Execution:
    """A notebook at work: where its streams are echoed, and its kernel, for another thread to stop it."""

    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    client: PapermillNotebookClient | None = None
    stopped: bool = False

    def stop(self, number: int) -> None:
        """Send this signal to the kernel, if there is one yet; `execute` will end by KeyboardInterrupt."""
        self.stopped = True
        if manager := self.client and self.client.km:
            with suppress(RuntimeError, OSError):  # it has not begun, or has ended
                asyncio.run(manager.signal_kernel(number))


class Kernel(AsyncKernelManager):
    """A kernel of this Python, whatever kernelspecs there are, without the user's start-up files."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return how it is started: ipykernel_launcher would drop the current folder from the path, if it is ours."""
        argv = [sys.executable, "-m", "ipykernel", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python", language="python")


class Engine(NBClientEngine):
    """Papermill's engine with one stream output a cell and an encrypted kernel connection where it can be had."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the notebook cell by cell in a new kernel."""
        execution = options["execution"]
        execution.client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            kernel_manager_class=Kernel,
            stdout_file=execution.stdout,
            stderr_file=execution.stderr,
            coalesce_streams=True,
            startup_timeout=120,
        )
        with open(options["kernel_log"], "wb") as log:  # what the kernel's process says beside the notebook's streams
            return execution.client.execute(transport_encryption="auto", stderr=log, env=options["environment"])


papermill_engines.register(ENGINE, Engine)


def execute(
    source: Path,
    target: Path,
    values: Mapping[str, Any],
    environment: Mapping[str, str],
    execution: Execution | None = None,
) -> None:
    """Execute the notebook `source` with the parameters `values` into `target`; several threads may do so at a time.

    environment: variables of the kernel, beside those of this process. Raises ReproError with the failing cell's error,
    or when the notebook is damaged or has no parameters cell; KeyboardInterrupt where the execution is stopped.
    """
    check(source, values)
    execution = execution or Execution()
    with private(target) as folder:
        _execute(source, target, folder, values, environment, execution)


def _execute(
    source: Path,
    target: Path,
    folder: Path,
    values: Mapping[str, Any],
    environment: Mapping[str, str],
    execution: Execution,
) -> None:
    aside, log, last_words = folder / target.name, folder / "kernel.log", target.with_name("dead-kernel.log")
    last_words.unlink(missing_ok=True)
    settings = tempfile.TemporaryDirectory(prefix="repro-")  # of IPython, none
    own = {**own_package(), "IPYTHONDIR": settings.name, "PYTHONSTARTUP": ""}
    try:
        execute_notebook(
            _literal(source),
            _literal(aside),
            dict(values),
            engine_name=ENGINE,
            progress_bar=False,
            kernel_log=log,
            environment={**os.environ, **own, **environment},
            execution=execution,
        )
    except RuntimeError as error:  # of nbclient
        if execution.stopped:
            raise KeyboardInterrupt from None
        os.replace(log, last_words)
        why = "(out of memory, or killed)" if isinstance(error, DeadKernelError) else f"at its start ({error})"
        raise ReproError(
            f"the kernel died while executing {target} {why}; {last_words} holds its last words, and {AGAIN}"
        ) from None
    except PapermillExecutionError as error:
        if execution.stopped or error.ename == "KeyboardInterrupt":
            raise KeyboardInterrupt from None
        raise _failure(target, error) from None
    finally:
        settings.cleanup()
        if aside.exists():
            os.replace(aside, target)


def _failure(target: Path, error: PapermillExecutionError) -> ReproError:
    own = error.traceback and error.traceback[-1] == line(error.evalue)  # a ReproError, of whatever class
    what = f"cell {error.exec_count} of {target} failed: {error.ename}: {error.evalue}"
    failure = ReproError(error.evalue if own else what)
    failure.trace = "\n".join(error.traceback) if error.traceback else str(error)
    return failure


def check(path: Path, values: Mapping[str, Any]) -> None:
    """Refuse a notebook that is damaged, or whose parameters cell is missing, or lacks or contradicts `values`."""
    notebook = read(path)
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ReproError(
            f"{path} has {len(cells)} cells tagged 'parameters', expected one; restore it with: git checkout"
        )
    held = parameters_of(cells[0].source)
    if absent := [name for name in values if name not in held]:
        raise ReproError(f"{path}: the parameters cell lacks {', '.join(absent)}; restore it with: git checkout")
    edited = [name for name in values if held[name] not in (..., values[name], LEFT.get(name))]
    if edited:
        asked = ", ".join(f"{name}={held[name]!r} there, {values[name]!r} asked" for name in edited)
        raise ReproError(f"{path}: the parameters cell was edited ({asked}): give values with -p, or put ... there")


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook; ReproError names the file if it is missing or damaged."""
    try:
        notebook = nbformat.reads(read_text(path), as_version=4)
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
