"""Where things are: runs, published runs, data, the notebooks, the cores; which process of several this is."""

import os
from pathlib import Path

from repro.errors import ReproError

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"


def require_notebooks() -> None:
    """ReproError outside a checkout: a package that was copied into site-packages has no notebooks."""
    if not NOTEBOOKS.is_dir():
        raise ReproError(
            f"{NOTEBOOKS} is missing: repro runs from its checkout; get that, and install it there with "
            "`pip install -e .`, or run without notebooks: python -m repro.recipe NAME"
        )


def _home() -> Path:
    """Return the checkout, or the working directory where the package was copied into site-packages."""
    return ROOT if NOTEBOOKS.is_dir() else Path.cwd()


def runs_folder() -> Path:
    """Return the folder of run directories: REPRO_RUNS (set by --runs), else the repository's `runs/`."""
    return Path(os.environ.get("REPRO_RUNS") or _home() / "runs").absolute()


def published_folder() -> Path:
    """Return the folder of published runs: REPRO_PUBLISHED, else the repository's `published/`; there may be none."""
    return Path(os.environ.get("REPRO_PUBLISHED") or _home() / "published").absolute()


def curves_folder() -> Path:
    """Return the folder of the published curves of runs under way."""
    return published_folder() / "curves"


def data_folder() -> Path:
    """Return the folder of data sets: REPRO_DATA (set by --data), else the repository's `data/`."""
    return Path(os.environ.get("REPRO_DATA") or _home() / "data").absolute()


def own_package() -> dict[str, str]:
    """Return variables with which another process imports this package, not one in its working directory."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def grouped() -> bool:
    """Whether this process is one of several that compute a run: started by `execution.launcher`, or by torchrun."""
    return "REPRO_GROUP" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ


def leads() -> bool:
    """Whether this process writes the run's files and messages: the first of several, or the only one."""
    return not grouped() or os.environ["RANK"] == "0"
