"""Every file the package reads, damaged or of another kind, read through the real commands: one clear line or no harm.

A `Place` is a small world of runs and data made once; each case damages one file in a copy of a part of it.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import hostile
import nbformat
import torch
from bad_parameters import Answer, Tally, call, refused
from tiny import CPU, NEEDED, TINY, TRAINING, make_data, small_data

from repro import cli, recipe
from repro.configs.cifar10_cells import CifarEval
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.rnn.language_model import LanguageModel
from repro.execution import engine, preflight, runner
from repro.originals.cnn import places, released_view
from repro.runs import failure
from repro.settings import NOTEBOOKS
from repro.spaces.genotypes import PUBLISHED, to_json
from repro.training import fit

REFERENCE = Path(__file__).parent.parent / "reference" / "rnn_darts_v2.npz"
TOY = {"steps": "7"}
PICTURES = {**TINY["imagenet-eval"], "workers": "0"}


@dataclass(frozen=True)
class Case:
    """One kind of file and one way to read it."""

    name: str
    tree: str  # the part of the place that is copied for it
    pattern: str  # the file in the copy
    read: Callable[[Path], Answer]
    same: bool = False  # what is not refused must end with the result of an undisturbed run
    whole: str = ""  # what is said of the whole file, where it is not taken


def run(name: str, parameters: dict[str, str]) -> Answer:
    """Run a recipe through its command line."""
    return call(recipe.main, [name, *(f"{key}={value}" for key, value in parameters.items())])


def stop_after(epochs: int, name: str, parameters: dict[str, str]) -> None:
    """Leave a run stopped after so many epochs."""
    saved = fit.save

    def save(run, state, done, within=None):
        saved(run, state, done, within)
        if done == epochs and within is None:
            raise KeyboardInterrupt

    with patch.object(fit, "save", save):
        assert run(name, parameters).status == 130


# ---- the place


def make_files(folder: Path) -> None:
    """Write what parameters may name: genotypes, a gene, weights in the released naming."""
    folder.mkdir()
    for name, kind in (("cell.json", "DARTS_V2"), ("recurrent.json", "DARTS_V2_RNN")):
        (folder / name).write_text(json.dumps(to_json(PUBLISHED[kind])))
    (folder / "gene.json").write_text("[0, 1, 2, 3]")
    values = CifarEval(**{name: int(TRAINING[name]) for name in ("channels", "cells")})
    network = EvaluationNetwork(
        PUBLISHED["DARTS_V2"],
        channels=values.channels,
        classes=10,
        cells=values.cells,
        auxiliary_head=False,
        in_channels=1,
    )
    state = {name: released_view(network.state_dict(), place).clone() for name, place in places(network).items()}
    torch.save(state, folder / "cell.pt")
    model = LanguageModel(2000, 8, PUBLISHED["DARTS_V2_RNN"]).state_dict()
    released = {"encoder.weight": model["embedding"], "decoder.bias": model["bias"], "rnns.0._W0": model["first"]}
    released |= {f"rnns.0._Ws.{number}": value.clone() for number, value in enumerate(model["maps"])}
    moments = {f"rnns.0.bn.{name}": model.get(f"norm.{name}") for name in ("running_mean", "running_var")}
    released |= {name: value for name, value in moments.items() if value is not None}
    torch.save(released, folder / "recurrent.pt")
    torch.save(released, folder / "recurrent-old.pt", _use_new_zipfile_serialization=False)
    shutil.copy(REFERENCE, folder / "reference.npz")
    (folder / "reference.npz").chmod(0o644)


def make_runs(place: Path) -> None:
    """Make finished and stopped runs, each in a folder of its own, with what they need."""
    for tree, name, parameters in (
        ("stopped", "cifar10-eval", TINY["cifar10-eval"]),
        ("language", "ptb-eval", TINY["ptb-eval"]),
        ("pictures", "imagenet-eval", PICTURES),
    ):
        os.environ["REPRO_RUNS"] = str(place / tree)
        stop_after(1 if tree == "pictures" else 2, name, parameters)
    failure.keep(next((place / "stopped").glob("*/*")), RuntimeError("planted"))
    for tree, name in (("paths", "spos-blocks"), ("selection", "cifar10-select"), ("toy", "bilevel-toy")):
        os.environ["REPRO_RUNS"] = str(place / tree)
        for needed, parameters in NEEDED.get(name, []):
            assert run(needed, parameters).status == 0
        assert run(name, TOY if tree == "toy" else TINY[name]).status == 0
    folder = next((place / "toy").glob("bilevel-toy/*"))
    notebook = nbformat.read(NOTEBOOKS / "00_bilevel_toy.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = 1
    nbformat.write(notebook, folder / "notebook.ipynb")
    shutil.copy(folder / "notebook.ipynb", place / "files" / "notebook.ipynb")
    result = next((place / "paths").glob("spos-blocks/*/result.json"))
    result.unlink()  # so that it reads its parts again
    next((place / "selection").glob("cifar10-select/*/result.json")).unlink()


def make_place(place: Path) -> None:
    """Make the whole place."""
    place.mkdir(parents=True)
    make_data(place / "data")
    make_files(place / "files")
    make_runs(place)


# ---- the cases


def shown(folder: Path) -> Answer:
    """Look at runs in the two ways that only read."""
    listed, status = (call(cli.main, [word, f"--runs={folder}"]) for word in ("list", "status"))
    if listed.status or status.status:
        return listed if listed.status else status
    damaged = [row for row in status.output.splitlines() if row.startswith("damaged ")]
    return Answer(1, f"repro: {damaged[0]}\n", "") if damaged else status


def executed(folder: Path, source: Path = NOTEBOOKS) -> Answer:
    """`repro run bilevel-toy`, with everything but the notebook's execution."""
    with patch.object(runner, "NOTEBOOKS", source), patch.object(engine, "execute_notebook"):
        return call(cli.main, ["run", "bilevel-toy", "-psteps=7", f"--runs={folder}"])


