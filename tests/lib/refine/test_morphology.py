"""Cleaning of evidence: by hand, and against cleaning the cut of every threshold."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from workflow.lib.refine.morphology import clean

NONE = {"open_um": 0, "min_object_um2": 0, "max_hole_um2": 0, "mpp": 1.0}


def cleaned(tile, **changes):
    return clean(torch.tensor(np.float32(tile))[None], **(NONE | changes))[0].numpy()


def drop_small(mask, least, structure):
    """Without what is small and known whole: what touches the border goes on beyond it."""
    ids, count = ndimage.label(mask, structure)
    kept = np.bincount(ids.ravel(), minlength=count + 1) >= least
    for edge in (ids[0], ids[-1], ids[:, 0], ids[:, -1]):
        kept[edge] = True
    return mask & kept[ids]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), open_um=st.sampled_from([0, 2, 4]))
def test_every_cut_is_the_cut_cleaned(seed, open_um):
    rng = np.random.default_rng(seed)
    tile = np.round(ndimage.gaussian_filter(rng.random((24, 24)), 1.0), 3)
    found = cleaned(tile, open_um=open_um, min_object_um2=6, max_hole_um2=9)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (open_um + 1, open_um + 1))
    for level in (0.3, 0.45, 0.5, 0.55, 0.7):
        mask = (tile >= level).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc) > 0 if open_um else mask > 0
        mask = drop_small(mask, 6, np.ones((3, 3)))
        mask = ~drop_small(~mask, 9, None)
        assert np.array_equal(found >= level - 1e-6, mask)


def test_sizes_are_micrometres():
    tile = np.zeros((20, 20))
    tile[2:4, 2:4] = 0.8  # 4 px, 16 um2 at 2 um
    tile[10:15, 10:15] = 0.6
    tile[12, 12] = 0.1  # a hole of 4 um2
    found = cleaned(tile, min_object_um2=17, max_hole_um2=5, mpp=2.0)
    assert not found[2:4, 2:4].any()
    assert found[10:15, 10:15] == pytest.approx(0.6)
    kept = cleaned(tile, min_object_um2=16, max_hole_um2=4, mpp=2.0)
    assert kept == pytest.approx(np.round(tile, 3))


def test_what_goes_on_beyond_the_tile_stays():
    tile = np.full((64, 64), 0.9)
    tile[:20, :20] = 0.1  # background of unknown size in a corner
    assert cleaned(tile, max_hole_um2=2000) == pytest.approx(np.round(tile, 3))
    assert cleaned(1 - tile, min_object_um2=2000) == pytest.approx(np.round(1 - tile, 3))
    whole = np.pad(tile, 5, constant_values=0.9)
    assert cleaned(whole, max_hole_um2=2000) == pytest.approx(0.9)


def test_what_is_flat_or_empty_stays():
    assert cleaned(np.full((8, 8), 0.4), open_um=4, min_object_um2=9) == pytest.approx(0.4)
    assert clean(torch.zeros(0, 8, 8), **NONE).shape == (0, 8, 8)
