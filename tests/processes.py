"""Functions run by several processes that work together, for tests: processes that start with PyTorch imported."""

import multiprocessing
import os
import socket
from functools import cache
from pathlib import Path

import torch
from torch import distributed


@cache
def starter():
    """A server that forks such processes in moments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch.distributed", "repro.recipes.cifar10_search", "repro.recipes.imagenet", "sklearn.datasets"]
    )
    return context


def environment(rank, count, port, **more):
    """What torchrun tells its processes."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    names |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test", **more}
    return {name: str(value) for name, value in names.items()}


def _work(folder, variables, function, arguments, joined):
    os.environ.update(variables)
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
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [
        starter().Process(
            target=_work, args=(folder, environment(rank, count, port, **variables), function, arguments, joined)
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
