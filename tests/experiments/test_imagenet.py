"""ImageNet: the published defaults, counted evaluation, resume with any number of processes, even after a kill."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import stand_ins
import torch
from processes import together

from repro.configs.imagenet import ImageNetEval
from repro.configs.registry import find
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.errors import ReproError
from repro.execution import launcher
from repro.experiments.imagenet import build_network, rate
from repro.originals.cnn import load_released, places, released_view
from repro.recipe import run_recipe
from repro.runs import failure
from repro.runs.identity import resolve
from repro.runs.run import open_run
from repro.spaces.genotypes import PUBLISHED
from repro.training import checkpoints, fit, parallel
from repro.training.classifier import ImageTraining

pytestmark = pytest.mark.usefixtures("folder")

TINY = {"genotype": "DARTS_V2", "device": "cpu", "channels": "4", "epochs": "2", "size": "32", "resize": "36"}
TINY |= {"images": "40"}


def make(**texts):
    """Make a run of the smoke profile, or go on with it; its result and its metrics without times."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        run = run_recipe("imagenet-eval", "smoke", {**TINY, **texts})
    finally:
        torch.set_default_dtype(torch.float32)
    return run.result, [{k: v for k, v in row.items() if "second" not in k} for row in run.metrics()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder, the result and the metrics of a run in one process."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("trained")
        patch.setenv("REPRO_RUNS", str(folder))
        return *make(), next(folder.glob("*/*"))


# ---- as published


def test_defaults_are_the_published_ones():
    params = ImageNetEval()
    assert (params.epochs, params.batch, params.lr, params.lr_decay) == (250, 128, 0.1, 0.97)
    assert (params.momentum, params.weight_decay, params.grad_clip) == (0.9, 3e-5, 5.0)
    assert (params.label_smoothing, params.auxiliary_weight, params.drop_path_rate) == (0.1, 0.4, 0.0)
    assert (params.channels, params.cells, params.size, params.resize, params.classes) == (48, 14, 224, 256, 1000)
    assert (params.precision, params.channels_last, params.compile, params.warmup) == ("auto", "off", "off", 0)
    network = build_network(params, PUBLISHED["DARTS_V2"])
    assert sum(p.numel() for n, p in network.named_parameters() if not n.startswith("auxiliary")) == 4718752


def test_learning_rate_falls_by_epochs_and_warms_up_by_steps():
    assert [rate(ImageNetEval(), step, 10) for step in (0, 9, 10, 25)] == [1, 1, 0.97, 0.97**2]
    params = resolve(find("imagenet-eval"), "paper", {"preset": "large-batch"})
    rates = [params.lr * rate(params, step, 10) / params.lr_decay ** (step // 10) for step in range(60)]
    assert rates[:50] == pytest.approx([0.8 * (step + 1) / 50 for step in range(50)])
    assert rates[50:] == pytest.approx([0.8] * 10)
    assert params.lr / params.batch == pytest.approx(0.1 / 128)


def test_preset_is_named_and_gives_way_to_what_is_asked_for(tmp_path):
    run = open_run(find("imagenet-eval"), "paper", {"preset": "large-batch", "warmup": 3.0, "genotype": "DARTS_V2"})
    assert run.path.name == "paper,genotype=DARTS_V2,preset=large-batch,warmup=3.0"
    assert (run.params.batch, run.params.lr, run.params.warmup) == (1024, 0.8, 3)
    assert run.params.compile == "auto"


def test_fast_parameters_fall_back_with_one_line_each(capfd):
    fast = {"preset": "large-batch", "precision": "bf16", "device": "auto", "epochs": "1", "images": "16"}
    torch.set_num_threads(1)
    run_recipe("imagenet-eval", "smoke", {**TINY, **fast})
    error = capfd.readouterr().err
    assert "precision=bf16: steps compute in float32, because this is no GPU" in error
    assert "compile=auto: the network is not compiled, because it pays on a GPU only" in error


def test_steps_in_bf16_keep_weights_in_float32():
    torch.manual_seed(0)

    class Plain(torch.nn.Sequential):
        def forward(self, x):
            return super().forward(x), None

    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    network = Plain(*layers, torch.nn.Linear(4, 5))
    training = ImageTraining(network, torch.optim.SGD(network.parameters(), 0.1), 5.0, 0.4, bf16=True)
    loss, logits = training.step(torch.randn(6, 3, 8, 8), torch.arange(6) % 5)
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert {p.grad.dtype for p in network.parameters()} == {torch.float32}


# ---- training and testing


def test_run_tells_errors_of_both_epochs_size_and_speed(trained):
    result, rows, folder = trained
    assert result["valid_images"] == 48
    assert result["top1_error"] == rows[-1]["valid_error"]
    assert result["best_top1_error"] == min(row["valid_error"] for row in rows)
    assert result["best_top5_error"] == rows[result["best_epoch"]]["valid_top5_error"]
    assert 0 <= result["top5_error"] <= result["top1_error"] <= 100
    assert rows[1]["lr"] == pytest.approx(0.97 * rows[0]["lr"])
    text = (folder / "metrics.jsonl").read_text()
    assert text.count("step_images_per_second") == text.count("input_images_per_second") == 2
    assert "unreadable" not in text


def test_two_processes_give_the_losses_of_one(trained, tmp_path):
    _, rows, folder = trained
    variables = {"REPRO_RUNS": tmp_path / "runs"}
    (result, ours), _ = together(tmp_path / "work", 2, make, joined=False, **variables)
    for row, expected in zip(ours, rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert result["valid_images"] == 48
    (path,) = (tmp_path / "runs").glob("*/*")
    assert path.name == folder.name


@pytest.mark.parametrize(("batch", "processes"), [(5, 1), (48, 1), (7, 2), (47, 3)])
def test_a_checkpoint_has_the_same_errors_in_batches_and_processes_of_any_size(trained, tmp_path, batch, processes):
    result, _, folder = trained
    texts = {"weights": str(folder), "batch": str(batch)}
    if processes == 1:
        tested, _ = make(**texts)
    else:
        runs = {"REPRO_RUNS": tmp_path / "runs"}
        tested = together(tmp_path / "work", processes, _tested, texts, joined=False, **runs)[0]
    assert tested["valid_images"] == 48
    assert [tested[name] for name in ("top1_error", "top5_error")] == [result["top1_error"], result["top5_error"]]


def within(last, texts):
    """Make the run, with a checkpoint after every step by the first process's clock, and stop it in step `last`."""
    is_time, steps = fit.Clock.is_time, count(1)

    def stopping(clock):
        said = is_time(clock)
        if next(steps) == last:
            raise KeyboardInterrupt
        return said

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(fit.Clock, "is_time", stopping)
        if os.environ.get("RANK") == "1":
            patch.setattr(fit.time, "monotonic", lambda: 0.0)  # it is never time
        return make(**texts, checkpoint_minutes="1e-9")


def test_two_processes_go_on_within_an_epoch_and_so_does_one(tmp_path):
    texts = {"images": "141", "batch": "47", "epochs": "1", "drop_path_rate": "0.5"}
    run = lambda last, name: together(tmp_path / "work", 2, within, last, texts, joined=False, REPRO_RUNS=name)[0]
    whole = run(0, tmp_path / "whole")
    for steps in ({"train": 2}, {"train": 3, "valid": 1}):  # the last batch of validation is for one process alone
        assert run(3, tmp_path / "two") is None
        (folder,) = (tmp_path / "two").glob("*/*")
        held = checkpoints.load(folder)["within"]
        assert (held["steps"], len(held["processes"])) == (steps, 2)
    shutil.copytree(tmp_path / "two", tmp_path / "runs")
    assert run(0, tmp_path / "two") == whole
    result, (row,) = within(0, texts)
    assert row["train_loss"] == pytest.approx(whole[1][0]["train_loss"], rel=1e-6)
    assert result["valid_images"] == 48


def _tested(texts):
    return make(**texts)[0]


def test_a_checkpoint_of_the_released_code_is_tested(trained, tmp_path):
    result, _, folder = trained
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], "imagenet", channels=4, cells=3, classes=8).double()
    checkpoints.fill(network, folder, load_released)
    own = network.state_dict()
    state = {name: released_view(own, place) for name, place in places(network).items()}
    torch.save({"state_dict": state}, tmp_path / "x.pt")
    assert make(weights=str(tmp_path / "x.pt"))[0]["top1_error"] == result["top1_error"]


def test_foreign_weights_are_refused_in_one_line(trained, tmp_path):
    folder = trained[2]
    with pytest.raises(ReproError, match=r"is of another network \(.*\): give the parameters of its run"):
        make(weights=str(folder), channels="6")
    with pytest.raises(ReproError, match="holds no checkpoint: name a run's folder"):
        make(weights=str(tmp_path))
    with pytest.raises(ReproError, match="absent.pt does not exist: name a file that does"):
        make(weights=str(tmp_path / "absent.pt"))


def test_skipped_pictures_are_counted_and_named(tmp_path):
    from repro.data.folders import pictures

    folder = pictures(tmp_path / "own")
    for part, name in (("train", "00.jpg"), ("val", "03.jpg")):
        (folder / part / "china-0" / name).write_bytes(b"")
    texts = {"dataset": "imagenet", "folder": str(folder), "images": "32", "epochs": "1"}
    with pytest.raises(ReproError, match=r"00.jpg \(.*\) cannot be read, 1 of 16 in its batch"):
        make(**texts)
    result, rows = make(**texts, unreadable="skip")
    assert result["valid_images"] == 47
    assert rows[0]["unreadable"] == 2
    (names,) = (tmp_path / "runs").glob("*/*unreadable*/unreadable.json")
    assert names.read_text().count(".jpg (") == 2


# ---- several processes


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_killed_process_is_told_and_the_run_goes_on_with_another_number(trained, tmp_path):
    texts = {**TINY, "epochs": "5"}
    whole = make(**texts)[1]
    environment = {**os.environ, "REPRO_RUNS": str(tmp_path / "killed"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "repro.recipe", "imagenet-eval", *(f"{k}={v}" for k, v in texts.items())]
    run = subprocess.Popen([*command, "processes=2"], env=environment, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "killed").glob("*/*/metrics.jsonl")) and run.poll() is None:
        time.sleep(0.02)
    workers = children(run.pid)[-2:]  # behind multiprocessing's own
    os.kill(workers[1], signal.SIGKILL)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 1
    assert error.splitlines()[-1].startswith("repro: process 1 was ended by SIGKILL (out of memory, or killed)")
    assert "Traceback" not in error
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    (folder,) = (tmp_path / "killed").glob("*/*")
    assert failure.read(folder).startswith("process 1 was ended by SIGKILL")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_RUNS", str(tmp_path / "killed"))
        result, rows = make(**texts, processes="1")
    assert not (folder / "failure.txt").exists()
    assert len((folder / "provenance.json").read_text().split('"command"')) == 3
    for row, expected in zip(rows, whole, strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-2)  # float32 in the processes
    assert result["epochs"] == 5


@pytest.fixture
def run(tmp_path):
    values = ImageNetEval.parse({**TINY, "processes": "2"})
    return open_run(find("imagenet-eval"), "smoke", values)


def test_processes_without_a_sign_of_life_are_ended(run, monkeypatch):
    monkeypatch.setattr(launcher, "_process", stand_ins.sleep)
    monkeypatch.setattr(launcher, "PATIENCE", 0.3)
    monkeypatch.setattr(launcher, "GRACE", 0.1)
    began = time.monotonic()
    with pytest.raises(ReproError, match="showed no sign of life for 0.3 s; the same command goes on"):
        launcher.compute(run)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ReproError("the data are gone"), "^the data are gone$"),
        (RuntimeError("odd"), "ended early with RuntimeError: odd; .*failure.txt holds"),
        (None, "its processes ended early; .*failure.txt holds what they said, and the same command"),
    ],
)
def test_processes_that_fail_are_quoted(run, monkeypatch, error, message):
    monkeypatch.setattr(launcher, "_process", partial(stand_ins.fail, error))
    failure.keep(run.path, RuntimeError("connection closed by peer"))  # what the first process knew
    with pytest.raises(ReproError, match=message):
        launcher.compute(run)
    assert re.search(message, failure.read(run.path))
    text = (run.path / "failure.txt").read_text()
    assert "process 1:\n" in text
    assert error is None or "in planted\n    raise error\n" in text


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(ReproError, match="^4 processes on 2 GPUs: take processes=2 or device=cpu$"):
        parallel.placed(torch.device("cuda"), 3, 4, 2)
    assert parallel.placed(torch.device("cuda"), 1, 2, 2) == torch.device("cuda", 1)
    assert parallel.placed(torch.device("cpu"), 3, 4, 0) == torch.device("cpu")
