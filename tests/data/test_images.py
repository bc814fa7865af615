"""Images: what is loaded is what was meant, damage is told in one line, and batches continue bit for bit."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.data import cifar10, images
from repro.data.batches import Batches
from repro.data.draws import divide
from repro.data.images import ExpectedImages, Images, load_images, split
from repro.errors import ReproError, UsageError

SMALL = ExpectedImages(20, 10, (32, 32, 3), 10, (0.5,) * 3, (0.25,) * 3)


def arrays(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(30) % 10
    return {"x_train": pixels[:20], "y_train": labels[:20], "x_test": pixels[20:], "y_test": labels[20:]}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(images.SOURCES, "cifar10", SMALL)


def write_batches(folder):
    """Write `cifar-10-batches-py` as torchvision reads it; returns the md5 list of its files."""
    data, root, sums = arrays(), folder / "cifar-10-batches-py", {}
    root.mkdir(parents=True)
    for name, part in (("data_batch_1", "train"), ("test_batch", "test")):
        rows = data[f"x_{part}"].transpose(0, 3, 1, 2).reshape(-1, 3072)
        (root / name).write_bytes(pickle.dumps({"data": rows, "labels": data[f"y_{part}"].tolist()}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    for path in root.iterdir():
        sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    return sums


@pytest.fixture
def batches_folder(tmp_path, monkeypatch, small):
    from torchvision.datasets import CIFAR10

    sums = write_batches(tmp_path)
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return tmp_path


def test_digits_are_the_same_everywhere_and_balanced():
    digits = load_images("digits")
    assert digits.x_train.shape == (1497, 1, 8, 8)
    assert digits.x_test.shape == (300, 1, 8, 8)
    assert torch.bincount(digits.y_test).tolist() == [30] * 10
    assert digits.checksum == "09cb620187c014c8e09cd037b99be477b683260d848ee25e4b77efaa364e4b01"
    pixels = digits.x_train.double() / 255
    torch.testing.assert_close(digits.mean, (pixels.mean().item(),))
    torch.testing.assert_close(digits.std, (pixels.std().item(),))


def test_no_digit_is_both_trained_on_and_tested():
    digits = load_images("digits")
    seen = {x.numpy().tobytes() for x in digits.x_train}
    assert not any(x.numpy().tobytes() in seen for x in digits.x_test)


def test_both_halves_of_the_digits_hold_every_class():
    digits = load_images("digits")
    for half in divide(digits.y_train, split(len(digits.y_train))):
        assert torch.bincount(digits.y_train[half]).min() >= 60


def test_real_cifar10(data_folder):
    if not (data_folder / "cifar10.npz").exists() and not (data_folder / "cifar-10-batches-py").exists():
        pytest.skip(f"needs real data: no CIFAR-10 in {data_folder}")
    cifar = load_images("cifar10", data_folder)
    assert cifar.x_train.shape == (50000, 3, 32, 32)
    assert torch.bincount(cifar.y_train).tolist() == [5000] * 10
    assert torch.bincount(cifar.y_test).tolist() == [1000] * 10
    mean = cifar.x_train.mean(dim=(0, 2, 3), dtype=torch.float32) / 255
    torch.testing.assert_close(mean, torch.tensor(cifar.mean), atol=1e-4, rtol=0)


def test_a_torchvision_download_becomes_the_same_archive(batches_folder):
    first = load_images("cifar10", batches_folder)
    assert (batches_folder / "cifar10.npz").exists()
    (batches_folder / "cifar-10-batches-py").rename(batches_folder / "elsewhere")
    second = load_images("cifar10", batches_folder)
    assert first.checksum == second.checksum == cifar10.checksum(arrays())
    assert torch.equal(second.x_train, torch.from_numpy(arrays()["x_train"]).permute(0, 3, 1, 2))
    assert [path.name for path in batches_folder.glob("*.partial")] == []


def test_a_folder_that_cannot_be_written_still_serves(batches_folder, monkeypatch, capfd):
    monkeypatch.setattr(cifar10.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("read-only")))
    load_images("cifar10", batches_folder)
    assert "cannot be written (read-only)" in capfd.readouterr().err
    assert not (batches_folder / "cifar10.npz").exists()


def test_a_wrong_md5_sum_is_refused(batches_folder):
    path = batches_folder / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ReproError, match="wrong md5 sum"):
        load_images("cifar10", batches_folder)


def test_offline_it_says_what_to_put_where(tmp_path, monkeypatch):
    with pytest.raises(ReproError, match=r"put cifar10.npz or torchvision's cifar-10-batches-py/ into"):
        load_images("cifar10", tmp_path)
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "none"))
    with pytest.raises(ReproError, match=r"into .*none \(--data or REPRO_DATA"):
        load_images("cifar10")
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        load_images("cifar", tmp_path)


def test_a_failed_download_says_what_to_put_where(tmp_path, monkeypatch):
    import torchvision

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", offline)
    with pytest.raises(ReproError, match=r"no route to host.*put cifar10.npz"):
        cifar10.fetch(tmp_path / "new")


def test_fetch_makes_the_archive_from_what_torchvision_got(batches_folder):
    from torchvision.datasets import CIFAR10

    assert CIFAR10(batches_folder)._check_integrity()  # so that nothing is downloaded here
    cifar10.fetch(batches_folder)
    assert (batches_folder / "cifar10.npz").exists()
    assert load_images("cifar10", batches_folder).x_train.shape == (20, 3, 32, 32)


def test_a_changed_byte_is_noticed(tmp_path, small):
    path = tmp_path / "cifar10.npz"
    cifar10.write(path, arrays())
    data = bytearray(path.read_bytes())
    data[20000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReproError, match="cannot be read"):
        load_images("cifar10", tmp_path)


def test_images_in_another_order_are_not_the_released_ones(tmp_path, monkeypatch):
    held = arrays()
    binary = [
        b"".join(bytes([y]) + x.transpose(2, 0, 1).tobytes() for x, y in zip(*part, strict=True))
        for part in ((held["x_train"], held["y_train"]), (held["x_test"], held["y_test"]))
    ]
    sums = tuple(hashlib.sha1(each).hexdigest() for each in binary)
    monkeypatch.setitem(images.SOURCES, "cifar10", SMALL._replace(sha1=sums))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path))
    cifar10.write(tmp_path / "cifar10.npz", held)
    assert images.check("cifar10") == cifar10.checksum(held)
    order = held["y_test"].argsort()[::-1]
    cifar10.write(tmp_path / "cifar10.npz", {**held, "x_test": held["x_test"][order], "y_test": held["y_test"][order]})
    with pytest.raises(ReproError, match="cifar10 is not the released one: the sha1 of its images from 10,000 on"):
        images.check("cifar10")


def test_a_wrong_checksum_is_noticed(tmp_path, small):
    np.savez(tmp_path / "cifar10.npz", **arrays(), checksum=np.array("0" * 64))
    with pytest.raises(ReproError, match="wrong checksum"):
        load_images("cifar10", tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "cifar10.npz").write_bytes(content)
    with pytest.raises(ReproError, match="delete it"):
        load_images("cifar10", tmp_path)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "cifar10.npz", **arrays() | {"y_test": np.array([{}], dtype=object)})
    with pytest.raises(ReproError, match="cannot be read"):
        load_images("cifar10", tmp_path)


def test_a_truncated_archive_is_refused(tmp_path, small):
    path = tmp_path / "cifar10.npz"
    cifar10.write(path, arrays())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ReproError, match="cannot be read"):
        load_images("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": None}, "lacks an array"),
        ({"x_train": arrays()["x_train"][:, :28]}, r"x_train is uint8 \(20, 28, 32, 3\), expected"),
        ({"x_test": arrays()["x_test"].astype(np.float32)}, "x_test is float32"),
        ({"y_train": arrays()["y_train"][:19]}, r"y_train is int64 \(19,\), expected int64 \(20,\)"),
        ({"y_train": arrays()["y_train"].astype(np.int32)}, "y_train is int32"),
        ({"y_test": arrays()["y_test"] + 1}, "labels 1 to 10"),
        ({"y_test": arrays()["y_test"] % 9}, "labels 0 to 8, expected all of 10"),
    ],
)
def test_wrong_arrays_are_refused_by_name(tmp_path, small, change, message):
    changed = {name: value for name, value in (arrays() | change).items() if value is not None}
    np.savez(tmp_path / "cifar10.npz", **changed)
    with pytest.raises(ReproError, match=message):
        load_images("cifar10", tmp_path)


def test_split_is_where_the_release_cuts():
    assert split(50000) == 25000
    assert split(1497) == 748
    labels = torch.arange(50000) * 7919 % 10
    assert divide(labels, 25000) == (slice(0, 25000), slice(25000, None))


def test_a_draw_from_sorted_data_keeps_every_class(capsys):
    labels = torch.arange(900) // 300
    images = Images("mine", torch.arange(900)[:, None], labels, *[torch.zeros(1)] * 2, 3, (0.0,), (1.0,), "")
    assert torch.bincount(images.head(300).y_train).tolist() == [100] * 3
    assert "would hold 1 of 3 classes; drawn by class instead, 100 to 100 of each" in capsys.readouterr().err
    held = images.head(0, last=30)
    assert torch.bincount(held.y_train[-30:]).tolist() == [10] * 3
    assert sorted(held.x_train.flatten().tolist()) == list(range(900))
    for fraction in (0.1, 0.5, 0.9):
        chosen, others = divide(labels, split(900, fraction))
        assert torch.bincount(labels[chosen]).tolist() == [300 * fraction] * 3
        assert sorted([*chosen.tolist(), *others.tolist()]) == list(range(900))


def test_a_rare_class_is_on_both_sides_of_a_cut():
    labels = torch.tensor([0] * 90 + [1] * 2)
    assert [labels[part].sum().item() for part in divide(labels, 46)] == [1, 1]
    assert labels[divide(labels, 4, both=False)[0]].tolist() == [0, 0, 1, 1]
    assert labels[divide(labels, 1, both=False)[0]].tolist() == [0]


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan")])
def test_a_fraction_outside_0_1_is_refused(fraction):
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(100, fraction)


def test_a_split_with_an_empty_half_is_refused():
    with pytest.raises(UsageError, match="one half empty"):
        split(3, 0.1)


def numbered(n):
    return torch.arange(n).reshape(n, 1, 1, 1).to(torch.uint8), torch.arange(n)


@given(st.integers(1, 60), st.data(), st.booleans())
def test_an_epoch_holds_every_image_once(n, data, drop_last):
    """But for a last one that would be a batch by itself."""
    size = data.draw(st.integers(1, n))
    batches = Batches(*numbered(n), size, seed=1, drop_last=drop_last)
    labels = [y for _, y in batches]
    assert len(labels) == len(batches)
    seen = torch.cat(labels).tolist()
    assert len(set(seen)) == len(seen) == (n - n % size * (drop_last or n % size == 1))


@given(st.integers(2, 40), st.data())
def test_batches_continue_bit_for_bit(n, data):
    size, steps, more = (data.draw(st.integers(1, m)) for m in (n, 30, 30))
    batches = Batches(*numbered(n), size, seed=3)
    for _ in range(steps):
        batches.next()
    other = Batches(*numbered(n), size, seed=4)
    other.load_state_dict(batches.state_dict())
    for _ in range(more):
        for a, b in zip(batches.next(), other.next(), strict=True):
            assert torch.equal(a, b)


def test_iterating_goes_on_in_the_middle_of_an_epoch():
    batches = Batches(*numbered(11), 3, seed=0)
    first = [batches.next()[1]]
    rest = [y for _, y in batches]
    assert sorted(torch.cat(first + rest).tolist()) == list(range(11))
    assert len(list(batches)) == 4


def test_epochs_and_seeds_differ_and_images_stay_with_their_labels():
    batches = Batches(*numbered(50), 50, seed=0)
    (x, first), (_, second) = batches.next(), batches.next()
    assert torch.equal(x.flatten().long(), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first, Batches(*numbered(50), 50, seed=1).next()[1])


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_batch_that_cannot_be_drawn_is_refused(size):
    with pytest.raises(UsageError, match="choose 1 to 10"):
        Batches(*numbered(10), size, seed=0)


def test_state_and_labels_of_other_data_are_refused():
    batches = Batches(*numbered(10), 2, seed=0)
    with pytest.raises(ReproError, match="shuffles 9 images"):
        batches.load_state_dict(Batches(*numbered(9), 2, seed=0).state_dict())
    with pytest.raises(ReproError, match="one each"):
        Batches(torch.zeros(3, 1, 1, 1), torch.zeros(2), 1, seed=0)
