"""Cells compared after a short training (DARTS Sect. 3.2): selection, random search and Figure 3, for any kind of cell.

What a short training is, a `Judge` says: it trains one cell in its own part of the run, from the same seed for every
cell, and returns a validation measure, lower is better. No test data is touched.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repro.genotypes import Genotype, from_json, to_json
from repro.references import Reference
from repro.runs import Run, find_needed

Judge = Callable[[Run, Genotype], float]


def select(run: Run, search: Reference, seeds: Sequence[int], judge: Judge, measure: str) -> dict[str, Any]:
    """Judge the cell of every search and return the best one."""
    cells = [find_needed(search.changed(seed=seed), run.profile).load("genotype.json") for seed in seeds]
    values = compare(run, cells, judge, measure)
    seed = seeds[values.index(min(values))]
    return {**_best(run, cells, values, measure), "seed": seed, "seeds": list(seeds)}


def draw_randomly(run: Run, draw: Callable[[], Genotype], samples: int, judge: Judge, measure: str) -> dict[str, Any]:
    """Judge `samples` drawn cells and return the best one; cells.json holds them all."""
    cells = [to_json(draw()) for _ in range(samples)]
    run.save("cells.json", cells)
    return _best(run, cells, compare(run, cells, judge, measure), measure)


def follow_progress(
    run: Run,
    search: Reference,
    seeds: Sequence[int],
    snapshots: Sequence[int],
    references: Mapping[str, Genotype],
    judge: Judge,
    measure: str,
) -> dict[str, Any]:
    """Judge the cells that the searches held after the epochs `snapshots`; snapshots.json has a row for each."""
    rows = []
    for seed in seeds:
        metrics = find_needed(search.changed(seed=seed), run.profile).metrics()
        held = [row for row in metrics if row["epoch"] + 1 in snapshots]
        rows += [{"run": seed, "epoch": row["epoch"] + 1, "genotype": row["genotype"]} for row in held]
    published = [to_json(genotype) for genotype in references.values()]
    values = compare(run, [*(row["genotype"] for row in rows), *published], judge, measure)
    run.save("snapshots.json", [{**row, measure: value} for row, value in zip(rows, values, strict=False)])
    last = [value for row, value in zip(rows, values, strict=False) if row["epoch"] == max(r["epoch"] for r in rows)]
    return {"references": dict(zip(references, values[len(rows) :], strict=True)), "last": last}


def compare(run: Run, cells: Sequence[dict[str, Any]], judge: Judge, measure: str) -> list[float]:
    """Return the measure of each cell; equal cells are judged once, and finished ones are read."""
    values = []
    for cell in cells:
        part = run.child(f"cell-{hashlib.sha256(json.dumps(cell).encode()).hexdigest()[:10]}")
        if part.result is None:
            part.save("genotype.json", cell)
            part.finish({measure: judge(part, from_json(cell))})
        values.append(part.load("result.json", **{measure: int | float})[measure])
    return values


def _best(run: Run, cells: Sequence[dict[str, Any]], values: Sequence[float], measure: str) -> dict[str, Any]:
    best = cells[values.index(min(values))]
    run.save("genotype.json", best)
    return {measure: min(values), "genotype": best, "values": list(values)}
