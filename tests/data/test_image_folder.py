"""Folders of pictures: what is wrong is said in one line, every picture is counted once, draws can be repeated."""

import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from repro.cli import main
from repro.data import folders
from repro.data.folders import find, pictures, scan
from repro.data.loader import (
    MEAN,
    STD,
    Loader,
    _Order,
    in_colour,
    normalise,
    share_of_cores,
    train_transform,
    valid_transform,
)
from repro.errors import ReproError, UsageError


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture
def folder(embedded, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(embedded, tmp_path / "imagenet")


def loader(part, *, transform=None, size=16, seed=0, workers=0, shuffled=True, skip=False, **group):
    transform = transform or (train_transform(32) if shuffled else valid_transform(32, 36))
    cpu = torch.device("cpu")
    return Loader(part, transform, size, seed=seed, workers=workers, device=cpu, shuffled=shuffled, skip=skip, **group)


# ---- the folders


def test_embedded_pictures(embedded):
    data = find(embedded, 8)
    assert [len(part.names) for part in data] == [144, 48]
    assert torch.bincount(data.train.labels).tolist() == [18] * 8
    assert torch.bincount(data.valid.labels).tolist() == [6] * 8
    assert data.train.classes[::4] == ("china-0", "flower-0")
    tiles = {part: {os.fsdecode(name) for name in getattr(data, part).names} for part in ("train", "valid")}
    assert not tiles["train"] & tiles["valid"]
    assert pictures(embedded) == embedded
    assert not list(embedded.parent.glob("*.partial"))


def test_pictures_are_those_of_torchvision(folder):
    from torchvision.datasets import ImageFolder

    (folder / "train" / "china-1" / "more").mkdir()
    shutil.copy(folder / "train" / "china-1" / "00.jpg", folder / "train" / "china-1" / "more" / "A.JPEG")
    (folder / "train" / "china-1" / "notes.txt").write_text("no picture")
    theirs, ours = ImageFolder(folder / "train"), scan(folder / "train")
    assert ours.classes == tuple(theirs.classes)
    found = [(str(ours.path(index)), label) for index, label in enumerate(ours.labels.tolist())]
    assert sorted(found) == sorted(theirs.samples)
    assert len(found) == 145


def test_checksum_is_of_the_names_wherever_they_lie(embedded, folder):
    before = find(folder, 8).checksum
    assert before == find(embedded, 8).checksum
    (folder / "val" / "china-0" / "03.jpg").rename(folder / "val" / "china-0" / "04.jpg")
    assert find(folder, 8).checksum != before


def test_fewer_images_are_of_all_classes(embedded):
    part = find(embedded, 8).train.head(24)
    assert torch.bincount(part.labels).tolist() == [3] * 8
    assert part.path(23).exists()
    assert len(part.head(0).names) == 24
    with pytest.raises(UsageError, match="images=25, but .*train has 24: take fewer, or 0 for all"):
        part.head(25)


def test_data_command_checks_imagenet_and_says_where_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path))
    assert main(["data", "check", "imagenet"]) == 1
    assert main(["data", "fetch", "imagenet"]) == 2
    missing, fetch = capsys.readouterr().err.splitlines()
    assert "imagenet/train is missing: put pictures into" in missing
    assert "ImageNet is to be had at https://image-net.org after registration: sort it into" in fetch


def flatten(folder):
    for path in list((folder / "val").glob("*/*")):
        path.rename(folder / "val" / f"ILSVRC2012_val_{path.parent.name}{path.name}")
    for path in list((folder / "val").iterdir()):
        if path.is_dir():
            path.rmdir()


def empty(folder):
    for path in [*(folder / "train" / "china-2").iterdir(), *(folder / "train" / "flower-1").iterdir()]:
        path.unlink()


