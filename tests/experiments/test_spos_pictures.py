"""SPOS on folders of pictures, as on ImageNet: the same recipes, decoded images, and the authors' weights."""

import pytest
import torch
from finished import run

from repro.configs.registry import find
from repro.data.folders import find as find_pictures
from repro.data.folders import pictures
from repro.data.sources import InFolders
from repro.errors import ReproError
from repro.experiments import spos_data
from repro.runs.run import open_run
from repro.spaces.path_spaces import SPACES
from repro.spos.choice_blocks import ChoiceNetwork, Layout, bgr_255
from repro.spos.path_training import accuracy, recalibrate
from repro.training import checkpoints

LAYOUT = Layout(32, 3, 8, stem=4, widths=(8, 16), repeats=(1, 1), strides=(2, 2), head=16)
SUPERNET = {
    "dataset": "imagenet",
    "classes": 8,
    "workers": 0,
    "iterations": 5,
    "batch": 32,
    "valid_images": 16,
    "evaluated_paths": 2,
}
SUPERNET |= {"bn_images": 40}
RETRAIN = {
    "dataset": "imagenet",
    "classes": 8,
    "workers": 0,
    "iterations": 7,
    "batch": 32,
    "architecture": "shuffle_5x5",
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    pictures(folder / "imagenet")
    return folder


@pytest.fixture(autouse=True)
def small(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(photographs))
    monkeypatch.setitem(SPACES["blocks"].layouts, "imagenet", LAYOUT)


def test_a_supernet_is_trained_searched_and_its_winner_retrained():
    assert run("spos-supernet", **SUPERNET).result["networks"] == 16
    named = "run:spos-supernet/" + ",".join(f"{name}={value}" for name, value in SUPERNET.items())
    search = {"supernet": named, "bn_images": 40, "mult_adds": 0.0, "generations": 1}
    search |= {"population": 6, "mutation": 2, "crossover": 2}
    found = run("spos-blocks", **search)
    assert found.result["candidates"] == 6
    trained = run("spos-retrain", **RETRAIN)
    assert 0 <= trained.result["test_accuracy"] <= 100
    assert [row["epoch"] for row in trained.metrics()] == [0, 1, 2]  # 5 batches of 144 pictures each
    assert checkpoints.load(trained.path)["state"]["schedule"]["last_epoch"] == 7 + 5


def test_steps_on_pictures_are_measured():
    options = {
        "dataset": "imagenet",
        "classes": 8,
        "workers": 0,
        "batch": 32,
        "paths": 2,
        "steps": 1,
        "warm_up_steps": 0,
    }
    measured = run("spos-cost", **options)
    assert measured.result["memory_ratio"] > 1
    assert len(measured.metrics()) == 2


def test_pictures_are_picked_in_order_and_each_once(photographs):
    params = find("spos-supernet").parameters.build(SUPERNET)
    data = spos_data.load(params, open_run(find("spos-supernet"), "smoke", SUPERNET))
    assert len(data.labels) == 144
    few, whole = torch.tensor([100, 3, 50]), data.pick(torch.arange(144))
    assert whole.shape == (144, 3, 32, 32)
    assert torch.equal(data.pick(few), whole[few])
    images, labels = data.test()
    assert len(images) == len(labels) == 48
    assert torch.equal(labels, find_pictures(photographs / "imagenet", 8).valid.labels)
    seen = [labels for _, labels in data.stream(torch.arange(144)).epoch(0, 0, 99)]
    assert torch.equal(torch.cat(seen).bincount(), data.labels.bincount())
    assert len(list(data.stream(torch.arange(144)).epoch(0, 0, 2))) == 2


def test_pictures_stay_on_a_gpu_where_they_take_half_of_what_is_free(photographs, monkeypatch):
    """`meta` stands in for it; decoded to it they are not copied there again for every candidate."""
    options = {"seed": 0, "workers": 0, "device": torch.device("meta")}
    data = InFolders(find_pictures(photographs / "imagenet", 8), 32, 32, **options)
    needed = 2 * 20 * 3 * 32 * 32
    for free, place in ((needed, "meta"), (needed - 1, "cpu")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**12))
        assert data.pick(torch.arange(20)).device.type == place


def test_the_authors_weights_are_judged_in_bgr(tmp_path):
    torch.manual_seed(0)
    for gene, name, experiment in ((None, "supernet.pth", "spos-supernet"), ((1, 1), "cell.pth", "spos-retrain")):
        network = ChoiceNetwork(LAYOUT, gene=gene, affine=gene is not None)
        recalibrate(network, (1, 1) if gene is None else (), torch.randn(64, 3, 32, 32) * 60 + 120, lambda x: x)
        state = {f"module.{key}": value for key, value in network.state_dict().items() if "num_batches" not in key}
        torch.save({"state_dict": state}, tmp_path / name)
        options = SUPERNET if gene is None else RETRAIN
        evaluated = run(experiment, weights=str(tmp_path / name), **options)
        data = spos_data.load(evaluated.params, evaluated)
        if gene is None:
            row, network.bgr = evaluated.load("paths.json")[0], True
            judge = spos_data.judge(evaluated.params, evaluated, network, data, 40)
            assert judge(tuple(row["gene"])) == row["accuracy"]
            assert torch.equal(judge.prepare(data.test()[0][:2]), bgr_255(data.test()[0][:2]))
        else:
            assert evaluated.result["test_accuracy"] == accuracy(network, (), *data.test(), bgr_255)


def test_missing_folders_and_other_numbers_of_classes_are_one_line(monkeypatch, tmp_path):
    with pytest.raises(ReproError, match="has 8 classes, expected 1000"):
        run("spos-supernet", **{**SUPERNET, "classes": 1000})
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "nothing"))
    with pytest.raises(ReproError, match=r"imagenet/train is missing"):
        run("spos-supernet", **SUPERNET)
