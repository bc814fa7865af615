"""`make mutants`: put one wrong edit after another into a copy of the package and list those that no test sees."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edits import EDITS, Edit

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("repro", "tests", "notebooks", "benchmarks", "pyproject.toml", "README.md")


def survives(edit: Edit) -> bool:
    """Whether the tests that should see the edit pass with it."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for each in COPIED:
            source = ROOT / each
            keep = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(source, copy / each, ignore=keep) if source.is_dir() else shutil.copy(source, copy / each)
        path = copy / "repro" / edit.file
        path.write_text(path.read_text().replace(edit.old, edit.new))
        tests = ["tests/test_golden.py", "-k", edit.sees]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{edit.file}: {edit.wrong}: the tests {edit.sees} did not run:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    """Try the edits, as many at a time as there are cores; return 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python tests/mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only edits whose file or fault has every WORD")
    words = parser.parse_args().words
    chosen = [edit for edit in EDITS if all(word in f"{edit.file} {edit.wrong}" for word in words)]
    if not chosen:
        parser.error(f"no edit has the words {' '.join(words)}; tests/mutants/edits.py lists them")
    survivors = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for edit, survived in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVES' if survived else 'seen':8}  {edit.file}: {edit.wrong}", flush=True)
            survivors += [edit] * survived
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} wrong edits are seen by a test")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
