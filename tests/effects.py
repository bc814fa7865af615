"""The smallest runs, and another value of every parameter that tells runs apart; where that has no effect, why."""

from repro.configs.registry import EXPERIMENTS

PARAMETERS = {name: list(experiment.parameters.kinds()) for name, experiment in EXPERIMENTS.items()}
SEARCH = {"images": 16, "batch": 4, "channels": 1, "nodes": 1, "cells": 1, "epochs": 2, "alpha_lr": 0.1}
TRAINING = {"images": 16, "batch": 4, "channels": 1, "cells": 1, "epochs": 2}
TEXT = {"tokens": 60, "bptt": 5, "batch": 4, "hidden_size": 4, "epochs": 2}
SNAPSHOTS = {"search_seeds": (0,), "snapshots": (2,)}
PICTURES = {"dataset": "imagenet", "folder": "small", "images": 0, "batch": 8, "channels": 4, "cells": 1, "epochs": 2}
PATHS = {"images": 200, "batch": 10, "iterations": 6, "width": 0.25}
EVOLUTION = {"bn_images": 20, "generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1}
EVOLUTION |= {"mult_adds": 0, "bitops": 0}
TURNS = {"steps": 2, "warm_up_steps": 1}
SEARCHES = ("spos-blocks", "spos-channels", "spos-bits", "spos-mobile")
UNIFORM = {  # a dear network and a cheaper one
    **dict.fromkeys(("spos-blocks", "spos-channels"), ("shuffle_7x7", "shuffle_3x3")),
    "spos-bits": ("4W4A", "any"),
    "spos-mobile": ("mb6_7x7", "mb3_3x3"),
}
LATENCY = {"latency_table": "run:spos-latency", "latency": 1e6}
SIZES = {
    "bilevel-toy": {"steps": 5},
    **dict.fromkeys(("cifar10-search", "cifar10-joint"), SEARCH),
    "cifar10-select": {**TRAINING, "search_seeds": (0,)},
    "cifar10-random": {**TRAINING, "samples": 1, "nodes": 1},
    "cifar10-progress": {**TRAINING, **SNAPSHOTS},
    "cifar10-eval": {**TRAINING, "genotype": "DARTS_V2"},
    "imagenet-eval": {**PICTURES, "size": 32, "resize": 36, "genotype": "DARTS_V2"},
    "ptb-search": {**TEXT, "nodes": 2},
    "ptb-select": {**TEXT, "search_seeds": (0,)},
    "ptb-random": {**TEXT, "samples": 1, "nodes": 2},
    "ptb-progress": {**TEXT, **SNAPSHOTS},
    **{name: {**TEXT, "genotype": "DARTS_V2_RNN"} for name in ("ptb-eval", "wikitext2-eval")},
    "spos-supernet": {**PATHS, "valid_images": 50, "bn_images": 20, "evaluated_paths": 2},
    **dict.fromkeys(SEARCHES, EVOLUTION),
    "spos-latency": {"width": 0.25, "batch": 1, "networks": 2},
    "spos-retrain": {**PATHS, "architecture": "shuffle_3x3"},
    "spos-evolution": {**EVOLUTION, "search_seeds": (0,)},
    "spos-correlation": {"networks": 2, "iterations": 2, "bn_images": 20},
    "cifar10-cost": {"images": 16, "batch": 4, "channels": 1, "nodes": 1, "cells": 1, **TURNS},
    "spos-cost": {"images": 200, "batch": 10, "paths": 1, **TURNS},
    "nb201-search": {"images": 16, "batch": 4, "channels": 1, "cells": 1, "epochs": 2, "alpha_lr": 0.1},
    "nb201-paths": {"images": 200, "batch": 20, "channels": 1, "epochs": 2, "valid_images": 50, "bn_images": 20}
    | {"search_every": 2, "generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1, "ranked": 3},
    "derivation": {"tune_steps": 1, "judged_images": 8},
    "darts-evolution": {"judged_images": 8, "bn_images": 8, "generations": 2, "population": 4, "parents": 2}
    | {"mutation": 1, "crossover": 1, "ranked": 3},
    "ptb-paths": {**TEXT, "nodes": 2, "generations": 2, "population": 4, "parents": 2, "mutation": 1, "crossover": 1},
    "hardware-front": {"images": 16, "batch": 4, "channels": 1, "epochs": 2, "alpha_lr": 0.1, "cost": "multiply-adds"}
    | {"cost_weights": (0.5,), "cost_limits": (0.9,), "generations": 2, "population": 4, "parents": 2, "mutation": 1}
    | {"crossover": 1},
    "hypergradient-truth": {"hidden": 1, "terms_seen": (1,), "after": (0,), "repeats": 1},
    "hypergradient-search": {**SEARCH, "look_every": 1, "eps_seen": (0.01,), "terms_seen": (1,)},
}

# Parameter -> another value, whichever experiment has it
OTHER = {
    **{"seed": 1, "images": 12, "epochs": 1, "batch": 6, "cells": 2, "nodes": 3, "samples": 2, "channels": 2},
    **{"lr": 0.7, "momentum": 0.1, "weight_decay": 0.5, "grad_clip": 0.01, "lr_min": 0.02, "order": 1, "eps": 1.0},
    **{"alpha_lr": 0.5, "alpha_weight_decay": 100.0, "alpha_init": 0.5, "xi_scale": 50.0, "train_fraction": 0.75},
    **{"dataset": "cifar10", "cutout": 4, "drop_path_rate": 0.9, "auxiliary_weight": 0.1, "label_smoothing": 0.5},
    **{"search_seeds": (1,), "snapshots": (1,), "strategy": "simultaneous", "genotype": "DARTS_V1"},
    **{"size": 40, "resize": 60, "lr_decay": 0.1, "warmup": 5.0, "preset": "large-batch"},
    **{"corpus": "ptb", "tokens": 50, "bptt": 4, "hidden_size": 5, "tar": 100.0, "patience": 1, "dropout_word": 0.6},
    **{f"dropout_{place}": 0.6 for place in ("embedding", "input", "hidden", "output")},
    **{"pixels": 16, "compare_every": 1, "snapshot": 1},
    **{"frozen_masks": True, "moves_embedding": True},
    **{"xi": (0.3,), "alpha": 1.0, "weight": 1.0, "weight_lr": 0.3, "steps": 6},
    **{"space": "macro", "blocks": "shuffle_3x3", "depth": 34, "width": 0.5, "iterations": 4, "dropout": 0.6},
    **{"sampling": "uniform", "valid_images": 40, "bn_images": 2, "evaluated_paths": 1},
    **{"eigenvalue": "power", "gap": True, "temperature": 0.1, "search_every": 1, "ranked": 4},
    **{"tune_steps": 2, "judged_images": 4, "judged_words": 30},
    **{"cost_weights": (0.0,), "cost_limits": (0.6,), "cost": "latency"},
    **{"generations": 3, "population": 5, "parents": 1, "mutation": 2, "crossover": 2, "mutation_probability": 1.0},
    **{"mult_adds": 0.02, "parameters": 0.0008, "latency": 0.02},
    **{"latency_table": "run:spos-latency/batch=2", "layout": "cifar10"},
    **{"terms": 1, "look_every": 2, "eps_seen": (1.0,), "terms_seen": (2,), "hidden": 2, "after": (1,), "repeats": 2},
    **{
        "warm_up_steps": 0,
        "paths": 2,
        "architecture": "shuffle_5x5",
        "winner": "random",
        "networks": 3,
        "supernet": "run:spos-supernet/lr=0.01",
        "uniform": "run:spos-supernet/lr=0.01",
        "least_fraction": 0.95,
        "clip_each": False,
        "ends_bits": 8,
    },
}
OF_EXPERIMENT = {
    **{(name, "search"): "run:cifar10-search/alpha_init=1" for name in ("cifar10-select", "cifar10-progress")},
    ("darts-evolution", "search"): "run:nb201-search/alpha_lr=1",
    ("darts-evolution", "judged_images"): 4,
    ("darts-evolution", "bn_images"): 4,
    **{(name, "search"): "run:ptb-search/alpha_init=1" for name in ("ptb-select", "ptb-progress")},
    **{(name, "genotype"): "DARTS_V1_RNN" for name in ("ptb-eval", "wikitext2-eval")},
    **{
        ("imagenet-eval", name): value
        for name, value in {"dataset": "pictures", "folder": "other", "images": 8}.items()
    },
    ("imagenet-eval", "classes"): 9,
    ("nb201-paths", "sampling"): "fair",
    ("imagenet-eval", "unreadable"): "refuse",
    ("imagenet-eval", "weights"): "{data}/cell.pt",
    ("cifar10-eval", "weights"): "{data}/digits.pt",
    ("cifar10-eval", "valid_images"): 4,
    **{(name, "weights"): "{data}/text.pt" for name in ("ptb-eval", "wikitext2-eval")},
    ("spos-supernet", "weights"): "{data}/supernet.pt",
    ("spos-retrain", "weights"): "{data}/network.pt",
    ("spos-retrain", "space"): "bits",
    **{(name, "images"): 180 for name in ("spos-supernet", "spos-retrain", "spos-cost")},
    ("spos-retrain", "mult_adds"): 0.013,
    ("spos-bits", "bitops"): 0.0001,
    ("spos-mobile", "latency"): 0.01,
    **{(name, "latency_of"): cheaper for name, (_, cheaper) in UNIFORM.items()},
    ("spos-latency", "classes"): 9,
    ("spos-correlation", "benchmark"): "nas-bench-macro",
    **{(name, "order"): 2 for name in ("nb201-search", "hardware-front")},
    ("hardware-front", "supernet"): "run:nb201-paths/lr=0.01",
    ("nb201-paths", "images"): 180,
    ("derivation", "search"): "run:nb201-search/alpha_lr=5",
}
# What the run has beside, for this parameter to matter
BESIDE = {
    **{
        (name, "patience"): {"epochs": 5, "lr": 100.0, "patience": 5}
        for name in EXPERIMENTS
        if "patience" in PARAMETERS[name]
    },
    **{(name, "terms"): {"order": "unrolled"} for name in EXPERIMENTS},
    ("cifar10-progress", "snapshots"): {"search": "run:cifar10-search/alpha_lr=20"},
    ("ptb-progress", "snapshots"): {"search": "run:ptb-search/alpha_lr=1"},
    **{(name, "pixels"): {"dataset": "cifar10", "images": 0} for name in EXPERIMENTS},
    **{(of, name): {"order": 2} for of in ("nb201-search", "hardware-front") for name in ("xi_scale", "eps")},
    ("hardware-front", "pixels"): {"supernet": "run:nb201-paths/dataset=cifar10,images=0,valid_images=10"}
    | {"dataset": "cifar10", "images": 0},
    ("nb201-paths", "dataset"): {"images": 0, "valid_images": 10},
    ("nb201-paths", "pixels"): {"dataset": "cifar10", "images": 0, "valid_images": 10},
    ("spos-supernet", "pixels"): {"dataset": "cifar10", "images": 0, "valid_images": 10},
    ("cifar10-eval", "snapshot"): {"genotype": "run:cifar10-search/alpha_lr=20"},
    **{(name, "snapshot"): {"genotype": "run:ptb-search/alpha_lr=1"} for name in ("ptb-eval", "wikitext2-eval")},
    ("imagenet-eval", "unreadable"): {"folder": "damaged", "unreadable": "skip"},
    ("spos-supernet", "dataset"): {"images": 0, "valid_images": 10},
    **{(name, "dataset"): {"images": 0} for name in ("spos-retrain", "spos-cost")},
    **{("spos-supernet", name): {"space": "bits"} for name in ("depth", "clip_each", "ends_bits")},
    ("spos-retrain", "ends_bits"): {"space": "bits", "architecture": "2W2A"},
    ("spos-retrain", "depth"): {"space": "bits", "architecture": "2W2A"},
    **{("spos-retrain", name): {"architecture": "random"} for name in ("space", "blocks", "mult_adds")},
    **{(name, "latency"): LATENCY for name in SEARCHES},
    **{
        (name, "latency_of"): {"latency_table": "run:spos-latency", "latency_of": dear}
        for name, (dear, _) in UNIFORM.items()
    },
    **{(name, "latency_table"): {**LATENCY, "latency": 0.05} for name in SEARCHES},
    **{("spos-latency", name): {"space": space} for name, space in {"blocks": "blocks", "depth": "bits"}.items()},
    ("spos-latency", "classes"): {"layout": "imagenet"},
    ("spos-latency", "pixels"): {"layout": "cifar10"},
    ("spos-retrain", "least_fraction"): {"architecture": "random", "mult_adds": 0.013},
    ("spos-retrain", "winner"): {"architecture": "run:spos-blocks/generations=4"},
    ("spos-correlation", "benchmark"): {"supernet": "run:spos-supernet/dataset=cifar10,images=0,valid_images=10"},
}
# Where the other value is refused in one line
REFUSED = {
    ("imagenet-eval", "classes"): "the folder has so many",
    ("imagenet-eval", "unreadable"): "one picture is damaged",
    ("spos-blocks", "bitops"): "only the space bits has BitOps",
    ("spos-evolution", "bitops"): "only the space bits has BitOps",
    ("spos-channels", "bitops"): "only the space bits has BitOps",
    ("spos-mobile", "bitops"): "only the space bits has BitOps",
    ("spos-bits", "latency_of"): "bits do not change multiply-adds, which are counted here",
}
REFUSED |= {("hardware-front", name): "the supernet has other" for name in ("dataset", "pixels", "channels", "cells")}
SPOS = ("spos-supernet", "spos-retrain", "spos-cost")
# Where no other value can have an effect here
WITHOUT = {
    ("hypergradient-truth", "repeats"): "it says how often a gradient is timed",
    **{(name, "precision"): "a CPU computes in float32, whatever is asked" for name in EXPERIMENTS},
    **{
        (name, of): "a folder holds ImageNet: 1000 classes of 224 pixels are too much for a test"
        for name in SPOS
        for of in ("folder", "classes")
    },
    **{("hardware-front", name): "they are of latencies, which a clock measures" for name in ("rounds", "networks")},
    **{("spos-latency", name): "multiply-adds are counted here, not times" for name in ("rounds", "threads")},
}
BESIDE, WITHOUT = (
    {pair: value for pair, value in table.items() if pair[1] in PARAMETERS[pair[0]]} for table in (BESIDE, WITHOUT)
)
