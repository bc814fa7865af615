"""What tests start in place of a run's processes, in a module of its own: those import it, and nothing else."""

import os
import time

from repro.execution import launcher


def note_mode(rank, folder, *_):
    """Note the mode of the folder in which the processes meet."""
    (folder.parent / f"mode{rank}").write_text(f"{folder.stat().st_mode & 0o777:o}")


def sleep(*_):
    """Show no sign of life."""
    time.sleep(60)


def fail(error, rank, folder, *_):
    """End well, or as the second process by this error, or without a word."""

    def planted(*_):
        if error is None:
            os._exit(1)
        raise error

    launcher.open_run = planted
    if rank == 1:
        launcher._process(rank, folder, {}, "imagenet-eval", "smoke", {})
