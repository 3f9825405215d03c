"""The 24 features of a pixel, by hand and against numpy; the illumination that is taken out."""

import numpy as np
import pytest
import torch

from workflow.lib.refine.pixel_features import COUNT, correct_illumination, describe_pixels


def grey_tile(grey):
    """An RGB tile (1, 3, H, W) whose luma is `grey` (H, W)."""
    return torch.as_tensor(grey, dtype=torch.float32).expand(1, 3, *np.shape(grey))


def by_numpy(grey, y, x):
    near = grey[y - 1 : y + 2, x - 1 : x + 2].ravel()
    down, across = np.gradient(grey)  # central differences, but for the edges
    steep = np.hypot(down, across)[y - 1 : y + 2, x - 1 : x + 2].ravel()
    moments = [((near - near.mean()) ** r).sum() / 9 for r in (2, 3, 4)]
    return [*near, np.median(near), np.ptp(near), (near**2).sum(), *moments, *steep]


def test_every_feature_is_what_numpy_says():
    grey = np.random.default_rng(0).random((9, 11))
    found = describe_pixels(grey_tile(grey), illumination_px=0)
    assert found.shape == (1, COUNT, 9, 11)
    for y, x in ((2, 2), (4, 7), (6, 8)):
        assert found[0, :, y, x].numpy() == pytest.approx(by_numpy(grey, y, x), abs=1e-5)


def test_a_flat_tile_has_its_grey_value_and_nothing_else():
    found = describe_pixels(torch.full((2, 3, 5, 5), 0.5), illumination_px=0)[1, :, 2, 2]
    expected = [0.5] * 10 + [0, 9 * 0.25, 0, 0, 0] + [0] * 9
    assert found.numpy() == pytest.approx(expected, abs=1e-6)


def test_colours_count_as_the_eye_sees_them_and_edges_are_mirrored():
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    assert describe_pixels(red, illumination_px=0)[0, 4, 1, 1].item() == pytest.approx(0.299)
    ramp = np.linspace(0, 1, 6) * np.ones((6, 1))
    found = describe_pixels(grey_tile(ramp), illumination_px=0)[0, :, 3, 0]
    assert found[:9].reshape(3, 3).numpy() == pytest.approx(np.array([[0.2, 0, 0.2]] * 3), abs=1e-6)
    assert found[19].item() == pytest.approx(0, abs=1e-6)  # no gradient across a mirror


def test_slow_light_is_taken_out_and_what_is_small_stays():
    texture = 0.5 + 0.1 * (np.indices((64, 64)).sum(0) % 2)
    light = np.linspace(0.6, 1.0, 64) * np.ones((64, 1))
    lit = torch.as_tensor(texture * light, dtype=torch.float32)[None]
    found = correct_illumination(lit, sd_px=6.0)[0].numpy()
    inner = (slice(16, 48), slice(16, 48))
    assert np.corrcoef(found[inner].ravel(), texture[inner].ravel())[0, 1] > 0.98
    assert np.corrcoef(lit[0].numpy()[inner].ravel(), texture[inner].ravel())[0, 1] < 0.9
    assert found.mean() == pytest.approx(lit.mean().item(), rel=0.02)
    assert torch.equal(correct_illumination(lit, sd_px=0), lit)


def test_light_of_one_strength_stays_and_black_is_no_division_by_zero():
    flat = torch.full((1, 8, 8), 0.3)
    assert correct_illumination(flat, sd_px=3.0) == pytest.approx(flat, abs=1e-6)
    assert not correct_illumination(torch.zeros(1, 8, 8), sd_px=3.0).any()
