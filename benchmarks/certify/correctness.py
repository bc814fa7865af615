"""Whether a GPU computes what it should: every reference vector of the originals, and the tests that need a GPU."""

import re
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from benchmarks.cases import ROOT
from benchmarks.certify.stages import Rows, Settings
from repro.errors import ReproError
from repro.originals.verify import verify
from repro.training import devices

VECTORS = ROOT / "tests" / "reference"
TESTS = ROOT / "tests" / "test_gpu.py"
OWN = ("test_the_original_numbers_hold",)  # what the vectors' own measurements are


def rows(settings: Settings) -> Rows:
    """Return a measurement for each vector and for each test function; at tiny size one vector."""
    device = devices.pick(settings.device)
    vectors = sorted(VECTORS.glob("*.npz"), key=lambda path: path.stat().st_size)
    vectors = vectors[:1] if settings.size == "tiny" else vectors
    functions = re.findall(r"^def (test_\w+)", TESTS.read_text(), re.MULTILINE)
    tests = {name: lambda name=name: tested(name) for name in functions if name not in OWN}
    return {**{path.stem: lambda path=path: verified(path, device) for path in vectors}, **tests}


def verified(path: Any, device: Any) -> dict[str, Any]:
    """Compare all arrays of a vector."""
    found = verify(path, device)
    wrong = [row.name for row in found if not row.ok]
    return {"arrays": len(found), "largest": max(row.difference for row in found), "wrong": wrong, "passed": not wrong}


def tested(name: str) -> dict[str, Any]:
    """Run a test function, in this process; return what became of its cases."""
    import pytest

    counts: Counter[str] = Counter()
    said: list[str] = []

    class Outcomes:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.outcome != "passed":
                counts[report.outcome] += 1
            if report.failed:
                said.append(f"{report.nodeid}: {str(report.longrepr)[-500:]}")

    options = ["-m", "gpu", "-p", "no:cacheprovider", "--rootdir", str(ROOT), f"{TESTS}::{name}"]
    with redirect_stdout(StringIO()):
        status = pytest.main(options, plugins=[Outcomes()])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ReproError(f"pytest cannot run {name}: it ended with {status!r}")
    return {**counts, "said": said, "passed": not said}
