"""The genotype that a parameter names: a published cell, a file or text of one, or what a run found."""

from typing import Any

from repro.configs.references import Reference, Source
from repro.errors import UsageError
from repro.runs.run import Run, find_needed
from repro.spaces.genotypes import ConvGenotype, Genotype, from_json, load, of_kind


def find_genotype(name: Source, profile: str, kind: type[Genotype] = ConvGenotype, snapshot: int = 0) -> Genotype:
    """Return the cell of a `kind` called `name` (see `configs`); ReproError if it is none of the three.

    snapshot: the epoch of a search, from 1, whose cell it is; 0 for the last.
    """
    found = from_json(_cell(find_needed(name, profile), snapshot)) if isinstance(name, Reference) else load(name)
    return of_kind(found, kind, name)


def _cell(run: Run, snapshot: int) -> Any:
    """Return the cell that a run found, or held after the epoch `snapshot`."""
    if not snapshot:
        return run.load("genotype.json")
    cells = {row["epoch"] + 1: row.get("genotype") for row in run.metrics() if "epoch" in row}
    if not cells.get(snapshot):
        raise UsageError(f"snapshot={snapshot}: {run.name} holds no cell of that epoch; it has {len(cells)} epochs")
    return cells[snapshot]
