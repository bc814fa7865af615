"""The set-up: one list of dependencies, locked versions, and a Makefile that sets up once and says what it needs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def pins():
    """The locked versions of each package, as requirements."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {}
    for line in filter(None, (line.strip() for line in lines)):
        requirement = Requirement(line)
        locked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return locked


def make(*arguments, folder=ROOT, **variables):
    command = ["make", "--no-print-directory", *arguments, *(f"{name}={value}" for name, value in variables.items())]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_conda_environment_repeats_no_dependency():
    python, *others, pip = ENVIRONMENT["dependencies"]
    name, versions = python.split()
    assert name == "python"
    assert SpecifierSet(versions) == SpecifierSet(PROJECT["requires-python"])
    assert others == ["pip", "graphviz"]
    assert pip == {"pip": ["-r requirements.lock", "-e .[test]"]}


def test_every_dependency_is_locked_at_a_version_that_it_allows():
    locked = pins()
    wanted = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, wanted):
        held = locked.get(canonicalize_name(requirement.name))
        assert held, f"{requirement.name} is not in requirements.lock"
        for pin in held:
            (version,) = (spec.version for spec in pin.specifier)
            assert requirement.specifier.contains(version), f"{pin} is outside {requirement}"


def test_the_lock_names_versions_only():
    for held in pins().values():
        for requirement in held:
            assert requirement.url is None
            assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement


def test_ci_runs_what_the_readme_calls_the_tests():
    assert re.search(r"^make test\b.*tests", (ROOT / "README.md").read_text(), re.MULTILINE)
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert script.read_text().rstrip().endswith("exec make test")


@needs_make
def test_help_tells_every_target():
    targets = re.search(r"\.PHONY: (.+)", (ROOT / "Makefile").read_text()).group(1).split()
    answer = make("help")
    assert answer.returncode == 0
    assert all(f"make {target} " in answer.stdout for target in targets)


@needs_make
def test_parameters_and_seeds_reach_the_command_line():
    values = {"EXPERIMENT": "cifar10-search", "PARAMS": "order=1 seed=3", "PROFILE": "paper", "SEEDS": "0,1"}
    answer = make("-n", "run", **values)
    expected = "repro run cifar10-search --profile paper -p 'order=1' -p 'seed=3' --seeds 0,1"
    assert expected in answer.stdout


@pytest.mark.parametrize("script", ["tests/faults", "tests/golden.py", "tests/mutants"])
def test_a_script_among_the_tests_starts_by_itself(script):
    """Not on pytest's path, but on that of the Makefile."""
    assert f"$(BIN)/python {script}\n" in (ROOT / "Makefile").read_text()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, script, "--help"]
    answer = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("usage: ")


@needs_make
def test_reproduce_runs_everything_and_reports():
    commands = make("-n", "reproduce", PROFILE="short").stdout
    assert commands.index("repro run --all --profile short") < commands.index("repro report --profile short")


FAKE_PYTHON = """#!/bin/sh
# -c asks whether the version fits; -m venv makes another of these; -m pip writes down what it was asked for
case "$*" in
  -c*) exit {fits} ;;
  --version) echo Python 3.12.0 ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip install -q uv") {uv} ;;
  "-m pip "*) echo "pip $*" >> {log} ;;
esac
"""
FAKE_UV = """printf '#!/bin/sh\\necho "uv $*" >> {log}\\n' > {uv}; chmod +x {uv}"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with what set-up reads; `python()` puts a stand-in for Python there."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)

    def python(fits=True, uv=True):
        log = tmp_path / "log"
        getting_uv = FAKE_UV.format(log=log, uv=tmp_path / "env" / "bin" / "uv") if uv else "exit 1"
        path = tmp_path / "python"
        path.write_text(FAKE_PYTHON.format(fits=int(not fits), uv=getting_uv, log=log))
        path.chmod(0o755)
        return {"folder": tmp_path, "PYTHON": path, "VENV": "env"}

    return python


@needs_make
def test_setup_installs_the_lock_once(checkout, tmp_path):
    variables = checkout()
    assert make("setup", **variables).returncode == 0
    log = (tmp_path / "log").read_text()  # of what every run imports the bytecode is there, as pip would have it
    assert "uv pip install -r requirements.lock -e .[test] --compile-bytecode" in log
    assert make("-q", "setup", **variables).returncode == 0
    (tmp_path / "requirements.lock").touch()
    os.utime(tmp_path / "env" / ".installed", (0, 0))
    assert make("-q", "setup", **variables).returncode == 1


@needs_make
def test_setup_falls_back_to_pip(checkout, tmp_path):
    answer = make("setup", **checkout(uv=False))
    assert answer.returncode == 0
    assert "pip does" in answer.stdout
    assert "pip -m pip install -r requirements.lock -e .[test]" in (tmp_path / "log").read_text()


@needs_make
def test_a_python_that_does_not_fit_is_told_in_one_line(checkout, tmp_path):
    answer = make("setup", **checkout(fits=False))
    assert answer.returncode == 2
    assert "Python 3.11, 3.12 or 3.13 is needed" in answer.stderr
    assert not (tmp_path / "env").exists()


@needs_make
def test_clean_keeps_everything_but_caches(checkout, tmp_path):
    variables = checkout()
    kept = [tmp_path / "runs" / "x" / "result.json", tmp_path / "figures" / "a.svg", tmp_path / "data" / "a.npz"]
    for path in [*kept, tmp_path / "repro" / "__pycache__" / "a.pyc", tmp_path / ".pytest_cache" / "a"]:
        path.parent.mkdir(parents=True)
        path.touch()
    answer = make("clean", **variables)
    assert answer.returncode == 0
    assert "were not touched" in answer.stdout
    assert all(path.exists() for path in kept)
    assert not (tmp_path / "repro" / "__pycache__").exists()
    assert not (tmp_path / ".pytest_cache").exists()


@needs_make
def test_run_without_an_experiment_says_what_to_give(checkout, tmp_path):
    variables = checkout()
    make("setup", **variables)
    answer = make("run", **variables)
    assert answer.returncode == 2
    assert "make run EXPERIMENT=cifar10-search" in answer.stdout
