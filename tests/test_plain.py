"""The papers in plain code: what docstrings and the README name of them exists, and so does the test that holds it."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import repro

ROOT = Path(__file__).parent.parent
SAYS = re.compile(r"Equals `([\w.]+)`;\s+held by `(test_\w+\.py)::(test_\w+)`")
ROW = re.compile(r"^\|[^|]+\| `repro\.([\w.]+)` \|[^|]+\| `(test_\w+\.py)::(test_\w+)` \|$", re.MULTILINE)
MODULES = {path: path.read_text() for path in sorted((ROOT / "repro").rglob("*.py"))}
SAID = {(path.stem, *said) for path, text in MODULES.items() for said in SAYS.findall(text)}
ROWS = ROW.findall((ROOT / "README.md").read_text())


@pytest.mark.parametrize(("plain", "file", "test"), sorted({(*said[1:],) for said in SAID} | set(ROWS)))
def test_what_is_said_to_be_equal_and_the_test_of_it_exist(plain, file, test):
    module, name = plain.rsplit(".", 1)
    assert callable(getattr(import_module(f"{repro.__name__}.{module}"), name))
    (path,) = (ROOT / "tests").rglob(file)
    functions = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    assert test in functions


def test_every_part_of_the_papers_has_its_fast_code_and_its_row():
    equations = {f"darts.plain.{name}" for name in ("MixedOp", "search_step", "unrolled_gradient", "derive")}
    equations |= {"darts.plain.hessian_vector_product", "spos.plain.train_step", "spos.plain.next_population"}
    assert equations == {row[0] for row in ROWS}
    assert equations < {said[1] for said in SAID}
    assert sum(text.count("Equals `") for text in MODULES.values()) == len(SAID)
