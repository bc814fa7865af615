"""The house: packages in one order, each importing only from those before it; what needs no torch has none."""

import ast
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest
from prose import PAGES, README, ROOT, blocks

PACKAGE, LIBRARY = ROOT / "repro", PAGES[ROOT / "docs" / "library.md"]
GROUND = ("errors", "files", "settings", "progress", "presence")
DOORS = ("recipe", "cli", "__main__")
ORDER = (
    *("spaces", "configs", "data", "runs", "training", "results", "darts", "darts.cnn", "darts.rnn", "spos", "beyond"),
    *("execution", "originals", "report", "experiments"),
)
TORCHLESS = ("spaces", "configs", "runs", "results")
ROOMS = [".", *ORDER]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}


def room(module: str) -> str:
    """The package of a module; a module of the ground or a door is one of its own."""
    return module.rpartition(".")[0] or module


def level(module: str) -> int:
    """The place of a module's package in the order."""
    return [*GROUND, *ORDER, *DOORS].index(room(module))


@cache
def imported(module: str) -> set[str]:
    """The modules of this package that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name: write it out"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("repro.") for name in names if name.startswith("repro.")} & set(MODULES)


def test_every_module_is_in_a_package_of_the_order():
    assert {room(module) for module in MODULES} == {*GROUND, *ORDER, *DOORS}


@pytest.mark.parametrize("package", [*GROUND, *ORDER, *DOORS])
def test_packages_import_only_from_those_before(package):
    up = {
        f"{module} imports {other}"
        for module in MODULES
        if room(module) == package
        for other in imported(module)
        if level(other) > level(module) or {room(module), room(other)} == {"darts.cnn", "darts.rnn"}
    }
    assert not up


def test_no_module_imports_in_a_circle():
    try:
        TopologicalSorter({module: imported(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_packages_import_nothing_themselves():
    """So that a module costs what it imports, and no more."""
    for path in PACKAGE.rglob("__init__.py"):
        assert not any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(ast.parse(path.read_text()))), path


@pytest.mark.parametrize("package", ORDER)
def test_a_package_says_what_it_holds(package):
    path = PACKAGE.joinpath(*package.split("."), "__init__.py")
    words, _, public = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n\nPublic: ")
    assert 4 <= len(words.splitlines()) <= 8
    assert len(public.splitlines()) <= 4
    for name in re.findall(r"`([a-z_0-9]+)`", words):
        assert path.parent.joinpath(f"{name}.py").exists() or path.parent.joinpath(name).is_dir() or name in ORDER, name


def public(package: str) -> list[str]:
    """The public names of a package by their full names, as its docstring lists them."""
    words = importlib.import_module(f"repro.{package}").__doc__.partition("\n\nPublic: ")[2]
    return [f"repro.{package}.{name}" for name in re.findall(r"`([\w.]+)`", words)]


PUBLIC = [name for package in ORDER for name in public(package)]


def test_public_names_exist_and_say_what_they_are():
    assert {room(name.removeprefix("repro.")).split(".")[0] for name in PUBLIC} >= {"darts", "spos", "spaces"}
    for name in PUBLIC:
        found = pkgutil.resolve_name(name)
        assert isinstance(found, dict) or found.__doc__, name


def used(program: str) -> set[str]:
    """The names of this package that a program uses, by their full names."""
    nodes = [*ast.walk(ast.parse(program))]
    imports = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module.startswith("repro")]
    names = {alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    of_modules = {
        f"{names[n.value.id]}.{n.attr}"
        for n in nodes
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in names
    }
    return of_modules | {name for name in names.values() if name.removeprefix("repro.") not in MODULES}


def test_examples_of_the_library_use_public_names_only():
    names = [used(program) for program in (*blocks("python", README), *blocks("python", LIBRARY))]
    assert len(names) == 5
    assert all(names)
    assert set().union(*names) <= {*PUBLIC}


def test_what_needs_no_torch_imports_none():
    modules = [f"repro.{module}" for module in MODULES if room(module) in (*GROUND, *TORCHLESS)]
    assert len(modules) > 30
    script = f"import sys, importlib; [*map(importlib.import_module, {modules}), sys.exit('torch' in sys.modules)]"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["list", "claims", "status"])
def test_looking_starts_without_torch_and_pandas(command, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    script = (
        f"import sys; from repro.cli import main; main(['{command}']); print({{'torch', 'pandas'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"


ANOTHER_LINE = """
from repro.execution import cluster
from repro.report import report
from repro.settings import PACKAGE

hashes = lambda: (cluster.code(), report.fingerprint("smoke"))
before = hashes()
for package in PACKAGES:
    file = next(f for f in sorted(PACKAGE.joinpath(*package.split(".")).glob("*.py")) if f.name != "__init__.py")
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}# another line\\n", encoding="utf-8")
    print(package, *(one != other for one, other in zip(before, hashes(), strict=True)))
    file.write_text(text, encoding="utf-8")
assert hashes() == before
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """What a copy of the package says of itself when a line of each of its packages changes."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, copy / "repro", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(copy), "REPRO_RUNS": str(copy / "runs")}
    command = [sys.executable, "-c", f"PACKAGES = {ROOMS}\n{ANOTHER_LINE}"]
    done = subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True, text=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("package", ROOMS)
def test_a_line_of_any_package_makes_other_code(package, changed):
    """A worker with other science is refused, and a report of other code is written anew."""
    assert changed[package] == "True True"


def test_readme_maps_every_package_in_order():
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Map of the package")[1].split("\n## ")[0]
    named = [
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    ]
    assert named == [*GROUND, *ORDER, *DOORS[:-1]]