DAMAGES = {
    "missing": (lambda folder: shutil.rmtree(folder / "val"), r"val is missing: put pictures into .*/val/<class>/"),
    "flat": (flatten, r"val holds 48 pictures and no class folders: this is the official layout; move each .*ImageNet"),
    "bare": (lambda folder: shutil.rmtree(folder / "train") or (folder / "train").mkdir(), "holds no class folders"),
    "empty": (empty, r"train/china-2 \(and 1 more\) holds no picture: fill it or remove it"),
    "fewer": (lambda folder: shutil.rmtree(folder / "train" / "china-0"), "has 7 classes, expected 8: .*classes=7"),
    "val": (lambda folder: shutil.rmtree(folder / "val" / "china-0"), "val lacks the class china-0 of .*/train"),
    "train": (lambda folder: (folder / "val" / "x").mkdir(), "val/x holds no picture"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_wrong_folders_are_refused_in_one_line(folder, damage):
    harm, message = DAMAGES[damage]
    harm(folder)
    with pytest.raises(ReproError, match=message) as error:
        find(folder, 8)
    assert "\n" not in str(error.value)


# ---- what cannot be read


def break_pictures(folder):
    """Cut one training picture, empty another and put text into a third."""
    place = folder / "train" / "flower-2"
    whole = (place / "00.jpg").read_bytes()
    (place / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (place / "01.jpg").write_bytes(b"")
    (place / "02.jpg").write_text("<html>not found</html>")
    return {str(place / f"0{number}.jpg") for number in range(3)}


def test_workers_are_those_asked_for_or_a_gpu_s_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("repro.data.loader.cores", lambda: 17)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    places = torch.device("cpu"), torch.device("cuda")
    assert [share_of_cores(workers, place) for workers in (0, 3, -1) for place in places] == [0, 0, 3, 3, 4, 8]


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_pictures_are_named_and_skipped(folder, workers):
    broken = break_pictures(folder)
    batches = loader(find(folder, 8).train, workers=workers, skip=True)
    for epoch in range(2):
        labels = torch.cat([labels for images, labels in batches.at(epoch) if len(images) == len(labels)])
        assert torch.bincount(labels).tolist() == [18] * 6 + [15, 18]
    assert {line.split(" (")[0] for line in batches.unreadable} == broken
    assert len(batches.unreadable) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_picture_is_refused_in_one_line(folder, workers, capfd):
    break_pictures(folder)
    batches = loader(find(folder, 8).train, size=144, workers=workers)
    with pytest.raises(
        ReproError, match=r"flower-2/0\d.jpg \(.*\) cannot be read, 3 of 144 in its batch: .*skip"
    ) as error:
        list(batches)
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err


def test_batch_without_a_readable_picture_is_refused(folder):
    for path in (folder / "train").glob("*/*"):
        path.write_bytes(b"")
    with pytest.raises(ReproError, match="nor any other of the 16 of its batch"):
        list(loader(find(folder, 8).train, skip=True))


HALF = 128
MODES = [
    *(("1", each) for each in ("PNG", "TIFF", "BMP")),
    *(("L", each) for each in ("PNG", "JPEG", "TIFF", "PPM", "WEBP")),
    *(("LA", "PNG"), ("P", "PNG"), ("PA", "TIFF")),
    *(("RGB", each) for each in ("PNG", "JPEG", "TIFF", "PPM", "WEBP", "BMP")),
    *(("RGBA", "PNG"), ("RGBX", "TIFF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG")),
    *(("I;16", each) for each in ("PNG", "TIFF", "PPM")),
    *(("I;16B", "TIFF"), ("I", "TIFF"), ("F", "TIFF"), ("LAB", "TIFF")),
]


@pytest.mark.parametrize(("most", "taken"), [(0, True), (1, False), (4095, False), (4096, True)])
def test_a_picture_of_12_bits_in_16_is_refused_since_it_would_be_black(most, taken):
    file = Image.fromarray(np.linspace(0, most, 1200).astype(np.uint16).reshape(40, 30))
    if taken:
        assert in_colour(file).getextrema()[0] == (0, most // 257)
    else:
        with pytest.raises(ValueError, match=f"no value of its 16 bits is above {most}"):
            in_colour(file)


@pytest.mark.parametrize(("mode", "kind"), MODES, ids=lambda value: value)
def test_grey_is_grey_in_pictures_of_any_mode(tmp_path, mode, kind):
    """Or the picture is refused by its name and mode, never clipped."""
    grey = Image.new("L", (50, 40), HALF)
    if mode.startswith(("I", "F")):
        numbers = {"F": np.float32, "I": np.int32, "I;16": np.uint16, "I;16B": ">u2"}[mode]
        grey = Image.fromarray(np.full((40, 50), 0.5 if mode == "F" else HALF * 257).astype(numbers))
    elif mode == "LAB":
        grey = Image.frombytes("LAB", (50, 40), bytes([HALF, 0, 0]) * 2000)
    elif mode == "PA":
        grey = grey.convert("P").convert("PA")
    elif mode in ("1", "RGBX"):
        grey = (grey.point(lambda _: 255) if mode == "1" else grey.convert("RGB")).convert(mode)
    else:
        grey = grey.convert(mode)
    place = folders.make_folder(tmp_path / "train" / "a") / f"a.{kind.lower()}"
    grey.save(place, kind)
    whole = v2.PILToTensor()
    try:
        ((images, _),) = loader(scan(tmp_path / "train"), size=1, transform=whole)
    except ReproError as error:
        assert mode in ("I", "F"), error
        assert f"{place} (" in str(error)
        assert mode in str(error)
    else:
        assert mode not in ("I", "F")
        assert images.shape == (1, 3, 40, 50)
        wanted = {"1": 255, "LAB": 119}.get(mode, HALF)  # half of LAB's lightness is less in sRGB
        assert (images.int() - wanted).abs().max() <= 3, (images.min(), images.max())


def test_copies_and_loops_in_folders_are_passed_over(folder, capsys):
    before = find(folder, 8)
    assert not capsys.readouterr().err
    place = folder / "train" / "china-0"
    for name in (".ipynb_checkpoints", "@eaDir", "Thumbnails", "#recycle", "lost+found"):
        shutil.copytree(folder / "val" / "china-0", place / name)
    shutil.copytree(folder / "val" / "china-0", folder / "val" / ".cache" / "china-0")
    (place / "again").symlink_to(place)
    (place / "other").symlink_to(folder / "train" / "china-1")
    (place / "up").symlink_to(folder / "train")
    shutil.copytree(folder / "val" / "china-0", folder / "train" / "$RECYCLE.BIN")
    for file in ("00.gif", "01.heic", ".DS_Store"):
        shutil.copy(place / "00.jpg", place / file)
    shutil.copytree(folder / "val" / "china-0", folder.parent / "elsewhere")
    assert find(folder, 8).checksum == before.checksum
    said = capsys.readouterr().err
    assert "/train: 11 entries passed over" in said
    assert "/val: 1 entries passed over" in said
    for name in ("more", "more-again"):
        (place / name).symlink_to(folder.parent / "elsewhere")
    assert len(find(folder, 8).train.names) == len(before.train.names) + 6  # once


class Die(torch.nn.Module):
    def forward(self, picture):
        os._exit(1)


def test_killed_worker_is_told_in_one_line(embedded):
    batches = loader(find(embedded, 8).train, transform=Die(), workers=1)
    with pytest.raises(ReproError, match="a process that reads pictures was killed"):
        list(batches)


# ---- batches


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_every_picture_is_in_one_part_of_one_batch(count, size, processes, shuffled, epoch):
    order = _Order(count, size, 7, shuffled)
    order.epoch = epoch
    whole = [key for batch in order for key in batch]
    seen = {index for index, _ in whole}
    assert seen <= {*range(count)}
    assert len(seen) == len(whole) == count - (shuffled and count % size == 1)  # one by itself cannot be trained on
    parts = []
    for order.process, order.processes in ((process, processes) for process in range(processes)):
        parts += [key for batch in order for key in batch]
    assert sorted(parts) == sorted(whole)


def epoch_of(part, **options):
    """The augmented pictures of two epochs by their numbers."""
    batches, seen = loader(part, **options), []
    for epoch in range(2):
        keys = [index for batch in iter(batches.at(epoch).order) for index, _ in batch]
        images = torch.cat([images for images, _ in batches])
        seen.append(images[torch.tensor(keys).argsort()])
    return seen


def test_augmentation_depends_on_nothing_but_seed_epoch_and_picture(embedded):
    part = find(embedded, 8).train.head(16)
    state = torch.get_rng_state()
    first, second = epoch_of(part)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    for options in ({"size": 6}, {"workers": 2}, {"size": 7, "workers": 1}):
        assert torch.equal(torch.stack(epoch_of(part, **options)), torch.stack([first, second]))
    assert not torch.equal(first, second)
    assert not torch.equal(epoch_of(part, seed=1)[0], first)


def test_validation_pictures_are_the_middle_as_it_stands(embedded):
    part = find(embedded, 8).valid
    (images, labels), *_ = loader(part, shuffled=False, size=48)
    assert torch.equal(labels, part.labels)
    with Image.open(part.path(5)) as picture:
        whole = v2.functional.pil_to_tensor(picture.resize((36, 36), Image.Resampling.BILINEAR))
    assert torch.equal(images[5], whole[:, 2:34, 2:34])


def test_normalise_gives_the_floats_of_the_release():
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    torch.testing.assert_close(normalise(images), (images.float() / 255 - mean) / std)


def test_input_pipeline_is_timed(embedded):
    batches = loader(find(embedded, 8).train)
    assert batches.rate() == 0
    assert len(list(batches)) == len(batches) == 9
    assert batches.images == 144
    assert batches.rate() > 1


def test_batch_too_small_for_the_processes_is_refused(embedded):
    with pytest.raises(UsageError, match=r"batch=28 leaves 4 images to 5 processes: take another batch"):
        loader(find(embedded, 8).train, size=28, processes=5)


def test_real_samples(tmp_path):
    """One real ImageNet picture of each class, if there are some beside the data."""
    samples = os.path.join(os.environ.get("REPRO_DATA", ""), "imagenet-samples")
    if not os.path.isdir(samples):
        pytest.skip("needs real data: REPRO_DATA has no imagenet-samples")
    for name in sorted(os.listdir(samples))[:40]:
        for part in ("train", "val"):
            place = folders.make_folder(tmp_path / part / name.split("_")[0])
            shutil.copy(os.path.join(samples, name), place)
    data = find(tmp_path, 40)
    (images, labels), *_ = loader(data.train, transform=train_transform(224), size=40)
    assert images.shape == (40, 3, 224, 224)
    assert sorted(labels.tolist()) == list(range(40))
