"""Channels: edges and stains are what scikit-image computes, whatever the precision around them."""

import numpy as np
import pytest
import torch
from skimage.color import hed2rgb, rgb2hed
from skimage.filters import sobel_h, sobel_v

from workflow.lib.tiles.augmentation import LUMA
from workflow.lib.tiles.channels import STATISTICS, Channels, edges, stains


def tiles(count=2, side=24, seed=0, dark=1):
    """Tiles of whole grey levels, none below `dark`, as they come from a store."""
    levels = np.random.default_rng(seed).integers(dark, 256, (count, 3, side, side))
    return torch.from_numpy(levels / 255).float()


def test_rgb_is_left_as_it_is():
    x = tiles()
    assert Channels("rgb")(x) is x


def test_stains_are_those_of_scikit_image():
    """Which divides the density by that of one part in a million."""
    x = tiles()
    expected = rgb2hed(x.double().permute(0, 2, 3, 1).numpy()) * -np.log(1e-6)
    assert np.allclose(stains(x).permute(0, 2, 3, 1).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("stain", [0, 1])
def test_a_pure_stain_is_found_alone(stain):
    amounts = np.zeros((1, 1, 3))
    amounts[..., stain] = 0.05
    x = torch.from_numpy(hed2rgb(amounts)).float().permute(2, 0, 1)[None]
    found = stains(x).flatten().tolist()
    assert found[stain] == pytest.approx(0.05 * -np.log(1e-6), rel=1e-3)
    assert [found[other] for other in range(3) if other != stain] == pytest.approx([0, 0], abs=1e-3)


def test_black_is_as_dark_as_the_darkest_grey_level():
    black, darkest = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 1 / 255)
    assert torch.isfinite(stains(black)).all()
    assert torch.equal(stains(black), stains(darkest))


def test_edges_are_those_of_scikit_image():
    x = tiles(dark=0)
    found = edges(x).numpy()
    for tile, maps in zip(x, found, strict=True):
        grey = np.tensordot(LUMA.numpy(), tile.numpy(), 1)
        assert np.allclose(maps[0], sobel_v(grey), atol=1e-5)
        assert np.allclose(maps[1], sobel_h(grey), atol=1e-5)
        assert np.allclose(maps[2], np.hypot(sobel_v(grey), sobel_h(grey)), atol=1e-5)


def test_a_step_from_black_to_white_is_one():
    x = torch.zeros(1, 3, 4, 6)
    x[..., 3:] = 1
    along_x, along_y, length = edges(x)[0]
    expected = torch.tensor([0.0, 0, 1, 1, 0, 0]).expand(4, 6)
    assert torch.allclose(along_x, expected, atol=1e-6) and not along_y.any()
    assert torch.allclose(length, expected, atol=1e-5)


def test_edges_have_no_colour():
    x = tiles()
    grey = (x * LUMA[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(edges(x), edges(grey), atol=1e-5)


@pytest.mark.parametrize("kind", ["sobel", "hed"])
def test_lower_precision_around_it_changes_nothing(kind):
    x = tiles()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Channels(kind)(x)
    assert found.dtype == torch.float32 and torch.equal(found, Channels(kind)(x))


@pytest.mark.parametrize("kind", ["sobel", "hed"])
def test_a_flat_tile_has_a_finite_gradient(kind):
    """Saliency asks for it."""
    x = torch.full((1, 3, 5, 5), 0.5, requires_grad=True)
    Channels(kind)(x).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("kind", sorted(STATISTICS))
def test_a_network_is_shown_numbers_of_order_one(kind):
    """On colours between the two stains, as tissue has them."""
    amounts = np.random.default_rng(0).gamma(1.5, 0.02, (40, 40, 3)) * [1, 1, 0.3]
    x = torch.from_numpy(hed2rgb(amounts)).float().permute(2, 0, 1)[None]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in STATISTICS[kind])
    shown = (Channels(kind)(x)[0] - mean) / std
    assert shown.abs().mean() < 3 and (shown.std(dim=(1, 2)) > 0.2).all()


def test_other_channels_are_a_sentence():
    with pytest.raises(ValueError, match="channels is 'lab'; write rgb, sobel or hed"):
        Channels("lab")
