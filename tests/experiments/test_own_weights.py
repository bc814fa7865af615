"""The weights of a run, named by its folder, are tested as the run itself was; what is foreign is told by its class."""

from argparse import Namespace

import numpy as np
import pytest
import torch
from finished import run

from repro.configs.references import reference
from repro.configs.registry import find
from repro.errors import ReproError
from repro.experiments.spos_training import load_supernet
from repro.originals.rnn import read_model
from repro.runs.run import open_run
from repro.training import checkpoints

pytestmark = pytest.mark.usefixtures("folder")

IMAGES = {"images": 48, "batch": 16, "epochs": 1, "channels": 2, "genotype": "DARTS_V2"}
WORDS = {"tokens": 1500, "batch": 8, "epochs": 1, "hidden_size": 8}
PATHS = {"iterations": 40, "batch": 32, "images": 400}
EVALUATIONS = {
    "cifar10-eval": IMAGES,
    "ptb-eval": {**WORDS, "genotype": "DARTS_V2_RNN"},
    "wikitext2-eval": {**WORDS, "genotype": "DARTS_V1_RNN"},
    "spos-supernet": {**PATHS, "bn_images": 64, "evaluated_paths": 2, "valid_images": 100},
    "spos-retrain": {**PATHS, "architecture": "shuffle_5x5"},
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_every_evaluation_tests_the_weights_of_a_run(name):
    values = EVALUATIONS[name]
    trained = run(name, **values)
    facts = {"averaging_began", "best_epoch"}
    expected = {key: value for key, value in trained.result.items() if key not in facts}
    assert run(name, **values, seed=1).result != trained.result  # weights matter
    for path in (trained.path, trained.path / "checkpoint.pt"):
        assert run(name, **values, weights=str(path)).result == expected
    changed = next(name for name in ("channels", "hidden_size", "width") if hasattr(trained.params, name))
    with pytest.raises(ReproError, match=r"is of another network \(.*\): give the parameters of its run"):
        run(name, **{**values, changed: 3}, weights=str(trained.path))
    with pytest.raises(ReproError, match="holds no checkpoint: name a run's folder"):
        run(name, **values, weights=str(trained.path.parent))


@pytest.mark.parametrize("name", ["cifar10-eval", "ptb-eval"])
def test_the_tensors_of_our_own_network_alone_are_taken(name, tmp_path):
    trained = run(name, **EVALUATIONS[name])
    state = checkpoints.load(trained.path)["state"]
    tensors = state["network"] if "network" in state else state["training"]["network"]
    path, best = tmp_path / "weights.pt", state.get("training", {}).get("best")
    if best:  # which are tested
        tensors = {**tensors, **dict(zip(("embedding", "bias", "first", "maps"), best["weights"], strict=True))}
    torch.save(tensors, path)
    found = run(name, **EVALUATIONS[name], weights=str(path)).result
    assert found == {key: value for key, value in trained.result.items() if key in found}
    with pytest.raises(ReproError, match="it is of another genotype|the genotype has"):
        run(
            name,
            **{**EVALUATIONS[name], "genotype": {"cifar10-eval": "NASNET", "ptb-eval": "ENAS_RNN"}[name]},
            weights=str(path),
        )


def test_a_supernet_says_which_images_its_weights_want(tmp_path):
    """The authors' want BGR; a run's want what the run trained on, also in the searches on it, and when it is gone."""
    values = EVALUATIONS["spos-supernet"]
    own = run("spos-supernet", **values)
    torch.save(checkpoints.load(own.path)["state"]["network"], tmp_path / "authors.pth")
    authors = run("spos-supernet", **values, weights=str(tmp_path / "authors.pth"))
    for weights, bgr in {own.path: False, authors.path: True, tmp_path / "authors.pth": True}.items():
        taken = run("spos-supernet", **values, weights=str(weights))
        assert taken.result["accuracy"] == (authors if bgr else own).result["accuracy"]
        state = checkpoints.load(taken.path)["state"]
        assert state["images"] == {"bgr": bgr}
        named = reference("spos-supernet", **values, weights=str(weights))
        search = open_run(find("spos-blocks"), "smoke", {"supernet": str(named)})
        assert load_supernet(search)[1].bgr == bgr


@pytest.mark.parametrize("read", [checkpoints.read_state_dict, read_model])
@pytest.mark.parametrize(
    ("beside", "named"),
    [
        ({"args": Namespace(lr=0.1)}, "argparse.Namespace"),
        ({"best": np.float64(97.3)}, "numpy._core.multiarray.scalar"),
    ],
)
def test_what_a_checkpoint_holds_besides_is_named_and_how_to_save_without(read, beside, named, tmp_path):
    tensors, path = {"encoder.weight": torch.zeros(2, 2)}, tmp_path / "model.pth"
    torch.save({"state_dict": tensors, **beside}, path)
    with pytest.raises(ReproError, match=rf"names {named},.* save the tensors alone: torch.save\("):
        read(path)
    torch.save(tensors["encoder.weight"], path)
    with pytest.raises(ReproError, match=r"save the tensors alone: torch.save\("):
        read(path)
    torch.save({**tensors, "epoch": 3}, path)
    with pytest.raises(ReproError, match=r"int.* save the tensors alone: torch.save\("):
        read(path)
    torch.save({"state_dict": tensors}, path)
    found = read(path)
    assert torch.equal((found if isinstance(found, dict) else found[0])["encoder.weight"], torch.zeros(2, 2))
