"""Cells as DARTS prints them, `Genotype(normal=[('sep_conv_3x3', 0), ...], ...)`: read as data, never evaluated.

PC-DARTS and P-DARTS print them alike. A text is a cell alone, a line of a log, a log, or the Python source of a cell.
"""

import ast
from collections.abc import Iterator
from typing import Any

from repro.errors import ReproError
from repro.progress import note_once

MARK = "Genotype("
LONGEST, MOST = 20_000, 100  # characters of a cell, and its states


def read(text: str) -> dict[str, Any]:
    """Return the fields of the cell in a text, the last one of a log; ReproError where none is whole, or many differ.

    They differ where each has a name of its own, as in `genotypes.py` of DARTS: which one is meant is not known.
    """
    cells = list(_calls(text))
    if not cells:
        raise ReproError(f"it holds no cell but in comments: expected {MARK}...)")
    if len(names := list(dict.fromkeys(name for name, _ in cells))) > 1:
        raise ReproError(
            f"it holds {len(names)} cells, {', '.join(names)}: put the one that is meant into a file alone"
        )
    if (different := len({text for _, text in cells})) > 1:
        note_once(f"{different} different cells in one text: the last one is taken")
    try:
        call = ast.parse(cells[-1][1], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("its fields have no names")
        return {field.arg: _value(field.value) for field in call.keywords}
    except (SyntaxError, ValueError, TypeError, ArithmeticError, MemoryError, RecursionError) as error:
        raise ReproError(f"its last cell is not whole, or holds more than names and numbers ({error})") from error


def _calls(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name that each cell is given, empty where it has none, and its text up to the last parenthesis."""
    start = -1
    while (start := text.find(MARK, start + 1)) >= 0:
        before = text[text.rfind("\n", 0, start) + 1 : start]
        if "#" in before:
            continue
        name = before.rstrip(" =:").split()[-1:] if before.rstrip().endswith("=") else [""]
        depth, end = 0, start
        for end in range(start, min(len(text), start + LONGEST)):
            depth += (text[end] == "(") - (text[end] == ")")
            if text[end] == ")" and not depth:
                break
        yield "".join(name), text[start : end + 1]


def _value(node: ast.expr) -> Any:
    """Return a list of pairs, or the numbers of a list or a range."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
        return ast.literal_eval(node)
    states = range(*map(ast.literal_eval, node.args))
    if len(states) > MOST:
        raise ValueError(f"{len(states)} states")
    return list(states)
