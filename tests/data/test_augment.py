"""Augmentation: torchvision's values bit for bit, its distribution, the release's cutout, and a resumable stream."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torchvision import transforms
from torchvision.transforms import functional

from repro.data.augment import Augment, crop_and_flip, cut_out
from repro.errors import UsageError

MEAN, STD = (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)


def pictures(n, channels=3, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, size, size), generator=generator, dtype=torch.uint8)


def draws_of(numbers, count):
    """The middles of the intervals of [0, 1) that stand for these of `count` numbers."""
    return (torch.as_tensor(numbers) + 0.5) / count


@given(st.integers(0, 4), st.booleans(), st.integers(1, 6), st.integers(0, 1000))
def test_crop_and_flip_are_torchvisions_bit_for_bit(padding, flip, n, seed):
    x, rng = pictures(n, size=9, seed=seed), np.random.default_rng(seed)
    top, left = rng.integers(0, 2 * padding + 1, (2, n))
    mirrored = rng.integers(0, 2, n)
    draws = (draws_of(top, 2 * padding + 1), draws_of(left, 2 * padding + 1), draws_of(mirrored == 0, 2))
    ours = Augment(MEAN, STD, seed=0).normalise(crop_and_flip(x, *draws, padding=padding, flip=flip))
    for i in range(n):
        image = functional.crop(functional.pad(x[i], padding), top[i], left[i], 9, 9)
        image = functional.hflip(image) if flip and mirrored[i] else image
        image = functional.to_tensor(functional.to_pil_image(image))
        assert torch.equal(ours[i], functional.normalize(image, MEAN, STD))


def places(x, size=8):
    """Read off images of ones at 1 + position where each was moved to, as counts of (row, column, mirrored)."""
    counts = np.zeros((9, 9, 2))
    middle = x[:, size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1].long() - 1
    mirrored = middle[:, 0, 0] > middle[:, 0, 1]
    rows = middle[:, 0, 0] // size
    columns = torch.where(mirrored, middle[:, 0, 1], middle[:, 0, 0]) % size
    np.add.at(counts, (rows.numpy(), columns.numpy(), mirrored.long().numpy()), 1)
    return counts


def test_crop_and_flip_are_distributed_like_torchvisions():
    size, n = 8, 20000
    image = (torch.arange(size * size, dtype=torch.uint8) + 1).view(1, size, size)
    padding = 3  # the middle of the image stays inside, so every place can be read off
    theirs = transforms.Compose([transforms.RandomCrop(size, padding=padding), transforms.RandomHorizontalFlip()])
    torch.manual_seed(0)
    expected = places(torch.cat([theirs(image) for _ in range(n)]))
    draws = torch.rand(3, n, generator=torch.Generator().manual_seed(0))
    observed = places(crop_and_flip(image.expand(n, 1, size, size), *draws, padding=padding, flip=True)[:, 0])
    kept = expected > 0
    assert kept.sum() == 7 * 7 * 2
    assert np.array_equal(kept, observed > 0)
    for counts in (expected, observed):
        assert chisquare(counts[kept]).pvalue > 0.001
    # two samples of one distribution: the sum of squared differences over the sums is chi-square too
    statistic = ((expected - observed)[kept] ** 2 / (expected + observed)[kept]).sum()
    assert statistic < 98 + 4 * (2 * 98) ** 0.5


def cutout_mask(size, y, x, length):
    """One image's mask as DARTS defines it: a square around (y, x), clipped at the border."""
    mask = np.ones((size, size), np.float32)
    top, bottom = np.clip([y - length // 2, y + length // 2], 0, size)
    left, right = np.clip([x - length // 2, x + length // 2], 0, size)
    mask[top:bottom, left:right] = 0
    return mask


@pytest.mark.parametrize("length", [1, 2, 5, 16, 40])
def test_cutout_of_every_centre_is_the_definition(length):
    size = 32 if length == 16 else 12
    y, x = (grid.flatten() for grid in torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    masks = cut_out(torch.ones(size * size, 2, size, size), draws_of(y, size), draws_of(x, size), length=length)
    expected = np.stack([cutout_mask(size, *centre, length) for centre in zip(y.tolist(), x.tolist(), strict=True)])
    assert np.array_equal(masks[:, 0].numpy(), expected)
    assert torch.equal(masks[:, 0], masks[:, 1])


def test_cutout_removes_what_the_definition_removes_on_average():
    augment = Augment(MEAN, STD, seed=0, padding=0, flip=False, cutout=16)
    kept = (augment(torch.full((4000, 3, 32, 32), 255, dtype=torch.uint8)) != 0).float().mean(dim=(0, 1)).numpy()
    centres = [(y, x) for y in range(32) for x in range(32)]
    expected = np.mean([cutout_mask(32, y, x, 16) for y, x in centres], axis=0)
    assert np.abs(kept - expected).max() < 0.035  # four deviations of a mean of 4,000 coins


def test_padding_is_black_before_normalisation_and_cutout_zero_after_it():
    x = torch.full((64, 3, 32, 32), 200, dtype=torch.uint8)
    black = Augment(MEAN, STD, seed=0).normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))
    inside = Augment(MEAN, STD, seed=0).normalise(x[:1, :, :1, :1])
    values = Augment(MEAN, STD, seed=1, cutout=16)(x)
    allowed = (values == black) | (values == inside) | (values == 0)
    assert allowed.all()
    assert all((values == value).any() for value in (black, inside, torch.zeros(1)))


def test_the_largest_draw_stays_inside():
    x, last = pictures(1), torch.tensor([1 - 2.0**-24])
    for padding in range(9):
        moved = crop_and_flip(x, last, last, last, padding=padding, flip=True)
        assert torch.equal(moved[..., : 32 - padding, : 32 - padding], x[..., padding:, padding:])


def test_nothing_asked_is_normalisation_alone_and_the_images_stay_as_they_were():
    x = pictures(4, channels=1, size=8)
    before, augment = x.clone(), Augment((0.3,), (0.4,), seed=0, padding=0, flip=False)
    assert torch.equal(augment(x), augment.normalise(x))
    Augment((0.3,), (0.4,), seed=0, padding=1, cutout=2)(x)
    assert torch.equal(x, before)
    assert augment(x).is_contiguous()


def test_the_stream_is_seeded_and_continues_bit_for_bit():
    x = pictures(5)
    first, other = Augment(MEAN, STD, seed=0, cutout=8), Augment(MEAN, STD, seed=1, cutout=8)
    assert not torch.equal(first(x), other(x))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(x), other(x))


@pytest.mark.parametrize("wrong", [{"padding": -1}, {"cutout": -2}])
def test_negative_pixels_are_refused(wrong):
    with pytest.raises(UsageError, match="from 0"):
        Augment(MEAN, STD, seed=0, **wrong)
