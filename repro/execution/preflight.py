"""What a run would be refused for after its start, looked at before: the runs, files, data and names it is made from.

It takes a fraction of a second: what is in the files is read when the run starts.
"""

import os
import re
from collections.abc import Container
from pathlib import Path

from repro.configs.common import SmallImageTraining
from repro.configs.nb201 import CellNetworks
from repro.configs.parameters import Parameters
from repro.configs.references import Reference
from repro.configs.registry import find, typed
from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_retrain import SposRetrain
from repro.configs.spos_search import SposSearch
from repro.errors import UsageError
from repro.presence import (
    MACRO,
    TABLE_201,
    TRAINING_IMAGES,
    require_cifar10,
    require_classes,
    require_corpus,
    require_images,
    require_table,
    require_weights,
)
from repro.runs.identity import resolve
from repro.runs.run import Run, find_needed, needed_run
from repro.settings import data_folder
from repro.spaces.path_spaces import PUBLISHED, SPACES


def check(run: Run, planned: Container[Path] = ()) -> None:
    """Refuse a run that lacks something: ReproError says what and how it is to be had, UsageError what is wrong.

    planned: the folders of runs that will be made before it. A run that is done lacks nothing.
    """
    if run.result is not None:
        return
    for reference in find(run.experiment).needs(run.params):
        if needed_run(reference, run.profile).path not in planned:
            find_needed(reference, run.profile)
    if weights := getattr(run.params, "weights", ""):
        require_weights(Path(weights))
    if run.params.values().get("dataset") in TRAINING_IMAGES:
        check_images(run.params)
    if isinstance(run.params, SposRetrain):
        check_architecture(run.params)
    if isinstance(run.params, SposSearch):
        check_latency(run.params)
    check_data(run.params)
    if supernet := find(run.experiment).references(run.params).get("supernet"):
        experiment, changes = typed(supernet)  # whose images judge
        check_data(resolve(experiment, run.profile, changes))


def check_images(params: Parameters) -> None:
    """UsageError for more images than the data set has, or a batch of more than there are to train w."""
    values, total = params.values(), TRAINING_IMAGES[params.dataset]
    images, held_out = (values.get(name, 0) for name in ("images", "valid_images"))
    if isinstance(params, SposSupernet):  # some of its `images`, where those of others come beside them
        require_images(params.dataset, total, images)
        if held_out >= (count := images or total):
            raise UsageError(f"valid_images={held_out} leaves none of {count} images to train: take fewer")
        return
    require_images(params.dataset, total, images, held_out)
    count = int((images or total - held_out) * values.get("train_fraction", 1.0))
    if isinstance(params, SmallImageTraining) and values["batch"] > count:
        raise UsageError(f"batch={values['batch']}, but {count} images train: take more images, or a smaller batch")


def check_architecture(params: SposRetrain) -> None:
    """UsageError for an architecture that is neither a run, published, drawn, one choice for all layers, nor a file.

    Also for a published one of another space, or of another variant of the space.
    """
    name, space = params.architecture, SPACES[params.space]
    if name in PUBLISHED:
        own, found = PUBLISHED[name]
        needed = {"space": own, **found.needs} | ({"blocks": "all"} if "blocks" in space.options else {})
        if wrong := [f"{key}={value}" for key, value in needed.items() if getattr(params, key) != value]:
            raise UsageError(f"architecture={name} is another network than these parameters': add {', '.join(wrong)}")
    if isinstance(name, Reference) or name in PUBLISHED or name == "random" or os.path.isfile(name):
        return
    kind, names = next(iter(space.choices.items()))
    if "blocks" in space.options and params.blocks != "all":
        names = (params.blocks,) if params.blocks in names else [f"x{width:g}" for width in space.choices["width"]]
    if not (re.fullmatch(r"\d+W\d+A", name) if kind == "bits" else name in names):
        choices = "2W2A or other bits" if kind == "bits" else ", ".join(names)
        raise UsageError(
            f"architecture={name!r} is no network of this space: give run:EXPERIMENT, {', '.join(space.published)}, "
            f"random, one choice for all layers ({choices}), or a JSON file with a list of choices"
        )


def check_latency(params: SposSearch) -> None:
    """UsageError unless one limit of latency comes with a table, or neither."""
    given = {name: value for name in ("latency", "latency_of") if (value := getattr(params, name))}
    words = " and ".join(f"{name}={value}" for name, value in given.items())
    if len(given) > 1:
        raise UsageError(f"{words} are two limits of latency: leave one out")
    if given and not isinstance(params.latency_table, Reference):
        raise UsageError(f"{words} needs measured blocks: run spos-latency, and add latency_table=run:spos-latency")
    if params.latency_table and not given:
        raise UsageError(f"latency_table={params.latency_table} has no effect without a limit: add latency_of=NETWORK")


def check_data(params: Parameters) -> None:
    """ReproError unless the data folder holds the images, the text or the table that the parameters name."""
    folder, values = data_folder(), params.values()
    if values.get("dataset") == "cifar10":
        require_cifar10(folder)
    if values.get("dataset") == "imagenet":
        for part in ("train", "val"):
            require_classes(folder / values["folder"] / part)
    require_corpus(values.get("corpus", ""), folder)
    if isinstance(params, CellNetworks) and params.dataset == "cifar10":
        require_table("NAS-Bench-201", folder / TABLE_201)
    if values.get("benchmark") == "nas-bench-macro":
        require_table("NAS-Bench-Macro", folder / MACRO)
