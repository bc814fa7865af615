"""The wrong edits of `make mutants` still apply: each to a text that stands once, and leaves a file that parses."""

import ast
import sys
from pathlib import Path

import pytest
from golden import RUNS

sys.path.insert(0, str(Path(__file__).parent / "mutants"))
from edits import EDITS

PACKAGE = Path(__file__).parent.parent / "repro"


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.file}: {edit.wrong}")
def test_a_wrong_edit_applies(edit):
    source = (PACKAGE / edit.file).read_text()
    assert source.count(edit.old) == 1
    assert ast.dump(ast.parse(source.replace(edit.old, edit.new))) != ast.dump(ast.parse(source))
    assert any(edit.sees in key for key in RUNS)


def test_there_are_enough_of_them():
    assert len(EDITS) == len(set(EDITS)) >= 60
