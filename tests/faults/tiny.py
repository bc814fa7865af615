"""Every experiment as small as its recipe accepts: a run of about a second on one thread, with all of its parts."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from repro.data import cifar10, images, text
from repro.presence import TABLE_201
from repro.spaces.genotypes import PUBLISHED, to_json
from repro.spaces.nas_bench import COLUMNS_201, MACRO_SPACE, SPACE_201, cell_201

WORDS = "the cell reads a state and writes a state <unk> N"
LINES = (40, 4, 4)  # of training, validation and test text


def reference(name: str, changes: Mapping[str, str]) -> str:
    """The run of another experiment, as a parameter names it."""
    pairs = (f"{key}=({value})" if "," in value else f"{key}={value}" for key, value in changes.items())
    return f"run:{name}/{','.join(pairs)}"


CPU = {"device": "cpu", "threads": "1"}
TRAINED = {**CPU, "checkpoint_minutes": "1e-9"}  # after every step
SEARCH = {**TRAINED, "epochs": "4", "images": "32", "batch": "8", "channels": "1", "nodes": "1"}
TRAINING = {**TRAINED, "images": "32", "batch": "16", "channels": "2", "cells": "1", "auxiliary_weight": "0"}
TEXT = {**TRAINED, "tokens": "400", "bptt": "10", "hidden_size": "8", "batch": "8"}
SUPERNET = {**TRAINED, "images": "320", "valid_images": "20", "bn_images": "64", "evaluated_paths": "1"}
SUPERNET |= {"iterations": "24", "batch": "60", "width": "0.5"}
EVOLUTION = {**CPU, "bn_images": "64", "generations": "3", "population": "4", "parents": "2"}
EVOLUTION |= {"mutation": "2", "crossover": "1", "mult_adds": "0", "bitops": "0"}

CELLS = {**TRAINED, "epochs": "3", "images": "32", "batch": "8", "channels": "1", "eigenvalue": "power", "gap": "true"}
CELL_PATHS = {**TRAINED, "images": "320", "batch": "60", "channels": "1", "epochs": "2", "valid_images": "20"}
CELL_PATHS |= {"bn_images": "64", "search_every": "2", "generations": "2", "population": "4", "parents": "2"}
CELL_PATHS |= {"mutation": "2", "crossover": "1", "ranked": "2"}

SEARCHED = reference("cifar10-search", SEARCH)
READ = reference("ptb-search", {**TEXT, "epochs": "3", "nodes": "2"})
SEEDS = {"search_seeds": "0,1"}

# Experiment -> its smallest parameters, as texts
TINY: Mapping[str, Mapping[str, str]] = {
    "bilevel-toy": {"steps": "40", "xi": "0,0.5"},
    "cifar10-search": {**SEARCH, "compare_every": "2"},
    "cifar10-joint": SEARCH,
    "cifar10-select": {**TRAINING, **SEEDS, "epochs": "2", "search": SEARCHED},
    "cifar10-random": {**TRAINING, "epochs": "2", "samples": "2", "nodes": "1"},
    "cifar10-progress": {**TRAINING, **SEEDS, "epochs": "1", "snapshots": "1,2", "search": SEARCHED},
    "cifar10-eval": {**TRAINING, "epochs": "4", "genotype": "DARTS_V2"},
    "imagenet-eval": {**TRAINED, "size": "32", "resize": "32", "images": "16", "batch": "8", "channels": "2"}
    | {"cells": "1", "epochs": "4", "auxiliary_weight": "0", "genotype": "DARTS_V2"},
    "ptb-search": {**TEXT, "epochs": "3", "nodes": "2"},
    "ptb-select": {**TEXT, **SEEDS, "epochs": "2", "search": READ},
    "ptb-random": {**TEXT, "epochs": "2", "samples": "2", "nodes": "2"},
    "ptb-progress": {**TEXT, **SEEDS, "epochs": "1", "snapshots": "1,2", "search": READ},
    "ptb-eval": {**TEXT, "epochs": "4", "genotype": "DARTS_V2_RNN"},
    "wikitext2-eval": {**TEXT, "epochs": "4", "genotype": "DARTS_V2_RNN"},
    "spos-supernet": SUPERNET,
    "spos-blocks": {**EVOLUTION, "supernet": reference("spos-supernet", SUPERNET)},
    "spos-channels": {**EVOLUTION, "supernet": reference("spos-supernet", SUPERNET)},
    "spos-bits": {**EVOLUTION, "supernet": reference("spos-supernet", SUPERNET)},
    "spos-evolution": {**EVOLUTION, "supernet": reference("spos-supernet", SUPERNET), "search_seeds": "0"}
    | {"uniform": reference("spos-supernet", SUPERNET)},
    "spos-retrain": {**TRAINED, "images": "320", "iterations": "24", "batch": "60", "width": "0.5"}
    | {"architecture": "shuffle_3x3"},
    "spos-correlation": {**TRAINED, "supernet": reference("spos-supernet", SUPERNET), "networks": "2"}
    | {"bn_images": "64", "iterations": "6"},
    "cifar10-cost": {**CPU, "images": "32", "batch": "8", "channels": "1", "nodes": "1", "steps": "3"},
    "spos-mobile": {**EVOLUTION, "supernet": reference("spos-supernet", SUPERNET)},
    "spos-latency": {**CPU, "width": "0.5", "batch": "1", "rounds": "2", "networks": "2"},
    "spos-cost": {**CPU, "images": "320", "batch": "60", "paths": "2", "steps": "2"},
    "nb201-search": CELLS,
    "nb201-paths": CELL_PATHS,
    "hypergradient-truth": {"hidden": "1", "terms_seen": "1", "after": "0", "repeats": "1"},
    "hypergradient-search": {**SEARCH, "look_every": "2", "eps_seen": "0.01", "terms_seen": "1"},
    "darts-evolution": {**CPU, "generations": "2", "population": "4", "parents": "2", "mutation": "2", "ranked": "2"}
    | {"crossover": "1", "bn_images": "8", "judged_images": "8", "search": reference("nb201-search", CELLS)},
    "ptb-paths": {**TEXT, "epochs": "3", "nodes": "2", "generations": "2", "population": "4", "parents": "2"}
    | {"mutation": "2", "crossover": "1"},
    "hardware-front": {**CELLS, "eigenvalue": "off", "gap": "false", "cost_weights": "0,1", "cost_limits": "0.8"}
    | {"rounds": "2", "networks": "2", "generations": "2", "population": "4", "parents": "2", "mutation": "2"}
    | {"crossover": "1", "supernet": reference("nb201-paths", CELL_PATHS)},
    "derivation": {**TRAINED, "tune_steps": "2", "judged_images": "8", "search": reference("nb201-search", CELLS)},
}

# What must be finished before: experiment -> runs, as (experiment, parameters)
NEEDED = {
    "cifar10-select": [("cifar10-search", {**SEARCH, "seed": seed}) for seed in "01"],
    "cifar10-progress": [("cifar10-search", {**SEARCH, "seed": seed}) for seed in "01"],
    **{name: [("nb201-search", CELLS)] for name in ("derivation", "darts-evolution")},
    "hardware-front": [("nb201-paths", CELL_PATHS)],
    "ptb-select": [("ptb-search", {**TINY["ptb-search"], "seed": seed}) for seed in "01"],
    "ptb-progress": [("ptb-search", {**TINY["ptb-search"], "seed": seed}) for seed in "01"],
    **{
        f"spos-{name}": [("spos-supernet", {**SUPERNET, "space": space or name})]
        for name, space in {**dict.fromkeys(("blocks", "channels", "bits", "mobile")), "correlation": "macro"}.items()
    },
    "spos-evolution": [("spos-supernet", SUPERNET), ("spos-supernet", {**SUPERNET, "sampling": "uniform"})],
}


@contextmanager
def small_data() -> Iterator[None]:
    """Let CIFAR-10 be 60 images, and Penn Treebank a page."""
    cifar = images.SOURCES["cifar10"]._replace(train=40, test=20, sha1=())
    tokens = tuple(lines * (len(WORDS.split()) + 1) for lines in LINES)
    treebank = text.SOURCES["ptb"]._replace(tokens=tokens, vocabulary_size=len({*WORDS.split()}) + 1)
    with patch.dict(images.SOURCES, cifar10=cifar), patch.dict(text.SOURCES, ptb=treebank):
        yield


def make_data(folder: Path, seed: int = 0) -> None:
    """Write every data set that is read from files, small; another seed gives another one, as valid."""
    dice = np.random.default_rng(seed)
    sizes = {"train": 40, "test": 20}
    arrays = {f"x_{part}": dice.integers(0, 256, (n, 32, 32, 3), np.uint8) for part, n in sizes.items()}
    arrays |= {f"y_{part}": np.arange(n) % 10 for part, n in sizes.items()}
    folder.mkdir()
    cifar10.write(folder / "cifar10.npz", arrays)
    (folder / "ptb").mkdir()
    for file, lines in zip(text.SOURCES["ptb"].files, LINES, strict=True):
        (folder / file).write_text(f" {WORDS if not seed else ' '.join(reversed(WORDS.split()))} \n" * lines)
    for name, kind in (("cell.json", "DARTS_V2"), ("recurrent.json", "DARTS_V2_RNN")):
        (folder / name).write_text(json.dumps(to_json(PUBLISHED[kind])))
    (folder / "nas-bench-201").mkdir()
    cells = [f"{sum(gene)}.0,{cell_201(gene)}" for gene in SPACE_201.genes()]
    (folder / TABLE_201).write_text("\n".join([f"{COLUMNS_201['cifar10']},ArchitectureString", *cells]))
    (folder / "nas-bench-macro").mkdir()
    rows = {"".join(map(str, gene)): {"test_acc": [90.0], "params": 1, "flops": 2} for gene in MACRO_SPACE.genes()}
    (folder / "nas-bench-macro" / "nas-bench-macro_cifar10.json").write_text(json.dumps(rows))
