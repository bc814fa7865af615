"""Evolution over cells that inherit the weights of a finished search of DARTS (SPOS Algorithm 1)."""

from dataclasses import replace
from typing import Any

from repro.configs.crossing import DartsEvolution
from repro.data.seeds import mixed_seed
from repro.errors import UsageError
from repro.experiments.derivation import finished
from repro.experiments.image_data import augmentation, halves
from repro.experiments.nb201_paths import ranked
from repro.experiments.nb201_table import facts, space_accuracies, truth
from repro.experiments.spos_search import explore
from repro.runs.run import Run
from repro.spos.evolution import Settings
from repro.spos.path_training import PathJudge
from repro.training.setup import Setup


def evolve(params: DartsEvolution, run: Run) -> dict[str, Any]:
    """Return the best cell by evolution and by random search, and that of the largest alphas, judged alike (percent).

    The images that trained w give BatchNorm statistics, those that trained alpha judge; metrics.jsonl of the parts
    `evolution` and `random` hold every candidate, that of `ranked` the random cells of the ranking.
    """
    if params.search.experiment != "nb201-search":
        raise UsageError(f"search={params.search} has no cells whose truth is known: name run:nb201-search")
    searched, images, search = finished(params, run)
    network, table = search.network, truth(searched, run)
    train, valid = halves(images, searched.train_fraction, searched.batch, searched.seed)
    setup, some = Setup(searched, run, network), slice(params.judged_images or None)
    prepare = setup.laid_out(augmentation(searched, images).normalise)
    score = PathJudge(network, train.x[: params.bn_images], valid.x[some], valid.y[some], prepare, setup.bf16)
    settings = Settings(**{name: getattr(params, name) for name in Settings.__dataclass_fields__ if name != "tries"})
    row, seed = {}, mixed_seed(params.seed, "evolution")
    for name, changed in {"": settings, "random_": replace(settings, parents=0)}.items():
        state = explore(run.child(name.strip("_") or "evolution"), network.space, score, seed, changed, [], {})
        (best,) = state.best(1)
        row |= {f"{name}accuracy": state.scores[best], **facts(table, best, name)}
    derived = network.derived()
    row |= {"argmax_accuracy": score(derived), **facts(table, derived, "argmax_")}
    return {**row, **ranked(params, run, table, score), **space_accuracies(table)}
