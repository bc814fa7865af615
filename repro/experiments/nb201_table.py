"""What searches in NAS-Bench-201's space look up: a cell's true accuracy, where the table is in the data folder."""

from typing import Any

from repro import progress
from repro.configs.nb201 import CellNetworks
from repro.errors import ReproError
from repro.runs.run import Run
from repro.settings import data_folder
from repro.spaces.nas_bench import OPERATIONS_201, Table, cell_201, nas_bench_201
from repro.spaces.space import Gene


def truth(params: CellNetworks, run: Run) -> Table | None:
    """Return the table of true accuracies, on CIFAR-10 after 200 epochs.

    None, with a note, where a first look on other images has none; ReproError where a search on CIFAR-10 has none.
    """
    try:
        table = nas_bench_201(data_folder())
    except ReproError as error:
        if params.dataset == "cifar10":
            raise
        progress.note_once(f"true accuracies are left out: {error}")
        return None
    run.record(data=table.checksums)
    return table


def space_accuracies(table: Table | None) -> dict[str, float]:
    """Return the best and the mean true accuracy (percent) of all cells, as results hold them."""
    if table is None:
        return {}
    accuracies = [table.accuracy(gene) for gene in table.rows]
    return {"space_best": max(accuracies), "space_mean": sum(accuracies) / len(accuracies)}


def facts(table: Table | None, gene: Gene, prefix: str = "") -> dict[str, Any]:
    """Return what is told of a cell: its text, its skip connections, and its true accuracy (percent) in the table."""
    skips = gene.count(OPERATIONS_201.index("skip_connect"))
    known = {} if table is None else {f"{prefix}true_accuracy": table.accuracy(gene)}
    return {f"{prefix}cell": cell_201(gene), f"{prefix}skips": skips, **known}
