"""Evolution over cells that inherit the weights of a finished search of DARTS (SPOS Algorithm 1)."""

from typing import Any

from repro.configs.crossing import DartsEvolution
from repro.data.seeds import mixed_seed
from repro.errors import UsageError
from repro.experiments.derivation import finished
from repro.experiments.image_data import augmentation, halves
from repro.experiments.nb201_paths import ranked, searched
from repro.experiments.nb201_table import facts, space_accuracies, truth
from repro.runs.run import Run
from repro.spos.path_training import PathJudge
from repro.training.setup import Setup


def evolve(params: DartsEvolution, run: Run) -> dict[str, Any]:
    """Return the best cell by evolution and by random search, and that of the largest alphas, judged alike (percent).

    The images that trained w give BatchNorm statistics, those that trained alpha judge; metrics.jsonl of the parts
    `evolution` and `random` hold every candidate, that of `ranked` the random cells of the ranking.
    """
    if params.search.experiment != "nb201-search":
        raise UsageError(f"search={params.search} has no cells whose truth is known: name run:nb201-search")
    found, images, search = finished(params, run)
    network, table = search.network, truth(found, run)
    train, valid = halves(images, found.train_fraction, found.batch, found.seed)
    setup, some = Setup(found, run, network), slice(params.judged_images or None)
    prepare = setup.laid_out(augmentation(found, images).normalise)
    score = PathJudge(network, train.x[: params.bn_images], valid.x[some], valid.y[some], prepare, setup.bf16)
    row = searched(params, run, table, score, mixed_seed(params.seed, "evolution"))
    derived = network.derived()
    row |= {"argmax_accuracy": score(derived), **facts(table, derived, "argmax_")}
    return {**row, **ranked(params, run, table, score), **space_accuracies(table)}
