"""Grad-CAM and its kin: by hand, against torchcam, and where they have to agree."""

import pytest
import torch
import torchcam.methods as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workflow.lib.evidence.gradient_cams import (
    grad_cam,
    grad_cam_pp,
    layer_cam,
    score_cam,
    smooth_grad_cam_pp,
    x_grad_cam,
)

OF_THE_HEAD = [grad_cam, grad_cam_pp, x_grad_cam, layer_cam]
GREY = torch.zeros(3, 1, 1)


def tensor(values, *shape):
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


class Net(nn.Module):
    """A small network whose head is not linear, so that gradients differ between locations."""

    def __init__(self, *, mean):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU())
        self.head, self.mean = nn.Linear(6, 3), mean

    def logits_of(self, features):
        if self.mean:
            return self.head(features.mean(dim=(2, 3)))
        return torch.logsumexp(
            nn.functional.conv2d(features, self.head.weight[..., None, None]), (2, 3)
        )

    def forward(self, tiles):
        return self.logits_of(self.body(tiles))


@pytest.fixture(params=[True, False], ids=["mean", "log-sum-exp"])
def net(request):
    return Net(mean=request.param).eval()


@pytest.fixture
def tiles():
    return torch.randn(4, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def by_torchcam(method, net, tiles, **settings):
    """(B, C, h, w) of a method of torchcam."""
    maps = []
    for index in range(3):
        with method(net, net.body[3], **settings) as extract:
            maps.append(extract(index, net(tiles), normalized=False)[0])
    return torch.stack(maps, dim=1).detach()


TWO = tensor([[1, 2, 3, 0], [2, 0, 0, 4]], 1, 2, 2, 2)  # two channels of 2 x 2 locations


def squares(features):
    """A head whose gradient is twice its first channel, and -1 in the second, at every location."""
    first = features[:, 0].square().sum(dim=(1, 2)) - features[:, 1].sum(dim=(1, 2))
    return torch.stack([first, 3 * features[:, 1, 0, 0]], dim=1)


def test_grad_cam_by_hand():
    """Mean gradients times 4 locations: 2 (1 + 2 + 3 + 0) and -4 for class 0; 0 and 3 for 1."""
    expected = [[[12 - 8, 24], [36, 0]], [[6, 0], [0, 12]]]
    assert grad_cam(TWO, squares)[0].tolist() == expected


def test_x_grad_cam_by_hand():
    """Gradients weighted by activation: 4 * 2 (1 + 4 + 9) / 6 and -4; 4 * 3 * 2 / 6."""
    first, second = 4 * 28 / 6, 4.0
    expected = [[first - 2 * second, 2 * first], [3 * first, 0]]
    assert x_grad_cam(TWO, squares)[0, 0].tolist() == [pytest.approx(row) for row in expected]
    assert x_grad_cam(TWO, squares)[0, 1].tolist() == [[8, 0], [0, 16]]


def test_layer_cam_by_hand():
    """A location has its own gradient: 4 * 2 A^2, and nothing where it is below 0."""
    found = layer_cam(TWO, squares)[0]
    assert found[0].tolist() == [[8, 32], [72, 0]]
    assert found[1].tolist() == [[24, 0], [0, 0]]


def test_grad_cam_pp_by_hand():
    """Class 0: sum of 2 A / (2 + 2 A * 6) over the first channel; class 1: 3 / (2 + 3 * 6)."""
    first = 2 / 14 + 4 / 26 + 6 / 38
    found = grad_cam_pp(TWO, squares)[0]
    assert found[0].flatten().tolist() == pytest.approx([first, 2 * first, 3 * first, 0])
    assert found[1].flatten().tolist() == pytest.approx([0.3, 0, 0, 0.6])


def test_smooth_grad_cam_pp_by_hand():
    """One channel, one location of 2; noisy features 1 and 3: gradients of A^3 are 3 and 27."""
    one = tensor([2], 1, 1, 1, 1)
    noisy = [tensor([1], 1, 1, 1, 1), tensor([3], 1, 1, 1, 1)]
    first, second, third = (3 + 27) / 2, (9 + 729) / 2, (27 + 19683) / 2
    expected = 2 * first * second / (2 * second + 2 * third)
    found = smooth_grad_cam_pp(one, noisy, lambda a: a.pow(3).flatten(1))
    assert found.item() == pytest.approx(expected)


def test_score_cam_by_hand():
    """Two channels mask a tile of ones; the score is the sum of what is left of it."""
    maps = tensor([[0, 0, 0, 4], [0, 2, 2, 2]], 1, 2, 2, 2)
    tile = torch.ones(1, 3, 2, 2)
    seen = []

    def score(shown):
        seen.append(shown[0, 0].tolist())
        return torch.stack([shown[:, 0].sum(dim=(1, 2)), 0 * shown[:, 0, 0, 0]], dim=1)

    found = score_cam(tile, maps, score, channels=2, fill=GREY)
    assert sorted(seen) == [[[0, 0], [0, 1]], [[0, 1], [1, 1]]]
    weights = torch.softmax(torch.tensor([1.0, 3.0]), 0)
    assert torch.allclose(found[0, 0], weights[0] * maps[0, 0] + weights[1] * maps[0, 1])
    assert torch.allclose(found[0, 1], maps[0].mean(dim=0))


def test_score_cam_takes_the_most_active_channels_of_each_tile_and_fills_the_rest():
    maps = torch.stack([tensor([1, 0, 5, 0], 4, 1, 1), tensor([0, 7, 0, 1], 4, 1, 1)])
    maps = torch.cat([maps, torch.zeros_like(maps)], dim=3)
    shown = []
    fill = torch.full((3, 1, 1), 0.25)

    def score(tiles):
        shown.append(tiles)
        return tiles.mean(dim=(1, 2, 3))[:, None]

    found = score_cam(torch.ones(2, 3, 1, 2), maps, score, channels=1, fill=fill)
    assert len(shown) == 1 and shown[0][0, 0].tolist() == [[1, 0.25]]
    assert found[:, 0].tolist() == [[[5, 0]], [[7, 0]]]
    assert len(shown) == 1
    score_cam(torch.ones(2, 3, 1, 2), maps, score, channels=99, fill=fill)
    assert len(shown) == 1 + 4


@pytest.mark.parametrize(
    "method, theirs",
    [
        (grad_cam, reference.GradCAM),
        (x_grad_cam, reference.XGradCAM),
        (layer_cam, reference.LayerCAM),
    ],
)
def test_gradients_agree_with_torchcam(net, tiles, method, theirs):
    features = net.body(tiles).detach()
    locations = features.shape[2] * features.shape[3]
    found = method(features, net.logits_of)
    expected = locations * by_torchcam(theirs, net, tiles)
    assert found.std() > 0.01
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_grad_cam_pp_agrees_with_torchcam_on_smooth_grad_cam_pp_without_noise(net, tiles):
    """Its own Grad-CAM++ divides a copy; one sample without noise is the same formula.

    The tolerance is that of the 1e-8 which it adds to denominators of about 1e-5.
    """
    features = net.body(tiles).detach()
    expected = by_torchcam(reference.SmoothGradCAMpp, net, tiles, num_samples=1, std=1e-12)
    found = grad_cam_pp(features, net.logits_of)
    assert found.std() > 0.01
    assert torch.allclose(found, expected, rtol=1e-2, atol=1e-4)


def test_score_cam_agrees_with_torchcam(net, tiles):
    """With all channels, and masked pixels black as there."""
    features = net.body(tiles).detach()
    with torch.no_grad():
        found = score_cam(tiles, features, net, channels=6, fill=GREY)
    expected = by_torchcam(reference.ScoreCAM, net, tiles)
    assert found.std() > 0.01
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 999))
def test_behind_a_mean_and_a_linear_layer(batch, channels, side, seed):
    """Grad-CAM is ReLU of the CAM without bias, XGrad-CAM the same, smoothing changes nothing."""
    torch.manual_seed(seed)
    layer, features = nn.Linear(channels, 3), torch.randn(batch, channels, side, side).relu()
    head = lambda maps: layer(maps.mean(dim=(2, 3)))  # noqa: E731
    cam = nn.functional.conv2d(features, layer.weight[..., None, None]).relu()
    assert torch.allclose(grad_cam(features, head), cam, atol=1e-5)
    assert torch.allclose(x_grad_cam(features, head), cam, atol=1e-4)
    noisy = [features + torch.randn_like(features) for _ in range(2)]
    smooth = smooth_grad_cam_pp(features, noisy, head)
    assert torch.allclose(smooth, grad_cam_pp(features, head), atol=1e-5)


