"""Functions run by several processes that work together, for tests: processes that start with PyTorch imported."""

import multiprocessing
import os
from functools import cache
from pathlib import Path

import torch
from torch import distributed

from repro.training import parallel


@cache
def starter():
    """A server that forks such processes in moments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch.distributed", "repro.experiments.cifar10_search", "repro.experiments.imagenet", "sklearn.datasets"]
    )
    return context


def environment(rank, count, store="", **more):
    """What a launcher tells its processes: who they are, and the file in which they meet."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "REPRO_GROUP": store}
    return {name: str(value) for name, value in (names | more).items()}


def _work(folder, variables, function, arguments, joined):
    os.environ.update(variables | parallel.on_loopback())
    torch.set_num_threads(1)
    rank, count = int(variables["RANK"]), int(variables["WORLD_SIZE"])
    if joined:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    torch.save(function(*arguments), folder / f"result{rank}.pt")
    if joined:
        distributed.destroy_process_group()


def together(folder: Path, count: int, function, *arguments, joined=True, **variables):
    """Return what `function` returns in each of `count` processes; `joined`: they already are a group."""
    folder.mkdir(exist_ok=True)
    store = folder / f"met{os.urandom(4).hex()}"  # a group that was killed leaves its own
    processes = [
        starter().Process(
            target=_work, args=(folder, environment(rank, count, store, **variables), function, arguments, joined)
        )
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        if process.exitcode is None:
            process.kill()
    assert [process.exitcode for process in processes] == [0] * count
    return [torch.load(folder / f"result{rank}.pt", weights_only=False) for rank in range(count)]
