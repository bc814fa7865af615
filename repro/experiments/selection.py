"""Cells compared after a short training (DARTS Sect. 3.2): selection, random search and Figure 3, for any kind of cell.

A `CellJudge` trains one cell in its own part of the run, from the same seed for every cell, and returns a validation
measure, lower is better. No test data is touched. Published cells have a width of their own, with which they have a
comparable number of parameters (`widths`).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from repro.configs.references import Reference
from repro.configs.widths import reference_cells, reference_width
from repro.runs.run import Run, find_needed
from repro.spaces.genotypes import PUBLISHED, Genotype, from_json, to_json

CellJudge = Callable[[Run, Genotype], float]


def select(run: Run, search: Reference, seeds: Sequence[int], judge: CellJudge, measure: str) -> dict[str, Any]:
    """Judge the cell of every search and return the best one."""
    cells = [find_needed(search.changed(seed=seed), run.profile).load("genotype.json") for seed in seeds]
    values = compare(run, cells, judge, measure)
    seed = seeds[values.index(min(values))]
    return {**_best(run, cells, values, measure), "seed": seed, "seeds": list(seeds)}


def draw_randomly(
    run: Run, draw: Callable[[], Genotype], samples: int, judge: CellJudge, measure: str
) -> dict[str, Any]:
    """Judge `samples` drawn cells and return the best one; cells.json holds them all."""
    cells = [to_json(draw()) for _ in range(samples)]
    run.save("cells.json", cells)
    return _best(run, cells, compare(run, cells, judge, measure), measure)


def follow_progress(
    run: Run, search: Reference, seeds: Sequence[int], snapshots: Sequence[int], judge: CellJudge, measure: str
) -> dict[str, Any]:
    """Judge the cells that the searches held after the epochs `snapshots`; snapshots.json has a row for each."""
    rows = []
    for seed in seeds:
        metrics = find_needed(search.changed(seed=seed), run.profile).metrics()
        epochs = [row for row in metrics if row["epoch"] + 1 in snapshots]
        rows += [{"run": seed, "epoch": row["epoch"] + 1, "genotype": row["genotype"]} for row in epochs]
    values = compare(run, [row["genotype"] for row in rows], judge, measure)
    run.save("snapshots.json", [{**row, measure: value} for row, value in zip(rows, values, strict=True)])
    last = max(row["epoch"] for row in rows)
    return {"last": [value for row, value in zip(rows, values, strict=True) if row["epoch"] == last]}


def judge_references(
    run: Run, data: str, width: int, judge: Callable[[int], CellJudge], measure: str
) -> dict[str, Any]:
    """Judge the published cells of Figure 3 beside networks of `width`, by the judge of each one's own width."""
    widths = {cell: reference_width(cell, data, width) for cell in reference_cells(data)}
    values = {
        cell: _judged(run.child(f"reference-{cell}-{own}"), to_json(PUBLISHED[cell]), judge(own), measure)
        for cell, own in widths.items()
    }
    return {"references": values, "reference_widths": widths}


def compare(run: Run, cells: Sequence[dict[str, Any]], judge: CellJudge, measure: str) -> list[float]:
    """Return the measure of each cell; equal cells are judged once, and finished ones are read."""
    name = lambda cell: f"cell-{hashlib.sha256(json.dumps(cell).encode()).hexdigest()[:10]}"
    return [_judged(run.child(name(cell)), cell, judge, measure) for cell in cells]


def _judged(part: Run, cell: dict[str, Any], judge: CellJudge, measure: str) -> float:
    """Return the measure of a cell that is judged in `part`, or was."""
    if part.result is None:
        part.save("genotype.json", cell)
        part.finish({measure: judge(part, from_json(cell))})
    return part.load("result.json", **{measure: int | float})[measure]


def _best(run: Run, cells: Sequence[dict[str, Any]], values: Sequence[float], measure: str) -> dict[str, Any]:
    best = cells[values.index(min(values))]
    run.save("genotype.json", best)
    return {measure: min(values), "genotype": best, "values": list(values)}
