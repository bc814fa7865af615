"""Dask's workers and how to reach them: one process with one thread and one GPU each, here or on other machines.

`local:2` is a scheduler with two workers on this machine's loopback; anything else is the address of a scheduler.
"""

import asyncio
import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from repro.errors import ReproError, UsageError
from repro.progress import note
from repro.settings import cores

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 120.0  # seconds that workers and the one who asks wait for a scheduler that is gone
ANSWER = 10.0  # seconds that a scheduler has to answer at first
DEATHS = 10  # workers that one run may lose without a new checkpoint in between
# A run's memory is its kernel's, which Dask does not see: no limit. What is lost is said by the one who asks for runs.
WORKER = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "silence_logs": logging.CRITICAL, "preload": __name__}


def check(address: str) -> None:
    """Raise an error in one line unless `address` can be one, and Dask is installed."""
    if not re.fullmatch(r"local(:[1-9]\d{0,2})?|(tcp://|tls://)?(?!local:)[\w.\-\[\]:]+:\d{1,5}", address):
        raise UsageError(f"--cluster {address}: expected a Dask scheduler's HOST:PORT, or local:2 for two workers here")
    if find_spec("distributed") is None:
        raise ReproError("Dask is not installed, which runs on a cluster need: pip install -e '.[cluster]'")


@contextmanager
def connected(address: str) -> Iterator["Client"]:
    """Connect to the scheduler at `address`, or start one here, and wait for a worker."""
    check(address)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if address.startswith("local"):
        with _local(int(address.partition(":")[2] or 2)) as cluster, cluster.get_client() as client:
            yield client
        return
    from distributed import Client

    try:
        Client(address, timeout=ANSWER, set_as_default=False).close()
    except (OSError, ValueError) as error:
        raise ReproError(f"no Dask scheduler answers at {address} ({error}): start one with: dask scheduler") from None
    with Client(address, timeout=PATIENCE) as client:
        client.run_on_scheduler(allow_deaths)
        if not client.nthreads():
            note(f"waiting for workers; start one with: repro worker {address}")
            client.wait_for_workers(1)
        yield client


def allow_deaths(dask_scheduler: Any) -> None:
    """Let a scheduler give a run to another worker as often as DEATHS before it gives up."""
    dask_scheduler.allowed_failures = max(DEATHS, dask_scheduler.allowed_failures)


@contextmanager
def _local(count: int) -> Iterator[Any]:
    """Start a scheduler and `count` workers on this machine's loopback."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    own, here = environments(count), {"host": "127.0.0.1"}
    workers = {index: {"cls": Nanny, "options": {**WORKER, **here, "env": own[index]}} for index in range(count)}
    options = {**here, "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    scheduler = {"cls": Scheduler, "options": options}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS, **_threads(count)}),
        SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL) as cluster,
    ):
        yield cluster


def serve(address: str) -> None:
    """Work for the scheduler at `address`, one worker for each GPU here, until it is gone for PATIENCE seconds."""
    check(address)
    if address.startswith("local"):
        raise UsageError(f"{address} starts workers of its own: name a Dask scheduler's HOST:PORT")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    import dask

    own = environments()
    with dask.config.set(_threads(len(own))):
        while True:
            note(f"{len(own)} worker{'s' * (len(own) > 1)} for {address}; stop with Ctrl-C")
            try:
                asyncio.run(_work(address, own))
            except (TimeoutError, OSError):
                raise ReproError(f"no Dask scheduler answered at {address} for {PATIENCE:g} s") from None


async def _work(address: str, own: list[dict[str, str]]) -> None:
    """Start a worker with each environment, and wait until the scheduler is gone."""
    from distributed import Nanny

    async with AsyncExitStack() as stack:
        nannies = [Nanny(address, env=env, death_timeout=PATIENCE, **WORKER) for env in own]
        for nanny in nannies:
            await stack.enter_async_context(nanny)
        await asyncio.gather(*(nanny.finished() for nanny in nannies))


def dask_setup(worker: Any) -> None:
    """Let a worker's process pass over Ctrl-C, which its starter sees too and ends it."""
    signal.signal(signal.SIGINT, lambda *_: None)


def environments(count: int | None = None) -> list[dict[str, str]]:
    """Return the environment of each of `count` workers (default: one for each GPU here, or one): its own GPU."""
    found = gpus()
    count = count or max(1, len(found))
    if not found:
        return [{}] * count
    if count > len(found):
        raise UsageError(f"{count} workers, but {len(found)} GPUs here: one GPU is one worker's")
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in found[:count]]


def gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return re.findall(r"^GPU (\d+):", answer.stdout, re.MULTILINE) if answer.returncode == 0 else []


def _threads(workers: int) -> dict[str, Any]:
    """Return Dask's setting that divides the cores among workers; what the environment says goes before."""
    return {"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": max(1, cores() // workers)}}
