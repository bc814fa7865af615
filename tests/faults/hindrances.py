"""What a run's own process has to bear: a disk with little room, a clock that jumps, and its end at a chosen place."""

import builtins
import ctypes
import errno
import io
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro.runs import provenance
from repro.runs.run import Run

MEMORY = 12 * 2**30  # bytes that a process may ask for, its libraries included


def little_memory() -> None:
    """Let this process fail where it asks for more memory than machines have."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def die(after: int) -> None:
    """Kill this process once it has logged so many rows, before what they stand for is in a checkpoint."""
    log, logged = Run.log, []

    def count(run: Run, row: Any) -> None:
        log(run, row)
        logged.append(run)
        if len(logged) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    Run.log = count


def jump(seed: int) -> None:
    """Let the clock of this process jump by years, back and forth, whenever it is read."""
    dice, real = random.Random(seed), time.time
    shift = lambda: dice.uniform(-1, 1) * 1e9
    time.time = lambda: max(real() + shift(), 0.0)

    class Jumping(provenance.datetime):
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return cls.fromtimestamp(time.time(), zone)

    provenance.datetime = Jumping


class Disk:
    """A disk with room for so many bytes more: what does not fit is cut off, as a real one does."""

    def __init__(self, room: int) -> None:
        self.room, self.real = room, builtins.open

    def open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Stand for `open`."""
        opened = self.real(file, mode, *arguments, **options)
        return _Limited(opened, self) if {*mode} & {*"wax+"} and isinstance(file, str | Path) else opened


class _Limited:
    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def write(self, data: Any) -> int:
        if len(data) > self.disk.room:
            self.file.write(data[: self.disk.room])
            self.file.flush()
            self.disk.room = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.disk.room -= len(data)
        return self.file.write(data)

    def __enter__(self) -> "_Limited":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def little_room(room: int) -> None:
    """Let this process write so many bytes and no more."""
    disk = Disk(room)
    builtins.open = io.open = disk.open


def on_small_disk(runs: Path, room: int, back: Path) -> None:
    """Let the runs folder be a real disk of so many bytes (a tmpfs that only this process sees); copy it to `back`.

    OSError where that is not allowed here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespaces = 0x10000000 | 0x00020000  # of users and of mounts
    held = runs.with_name("before")
    shutil.copytree(runs, held)
    user, group = os.getuid(), os.getgid()
    failed = libc.unshare(new_namespaces)
    if not failed:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    if failed or libc.mount(b"none", os.fsencode(runs), b"tmpfs", 0, f"size={room}".encode()):
        raise OSError(ctypes.get_errno(), "no disk can be mounted here")
    shutil.copytree(held, runs, dirs_exist_ok=True)
    leave = os._exit

    def copied(status: int) -> None:
        shutil.copytree(runs, back)
        leave(status)

    os._exit = copied  # the last thing that a forked process does
