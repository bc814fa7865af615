"""Locks on a run's folder: a process holds one while it works there, and the system takes it back when that ends."""

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro.errors import ReproError
from repro.files import own

WORKING = (".lock", ".notebook.lock")  # held by whoever computes the run, and by whoever executes its notebook
LOCKS = (*WORKING, ".processes.lock")


@contextmanager
def lock(path: Path, wait: float) -> Iterator[None]:
    """Hold `path` as a lock; wait at most `wait` seconds, then ReproError names the process that holds it."""
    with open(path, "a+", encoding="utf-8", errors="replace", opener=own) as file:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    raise ReproError(
                        f"{path.parent} cannot be locked ({error.strerror}), which writing needs: mount its file "
                        "system with flock, or name a runs folder elsewhere by --runs"
                    ) from error
                if time.monotonic() > end:
                    file.seek(0)
                    holder = file.read(200).strip() or "another process"
                    raise ReproError(f"{path.parent} is in use by {holder}; wait for it or stop it") from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the lock at `path`."""
    if not path.exists():
        return False
    try:
        with open(path, "rb", opener=own) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a link or no plain file, which nobody of ours holds
        return False
    return False
