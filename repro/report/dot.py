"""Graphs drawn by Graphviz: by its program `dot` or, where that is missing, by its library (pygraphviz)."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from repro.files import make_folder, write_bytes

# In a process of its own, as `dot` is: its C library may write warnings to the terminal
PYGRAPHVIZ = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


def render(source: str, stem: Path, formats: Sequence[str] = ("svg",)) -> tuple[list[Path], str | None]:
    """Draw DOT text into `stem`.svg (or pdf, png) and return the files; where that fails, `stem`.dot and the reason."""
    make_folder(stem.parent)
    paths, reason = [], None
    for extension in formats:
        try:
            picture = _draw(source, extension)
        except Exception as error:  # any fault of the drawing program: the graph is still worth keeping
            reason = _reason(error)
            continue
        paths.append(stem.with_name(f"{stem.name}.{extension}"))
        write_bytes(paths[-1], picture)
    if reason is None:
        return paths, None
    dot = stem.with_name(f"{stem.name}.dot")
    write_bytes(dot, source.encode())
    return [*paths, dot], f"{dot} was not drawn in full ({reason}); install Graphviz, then: dot -Tsvg -O {dot}"


def _draw(source: str, extension: str) -> bytes:
    """Return the picture as bytes, without a date; raises what the drawing program raises."""
    dot = shutil.which("dot")
    command = [dot, f"-T{extension}"] if dot else [sys.executable, "-c", PYGRAPHVIZ, extension]
    answer = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if answer.returncode:
        raise RuntimeError(answer.stderr.decode(errors="replace"))
    # A date of the same length, so that the offsets in the file stay right
    return re.sub(rb"(?<=/CreationDate \(D:)\d{14}", b"20000101000000", answer.stdout)


def _reason(error: Exception) -> str:
    """Return an error's last line."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
