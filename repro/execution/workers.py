"""Dask's workers and how to reach them: one process with one thread and one GPU each, here or on other machines.

`local:2` is a scheduler with two workers on this machine's loopback; anything else is the address of a scheduler. All
speak TLS and know each other by one certificate, on loopback too: other users of a machine are strangers as well.
"""

import asyncio
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from repro.errors import ReproError, UsageError
from repro.execution import tls
from repro.progress import note
from repro.settings import cores

if TYPE_CHECKING:
    from distributed import Client, Security

PATIENCE = 120.0  # seconds that workers and the client wait for a lost scheduler
ANSWER = 10.0  # seconds to wait for a scheduler's first answer
DEATHS = 10  # workers that one run may lose without a new checkpoint in between
# No memory limit: a run's memory is its kernel's, which Dask does not see. No log: the client reports lost workers.
WORKER = {"nthreads": 1, "memory_limit": 0, "silence_logs": logging.CRITICAL, "preload": __name__}
NO_PAGES = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # Dask's web server starts whether wanted or not
LOOPBACK = "tls://127.0.0.1"


def check(address: str, folder: str | None) -> None:
    """Raise an error in one line unless `address` can be one with this `--tls`, and Dask is installed."""
    if not re.fullmatch(r"local(:[1-9]\d{0,2})?|(tls://)?(?!local:)[\w.\-\[\]:]+:\d{1,5}", address):
        raise UsageError(f"--cluster {address}: expected a Dask scheduler's HOST:PORT, or local:2 for two workers here")
    if address.startswith("local") and folder is not None:
        raise UsageError(f"--tls goes with a scheduler's address; {address} makes a certificate of its own")
    if find_spec("distributed") is None:
        raise ReproError(
            "Dask is not installed, which runs on a cluster need: pip install -r requirements.lock -e '.[cluster]'"
        )
    if not address.startswith("local"):
        _known(folder)


def _known(folder: str | None) -> "Security":
    """Return Dask's security settings for the certificate in a folder; UsageError without one."""
    if folder is None:
        raise UsageError(
            "whoever reaches a Dask process without TLS executes code as you: make a certificate with "
            "`repro certificates FOLDER`, and give --tls FOLDER to every worker and run"
        )
    return tls.security(Path(folder))


def _full(address: str) -> str:
    """Return the address with its protocol."""
    return f"tls://{address.removeprefix('tls://')}"


@contextmanager
def connected(address: str, folder: str | None = None) -> Iterator["Client"]:
    """Connect to the scheduler at `address` by the certificate in `folder`, or start one here; wait for a worker."""
    check(address, folder)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if address.startswith("local"):
        with _local(int(address.partition(":")[2] or 2)) as cluster, cluster.get_client() as client:
            yield client
        return
    from distributed import Client

    proof = _known(folder)
    try:
        Client(_full(address), timeout=ANSWER, security=proof, set_as_default=False).close()
    except (OSError, ValueError) as error:
        raise ReproError(
            f"no Dask scheduler with this certificate answers at {address} ({error}): "
            "`repro certificates FOLDER` says how to start one"
        ) from None
    with Client(_full(address), timeout=PATIENCE, security=proof) as client:
        client.run_on_scheduler(allow_deaths)
        if not client.nthreads():
            note(f"waiting for workers; start one with: repro worker {address} --tls {folder}")
            client.wait_for_workers(1)
        yield client


def allow_deaths(dask_scheduler: Any) -> None:
    """Let a scheduler give up on a run only after it has lost more than DEATHS workers."""
    dask_scheduler.allowed_failures = max(DEATHS, dask_scheduler.allowed_failures)


@contextmanager
def _local(count: int) -> Iterator[Any]:
    """Start a scheduler and `count` workers on this machine's loopback, with a certificate for the occasion."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    own, proof = environments(count), tls.temporary()
    here = {"host": LOOPBACK, "security": proof, **NO_PAGES}
    scheduler = {"cls": Scheduler, "options": {**here, "port": 0}}
    with TemporaryDirectory(prefix="repro-", ignore_cleanup_errors=True) as scratch:
        here = {**here, **WORKER, "local_directory": scratch}
        workers = {index: {"cls": Nanny, "options": {**here, "env": own[index]}} for index in range(count)}
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": DEATHS, **_settings(count)}),
            SpecCluster(workers=workers, scheduler=scheduler, security=proof, silence_logs=logging.CRITICAL) as cluster,
        ):
            yield cluster


def serve(address: str, folder: str | None) -> None:
    """Work for the scheduler at `address`, one worker for each GPU here, until it is gone for PATIENCE seconds.

    folder: of the certificate that all processes of the cluster have.
    """
    check(address, folder)
    if address.startswith("local"):
        raise UsageError(f"{address} starts workers of its own: name a Dask scheduler's HOST:PORT")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    import dask

    own, proof = environments(), _known(folder)
    with dask.config.set(_settings(len(own))):
        while True:
            note(f"{len(own)} worker{'s' * (len(own) > 1)} for {address}; stop with Ctrl-C")
            try:
                asyncio.run(_work(address, own, proof))
            except (TimeoutError, OSError):
                raise ReproError(f"no Dask scheduler answered at {address} for {PATIENCE:g} s") from None


async def _work(address: str, own: list[dict[str, str]], proof: "Security") -> None:
    """Start a worker with each environment, and wait until the scheduler is gone."""
    from distributed import Nanny

    with TemporaryDirectory(prefix="repro-", ignore_cleanup_errors=True) as scratch:
        here = {"host": _leading_to(address), "security": proof, "local_directory": scratch, **NO_PAGES, **WORKER}
        async with AsyncExitStack() as stack:
            nannies = [Nanny(_full(address), env=env, death_timeout=PATIENCE, **here) for env in own]
            for nanny in nannies:
                await stack.enter_async_context(nanny)
            await asyncio.gather(*(nanny.finished() for nanny in nannies))


def _leading_to(address: str) -> str:
    """Return the one address of this machine from which the scheduler's is reached: workers listen on no other."""
    host, _, port = address.removeprefix("tls://").rpartition(":")
    family, kind, protocol, _, there = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(there)  # sends nothing
        here = probe.getsockname()[0]
    return f"tls://[{here}]" if ":" in here else f"tls://{here}"


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


def _settings(workers: int) -> dict[str, Any]:
    """Return Dask's settings: no web pages, and the cores divided among workers, unless the environment says how."""
    return {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": max(1, cores() // workers)},
    }
