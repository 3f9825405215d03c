"""Cams: scaling, upsampling, and whose evidence is shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.evidence.cams import (
    CamTally,
    evidence_class,
    normalise,
    scale_cams,
    scale_of,
    shrink,
    slide_evidence,
    upsample,
)

CLASSES = ["normal", "tumour", "stroma"]


def test_normalise_puts_low_at_0_and_high_at_1_and_clips_outside():
    cam = torch.tensor([-2.0, 0.0, 1.0, 4.0, 9.0])
    assert normalise(cam, 0.0, 4.0).tolist() == [0.0, 0.0, 0.25, 1.0, 1.0]


def test_not_a_number_is_no_evidence():
    cam = torch.tensor([float("nan"), 2.0, 4.0])
    assert normalise(cam, 2.0, 4.0).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("bounds", [(3.0, 3.0), (4.0, 3.0), (float("nan"), 1.0)])
def test_a_map_without_contrast_is_no_evidence(bounds):
    assert normalise(torch.full((2, 2), 3.0), *bounds).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_half_precision_evidence_is_scaled_in_full_precision():
    scaled = normalise(torch.tensor([1.0, 1.5, 2.0], dtype=torch.float16), 1.0, 2.0)
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == [0.0, 0.5, 1.0]


def test_minmax_is_of_the_slide_not_of_the_tile():
    """A tile without tumour stays low beside the tumour of the same slide."""
    cams = torch.zeros(2, 2, 1, 2)
    cams[0, 1] = torch.tensor([[8.0, 10.0]])  # tumour
    cams[1, 1] = torch.tensor([[0.0, 1.0]])  # noise of a normal tile
    scaled = scale_cams(cams, 1, scale="minmax", low=0.0, high=10.0)
    assert scaled[0].tolist() == [[pytest.approx(0.8), 1.0]]
    assert scaled[1].tolist() == [[0.0, pytest.approx(0.1)]]


def test_minmax_tile_is_of_each_tile():
    """The published rule for an image, where images are tiles: noise is stretched as well."""
    cams = torch.zeros(3, 2, 1, 3)
    cams[0, 1] = torch.tensor([[8.0, 9.0, 10.0]])
    cams[1, 1] = torch.tensor([[0.0, 0.25, 1.0]])
    cams[2, 1] = 5.0  # says nothing about where
    scaled = scale_cams(cams, 1, scale="minmax_tile", low=0.0, high=10.0)
    assert scaled.flatten(1).tolist() == [[0.0, 0.5, 1.0], [0.0, 0.25, 1.0], [0.0, 0.0, 0.0]]


def test_softmax_compares_the_classes_at_each_location():
    cams = torch.tensor([[[[0.0, 5.0]], [[np.log(3.0), 5.0]]]])
    scaled = scale_cams(cams, 1, scale="softmax", low=0.0, high=0.0)
    assert scaled.flatten().tolist() == pytest.approx([0.75, 0.5])


def test_softmax_needs_two_classes():
    with pytest.raises(ValueError, match="one class"):
        scale_cams(torch.zeros(1, 1, 2, 2), 0, scale="softmax", low=0.0, high=1.0)


@pytest.mark.parametrize("cam", CAMS)
def test_classes_are_compared_by_cams_alone(cam):
    assert scale_of(cam, "minmax") == "minmax"
    assert scale_of(cam, "minmax_tile") == ("minmax" if cam == "grabcut" else "minmax_tile")
    assert scale_of(cam, "softmax") == ("softmax" if cam == "cam" else "minmax")
    maps = np.array([[0.0, np.log(3.0)], [1.0, 0.0]], np.float32).reshape(2, 2, 1, 1)
    facts = {"cam": cam, "class": "tumour", "low": 0.0, "high": 4 * np.log(3.0)}
    found = slide_evidence(maps, CLASSES[:2], facts, scale="softmax").flatten().tolist()
    expected = [0.75, 1 / (1 + np.e)] if cam == "cam" else [0.25, 0.0]
    assert found == pytest.approx(expected)


def test_an_unknown_scale_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="write minmax, minmax_tile or softmax"):
        scale_cams(torch.zeros(1, 2, 2, 2), 0, scale="relu", low=0.0, high=1.0)


@pytest.mark.parametrize("scale", ["minmax", "minmax_tile", "softmax"])
def test_no_tiles_stay_no_tiles(scale):
    scaled = scale_cams(torch.zeros(0, 2, 4, 4), 1, scale=scale, low=0.0, high=0.0)
    assert upsample(scaled, 32).shape == (0, 32, 32)


def test_a_hot_cell_lands_on_its_own_pixels():
    cams = torch.zeros(1, 4, 4)
    cams[0, 2, 1] = 1.0
    pixels = upsample(cams, 128)[0]
    rows, columns = torch.where(pixels > 0.9)
    assert rows.float().mean() == pytest.approx(2 * 32 + 15.5)
    assert columns.float().mean() == pytest.approx(1 * 32 + 15.5)
    assert pixels[:, 64 + 16 :].max() == 0  # half a cell beyond its neighbour's middle: nothing


def test_upsampling_commutes_with_flips_and_quarter_turns():
    """So a cam may be turned together with its tile after upsampling."""
    cams = torch.rand(1, 5, 5)
    assert torch.allclose(upsample(cams, 40).flip(2), upsample(cams.flip(2), 40), atol=1e-6)
    assert torch.allclose(upsample(cams, 40).rot90(1, (1, 2)), upsample(cams.rot90(1, (1, 2)), 40))


def blocks(maps, logits, size=2):
    for start in range(0, len(maps), size):
        rows = slice(start, min(start + size, len(maps)))
        yield rows, maps[rows], logits[rows]


def test_the_tally_notes_logits_and_extremes_while_cams_pass():
    maps = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)
    said = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    tally = CamTally(5, 3)
    passed = np.concatenate(list(tally.watch(blocks(maps, said))))
    assert passed.dtype == np.float16
    assert np.array_equal(passed, maps.astype(np.float16))
    assert np.array_equal(tally.logits, said)  # not the mean of what is shown
    chosen = np.array([True, False, True, True, False])
    stored = maps[chosen, 1].astype(np.float16)
    assert tally.span(1, chosen) == (float(stored.min()), float(stored.max()))


def test_the_span_of_no_tiles_is_without_contrast():
    assert CamTally(0, 2).span(1, np.zeros(0, bool)) == (0.0, 0.0)
    assert CamTally(2, 2).span(1, np.zeros(2, bool)) == (0.0, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_evidence_that_is_not_finite_stops_with_its_tile(value):
    maps = np.zeros((5, 2, 4, 4), np.float32)
    maps[3, 1, 2, 2] = value
    with pytest.raises(ValueError, match="tile 3 is not a finite number"):
        list(CamTally(5, 2).watch(blocks(maps, np.zeros((5, 2)))))


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="'tumor' is not a class; the classes are normal, tumour"):
        evidence_class([0.5, 0.5], CLASSES[:2], label="tumor")


def test_a_study_of_only_the_negative_class_has_nothing_to_show():
    with pytest.raises(ValueError, match="add a class to find"):
        evidence_class([1.0], ["normal"], label=None, negative="normal")


def test_shrinking_averages_areas():
    tile = torch.tensor([[[0.0, 1.0, 0.5, 0.5], [1.0, 0.0, 0.5, 0.5]] * 2])
    assert shrink(tile, 2).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    assert shrink(tile, 4).tolist() == [[[0.5]]]
    assert torch.equal(shrink(tile, 1), tile)


@given(st.integers(0, 3), st.sampled_from([1, 2, 4, 8]))
def test_shrinking_keeps_the_mean(batch, downsample):
    tile = torch.rand(batch, 16, 16, generator=torch.Generator().manual_seed(batch))
    small = shrink(tile, downsample)
    assert small.shape == (batch, 16 // downsample, 16 // downsample)
    assert torch.allclose(small.mean(dim=(1, 2)), tile.mean(dim=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("downsample", [0, 3, 32])
def test_a_downsample_that_would_cut_pixels_off_is_refused(downsample):
    with pytest.raises(ValueError, match="does not divide the tile's 16 px"):
        shrink(torch.zeros(1, 16, 16), downsample)
