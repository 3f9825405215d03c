"""Saliency and GrabCut: the gradient by hand, objects found by colour, nothing where nothing is."""

import cv2
import numpy as np
import pytest
import torch

from workflow.lib.evidence.grabcut import cut, cut_tiles, saliency

SIDE = 64
RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
DISC = (ROWS - 40) ** 2 + (COLUMNS - 24) ** 2 < 14**2


@pytest.fixture
def tile():
    """A dark disc on light ground, both with noise."""
    pixels = RNG.integers(190, 220, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[DISC] = RNG.integers(60, 100, (DISC.sum(), 3))
    return pixels


@pytest.fixture
def salient():
    """Speckle on a part of the disc, as a classifier has it; little on the rest of it."""
    speckle = RNG.random((SIDE, SIDE))
    strength = np.where(DISC, np.where(ROWS < 40, 1, 0.1), 0.01)
    return (strength * speckle).astype(np.float32)


def overlap(mask):
    return (DISC & (mask > 0)).sum() / (DISC | (mask > 0)).sum()


def test_the_foreground_grows_from_the_salient_part_to_the_whole_object(tile, salient):
    mask = cut(tile, salient, seed=0)
    assert mask.dtype == np.float32 and set(np.unique(mask)) == {0, 1}
    assert (salient > np.quantile(salient, 0.95))[DISC].sum() < 0.4 * DISC.sum()
    assert overlap(mask) > 0.97


def test_seeds_are_above_95_and_below_30_percent_of_smooth_saliency(tile, salient, monkeypatch):
    given = {}

    def see(image, mask, rectangle, background, foreground, iterations, mode):
        given.update(image=image, mask=mask.copy(), iterations=iterations, mode=mode)

    monkeypatch.setattr(cv2, "grabCut", see)
    cut(tile, salient, seed=0)
    counts = np.bincount(given["mask"].ravel(), minlength=4) / SIDE**2
    assert counts[cv2.GC_FGD] == pytest.approx(0.05, abs=0.001)
    assert counts[cv2.GC_BGD] == pytest.approx(0.30, abs=0.001)
    assert counts[cv2.GC_PR_BGD] == pytest.approx(0.65, abs=0.002)
    smooth = cv2.GaussianBlur(salient, (0, 0), 2.0)
    assert smooth[given["mask"] == cv2.GC_FGD].min() > smooth[given["mask"] != cv2.GC_FGD].max()
    assert smooth[given["mask"] == cv2.GC_BGD].max() < smooth[given["mask"] != cv2.GC_BGD].min()
    assert np.array_equal(given["image"], tile[..., ::-1])
    assert (given["iterations"], given["mode"]) == (5, cv2.GC_INIT_WITH_MASK)


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_saliency_without_contrast_is_no_foreground(tile, value):
    assert not cut(tile, np.full((SIDE, SIDE), value, np.float32), seed=0).any()


def test_a_tile_without_contrast_is_no_foreground(salient):
    assert not cut(np.full((SIDE, SIDE, 3), 230, np.uint8), salient, seed=0).any()


def test_saliency_that_is_not_finite_is_not_hidden(tile, salient):
    salient[3, 4] = np.nan
    assert np.isnan(cut(tile, salient, seed=0)).all()
    found = cut_tiles(as_tensor(tile), torch.from_numpy(salient)[None, None], seed=0)
    assert found.isnan().all()


def as_tensor(tile):
    return torch.from_numpy(tile).permute(2, 0, 1)[None] / 255


def test_a_mask_does_not_depend_on_those_before_it(tile, salient):
    noise = RNG.integers(0, 255, tile.shape, dtype=np.uint8)
    first = cut(noise, salient, seed=0)
    cut(tile, salient, seed=7)
    assert np.array_equal(cut(noise, salient, seed=0), first)


def test_cells_are_what_most_of_their_pixels_are(tile, salient):
    both = torch.stack([torch.from_numpy(salient), torch.zeros(SIDE, SIDE)])[None]
    found = cut_tiles(as_tensor(tile), both, seed=0)
    assert found.shape == (1, 2, 16, 16) and found.dtype == torch.float32
    pixels = cut(tile, salient, seed=0).reshape(16, 4, 16, 4).mean(axis=(1, 3))
    assert np.array_equal(found[0, 0].numpy(), pixels > 0.5)
    assert not found[0, 1].any()


def test_saliency_is_the_largest_gradient_over_rgb():
    """Scores 3 R - 5 G and (B of one pixel) squared."""
    tiles = torch.rand(11, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def score(shown):
        first = 3 * shown[:, 0].sum(dim=(1, 2)) - 5 * shown[:, 1].sum(dim=(1, 2))
        return torch.stack([first, shown[:, 2, 1, 2] ** 2], dim=1)

    with torch.inference_mode():  # as inference runs it
        found = saliency(tiles, score)
    assert found.shape == (11, 2, 4, 4) and not found.requires_grad
    assert (found[:, 0] == 5).all()
    expected = torch.zeros(11, 4, 4)
    expected[:, 1, 2] = 2 * tiles[:, 2, 1, 2]
    assert torch.allclose(found[:, 1], expected)