def source_of(folder: Path) -> Answer:
    """The same with a damaged notebook, for a run that is still to be made."""
    (folder / "notebooks").mkdir()
    (folder / "notebook.ipynb").rename(folder / "notebooks" / "00_bilevel_toy.ipynb")
    return executed(folder / "runs", folder / "notebooks")


def checked(name: str) -> Callable[[Path], Answer]:
    """`repro data check NAME`."""
    return lambda folder: call(cli.main, ["data", "check", name, f"--data={folder}"])


def again(name: str, parameters: dict[str, str]) -> Callable[[Path], Answer]:
    """The recipe, on the runs in the folder."""

    def read(folder: Path) -> Answer:
        with patch.dict(os.environ, REPRO_RUNS=str(folder)):
            return run(name, parameters)

    return read


def named(name: str, key: str, file: str, **more: str) -> Callable[[Path], Answer]:
    """The recipe with a parameter that names the file."""

    def read(folder: Path) -> Answer:
        with patch.dict(os.environ, REPRO_RUNS=str(folder / "runs")):
            return run(name, {**TINY[name], **more, key: str(folder / file)})

    return read


def table(folder: Path) -> Answer:
    """The correlation with a table of the data folder, up to the supernet that is not there."""
    with (
        patch.dict(os.environ, REPRO_DATA=str(folder), REPRO_RUNS=str(folder / "runs")),
        patch.object(preflight, "find_needed"),
    ):
        return run("spos-correlation", {**TINY["spos-correlation"], "benchmark": "nas-bench-macro"})