@settings(max_examples=40)
@given(st.sampled_from([*OF_THE_HEAD, "smooth", "score"]), st.floats(-2, 2), st.booleans())
def test_without_a_gradient_or_without_contrast_a_map_is_flat(method, value, constant):
    features = torch.full((2, 4, 3, 3), value) if constant else torch.randn(2, 4, 3, 3)
    head = (lambda a: a.mean(dim=(2, 3))) if constant else (lambda a: 0 * a.mean(dim=(2, 3)))
    if method == "smooth":
        found = smooth_grad_cam_pp(features, [features, 2 * features], head)
    elif method == "score":
        flat = torch.full_like(features, value)
        tiles = torch.rand(2, 3, 12, 12)
        found = score_cam(tiles, flat, lambda t: 0 * t.mean(dim=(2, 3)), channels=2, fill=GREY)
    else:
        found = method(features, head)
    assert torch.isfinite(found).all()
    assert (found == found[..., :1, :1]).all()


@pytest.mark.parametrize("method", OF_THE_HEAD)
def test_a_tile_has_its_own_map_whatever_its_batch(net, tiles, method):
    features = net.body(tiles).detach()
    together = method(features, net.logits_of)
    alone = torch.cat([method(one, net.logits_of) for one in features.split(1)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert together.shape == (4, 3, *features.shape[2:]) and (together >= 0).all()


@pytest.mark.parametrize("method", OF_THE_HEAD)
def test_nothing_is_left_of_the_gradients(net, tiles, method):
    """Also where the caller switched them off, as inference does."""
    with torch.inference_mode():
        features = net.body(tiles)
        found = method(features, net.logits_of)
    assert not found.requires_grad and found.grad_fn is None
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(found, method(features.clone(), net.logits_of))


@pytest.mark.parametrize("method", OF_THE_HEAD)
def test_not_a_number_stays_one_so_that_it_is_found(net, tiles, method):
    features = net.body(tiles).detach()
    features[2, 1, 0, 0] = torch.nan
    found = method(features, net.logits_of)
    assert torch.isnan(found[2]).any()
    assert torch.isfinite(found[[0, 1, 3]]).all()
