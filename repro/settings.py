"""Where things are: the runs folder, the data folder, the notebooks."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"


def runs_folder() -> Path:
    """Return the folder of run directories: REPRO_RUNS (set by --runs), else the repository's `runs/`."""
    return Path(os.environ.get("REPRO_RUNS") or ROOT / "runs").absolute()


def data_folder() -> Path:
    """Return the folder of data sets: REPRO_DATA (set by --data), else the repository's `data/`."""
    return Path(os.environ.get("REPRO_DATA") or ROOT / "data").absolute()