def cases() -> list[Case]:
    """Every kind of file with every way to read it."""
    stopped, blocks, select = TINY["cifar10-eval"], TINY["spos-blocks"], TINY["cifar10-select"]
    own = ("params.json", "provenance.json", "metrics.jsonl", "genotype.json")
    found = [Case(name, "stopped", f"*/*/{name}", shown) for name in own]
    found += [Case(name, "stopped", f"*/*/{name}", again("cifar10-eval", stopped)) for name in own]
    found += [
        Case("checkpoint.pt", "stopped", "*/*/checkpoint.pt", again("cifar10-eval", stopped), same=True),
        Case("checkpoint.pt", "language", "*/*/checkpoint.pt", again("ptb-eval", TINY["ptb-eval"]), same=True),
        Case("checkpoint.pt", "paths", "spos-supernet/*/checkpoint.pt", again("spos-blocks", blocks)),
        Case("checkpoint.pt", "stopped", "*/*/checkpoint.pt", again_as_weights, whole="is of another network"),
        Case("picture", "pictures", "*/*/pictures/train/*/00.jpg", again("imagenet-eval", PICTURES)),
        Case("picture", "pictures", "*/*/pictures/val/*/03.jpg", again("imagenet-eval", PICTURES)),
        Case("result.json", "toy", "*/*/result.json", shown),
        Case("result.json", "toy", "*/*/result.json", again("bilevel-toy", TOY)),
        Case("result.json", "selection", "cifar10-select/*/*/result.json", again("cifar10-select", select)),
        Case("genotype.json", "selection", "cifar10-search/*/genotype.json", again("cifar10-select", select)),
        Case("metrics.jsonl", "paths", "spos-blocks/*/*/metrics.jsonl", again("spos-blocks", blocks)),
        Case("found.json", "paths", "spos-blocks/*/found.json", again_retrained),
        Case("failure.txt", "stopped", "*/*/failure.txt", shown),
        Case("failure.txt", "stopped", "*/*/failure.txt", again("cifar10-eval", stopped)),
        Case("executed notebook", "toy", "*/*/notebook.ipynb", shown),
        Case("executed notebook", "toy", "*/*/notebook.ipynb", executed),
        Case("notebook", "files", "notebook.ipynb", source_of, whole="the notebook ended without"),
        Case("genotype file", "files", "cell.json", named("cifar10-eval", "genotype", "cell.json")),
        Case("genotype file", "files", "recurrent.json", named("ptb-eval", "genotype", "recurrent.json")),
        Case("gene file", "files", "gene.json", named("spos-retrain", "architecture", "gene.json")),
        Case("released weights", "files", "cell.pt", named("cifar10-eval", "weights", "cell.pt")),
        Case("released weights", "files", "recurrent.pt", named("ptb-eval", "weights", "recurrent.pt")),
        Case("released weights", "files", "recurrent-old.pt", named("ptb-eval", "weights", "recurrent-old.pt")),
        Case("reference .npz", "files", "reference.npz", verified),
        Case("CIFAR-10 .npz", "data", "cifar10.npz", checked("cifar10")),
        Case("Penn Treebank", "data", "ptb/ptb.valid.txt", checked("ptb"), whole="is not the released one"),
        Case("NAS-Bench-Macro", "data", "nas-bench-macro/nas-bench-macro_cifar10.json", table, whole="is needed"),
    ]
    return found


def again_as_weights(folder: Path) -> Answer:
    """A run's folder named as the weights of another network."""
    (run_folder,) = folder.glob("*/*")
    return again("imagenet-eval", {**PICTURES, "weights": str(run_folder)})(folder / "more")


def again_retrained(folder: Path) -> Answer:
    """Retraining of what a search found."""
    architecture = "run:spos-blocks/" + ",".join(
        f"{key}=({value})" if "," in value else f"{key}={value}" for key, value in TINY["spos-blocks"].items()
    )
    (searched,) = folder.glob("spos-blocks/*")
    (searched / "result.json").write_text("{}\n")
    return again("spos-retrain", {**TINY["spos-retrain"], "architecture": architecture})(folder)


def verified(folder: Path) -> Answer:
    """`repro verify FILE`."""
    answer = call(cli.main, ["verify", str(folder / "reference.npz")])
    return answer._replace(status=0) if answer.status == 1 and not answer.error else answer  # an array does not hold


def explore(tally: Tally, folder: Path, count: int, seed: int) -> None:
    """Damage files so often, each kind as often as the others; AssertionError names what is not refused properly."""
    place, copy, sentinel = folder / "place", folder / "copy", folder / "sentinel"
    torch.set_num_threads(int(CPU["threads"]))
    with small_data(), patch.dict(os.environ, REPRO_DATA=str(place / "data")):
        if not place.exists():
            make_place(place)
        wanted = {case: undisturbed(case, place, copy) for case in cases()}
        for number in range(count):
            dice, case = random.Random(f"{seed} {number}"), [*wanted][number % len(wanted)]
            refresh(case, place, copy)
            how = hostile.damage(dice.choice(sorted(copy.glob(case.pattern))), dice, sentinel)
            where = f"{case.name} in {case.tree}, {how}: seed {seed}, number {number}"
            try:
                answer = case.read(copy)
                bad = refused(answer, alone=False) and not (case.whole and case.whole in answer.error)
                assert not sentinel.exists(), "code was executed"
                assert bad or not case.same or outcome(copy) == wanted[case]
            except Exception as error:
                error.add_note(where)
                raise
            tally[case.name, "refused" if bad else "without harm"] += 1


def refresh(case: Case, place: Path, copy: Path) -> None:
    """Copy the whole tree of a case."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place / case.tree, copy, symlinks=True)


def undisturbed(case: Case, place: Path, copy: Path) -> bytes:
    """Read the whole file, which is taken, and return the result where one is compared."""
    refresh(case, place, copy)
    answer = case.read(copy)
    assert (case.whole in answer.error) if case.whole else answer.status == 0, (case, answer)
    return outcome(copy) if case.same else b""


def outcome(folder: Path) -> bytes:
    """Return the result of the one run in a folder."""
    (result,) = folder.glob("*/*/result.json")
    return result.read_bytes()
