"""Cells compared after a short training (DARTS Sect. 3.2): selection, random search, and Figure 3, left.

One half of the training images trains, the other half decides; the test images stay untouched until `cifar10-eval`.
"""

import hashlib
import json
import random
from typing import Any

from repro import devices
from repro.experiments import parse_reference
from repro.genotypes import EDGES_PER_NODE, INPUTS, PUBLISHED, SEARCH_OPERATIONS, ConvGenotype, Edge, from_json, to_json
from repro.hyperparameters import CifarProgress, CifarRandom, CifarSelect, ShortTraining
from repro.image_training import evaluate
from repro.images import Images
from repro.recipes.cifar10_eval import build_network, train_cell
from repro.recipes.image_data import augmentation, halves, load
from repro.runs import Run, find_needed

REFERENCES = ("NASNET", "AMOEBANET")  # the lines of Figure 3


def select(params: CifarSelect, run: Run) -> dict[str, Any]:
    """Train the cell of every search briefly; return the one with the lowest validation error (percent)."""
    reference = parse_reference(params.search)
    cells = [find_needed(reference.seeded(seed), run.profile).load("genotype.json") for seed in params.search_seeds]
    errors = compare(params, run, [from_json(cell) for cell in cells])
    return _best(run, errors, cells, seeds=list(params.search_seeds))


def draw_randomly(params: CifarRandom, run: Run) -> dict[str, Any]:
    """Train random cells briefly; return the one with the lowest validation error (percent); cells.json has all."""
    dice = random.Random(params.seed)
    cells = [to_json(random_genotype(dice, params.nodes)) for _ in range(params.samples)]
    run.save("cells.json", cells)
    errors = compare(params, run, [from_json(cell) for cell in cells])
    return _best(run, errors, cells)


def follow_progress(params: CifarProgress, run: Run) -> dict[str, Any]:
    """Train the cells that the searches held at the snapshots; snapshots.json has a row for each."""
    reference = parse_reference(params.search)
    rows = []
    for seed in params.search_seeds:
        search = find_needed(reference.seeded(seed), run.profile)
        for row in search.metrics():
            if row["epoch"] + 1 in params.snapshots:
                rows.append({"run": seed, "epoch": row["epoch"] + 1, "genotype": row["genotype"]})
    published = {name: PUBLISHED[name] for name in REFERENCES}
    errors = compare(params, run, [*(from_json(row["genotype"]) for row in rows), *published.values()])
    for row, error in zip(rows, errors, strict=False):
        row["valid_error"] = error
    run.save("snapshots.json", rows)
    last = [row["valid_error"] for row in rows if row["epoch"] == max(params.snapshots)]
    return {"references": dict(zip(published, errors[len(rows) :], strict=True)), "last_errors": last}


def compare(params: ShortTraining, run: Run, genotypes: list[ConvGenotype]) -> list[float]:
    """Return each cell's validation error (percent) after a short training; equal cells are trained once."""
    images = load(params, run)
    return [_short_training(params, run, genotype, images) for genotype in genotypes]


def random_genotype(dice: random.Random, nodes: int) -> ConvGenotype:
    """Draw a cell: for every node two different earlier states, and for each edge an operation, all uniformly.

    `none` is not among the operations: it is not among those that a search derives either.
    """
    cells = []
    for _ in ("normal", "reduce"):
        sources = [source for node in range(nodes) for source in dice.sample(range(INPUTS + node), EDGES_PER_NODE)]
        cells.append(tuple(Edge(dice.choice(SEARCH_OPERATIONS[1:]), source) for source in sources))
    concat = tuple(range(INPUTS, INPUTS + nodes))
    return ConvGenotype(cells[0], concat, cells[1], concat)


def _short_training(params: ShortTraining, run: Run, genotype: ConvGenotype, images: Images) -> float:
    text = json.dumps(to_json(genotype))
    part = run.child(f"cell-{hashlib.sha256(text.encode()).hexdigest()[:10]}")
    if part.result is None:
        devices.seed_everything(params.seed)  # each cell starts from the same state, whichever came before it
        train, valid = halves(images, params.train_fraction, params.batch, params.seed)
        augment = augmentation(params, images, params.cutout)
        network = build_network(params, genotype, images)
        train_cell(params, part, network, train, augment)
        part.save("genotype.json", to_json(genotype))
        part.finish(evaluate(network, valid.x, valid.y, augment.normalise, "valid"))
    return part.load("result.json")["valid_error"]


def _best(run: Run, errors: list[float], cells: list[Any], **lists: list[Any]) -> dict[str, Any]:
    best = min(range(len(errors)), key=errors.__getitem__)
    run.save("genotype.json", cells[best])
    chosen = {name.removesuffix("s"): values[best] for name, values in lists.items()}
    return {"valid_error": errors[best], **chosen, "genotype": cells[best], "valid_errors": errors, **lists}
