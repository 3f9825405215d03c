"""What each map says of networks that can be computed by hand, and by the hooks of others."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from workflow.lib.evidence.attributions import attribute, guided_backprop, log_odds, occlude
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier

PIXEL = torch.tensor([0.5, 1.0, 0.25]).view(1, 3, 1, 1)  # red, green, blue


def by_hand(tiles):
    """2 relu(r + g) - 3 relu(g - r) + 5 relu(r - g), of which the last is off at PIXEL."""
    red, green, _ = tiles.flatten(1).unbind(dim=1)
    units = torch.relu(torch.stack([red + green, green - red, red - green], dim=1))
    return units @ torch.tensor([2.0, -3.0, 5.0])


def test_log_odds_are_those_of_the_softmax():
    logits = torch.tensor([[1.0, -2.0, 0.5], [40.0, -40.0, 3.0]])
    p = logits[0].softmax(dim=0)
    for of in range(3):
        expected = (p[of] / (1 - p[of])).log()
        assert log_odds(logits, of)[0] == pytest.approx(float(expected), abs=1e-5)
    assert log_odds(logits, 0)[1] == pytest.approx(37)  # where the probability is 1 in float32
    assert log_odds(logits + 9, 2) == pytest.approx(log_odds(logits, 2).numpy(), abs=1e-5)


def test_a_guided_gradient_passes_units_that_are_on_and_that_the_score_grows_with():
    # plain: r 2 + 3, g 2 - 3; without the forward mask (deconvnet) the last unit: r 7, g -3
    found = guided_backprop(PIXEL, by_hand)
    assert found.flatten().tolist() == [2, 2, 0]


class Hooked(nn.Module):
    """Three layers as everybody writes them, whose ReLU modules can be hooked."""

    def __init__(self, *, inplace):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3, stride=2)
        self.relus = nn.ModuleList(nn.ReLU(inplace=inplace) for _ in range(2))

    def forward(self, tiles):
        return self.relus[1](self.second(self.relus[0](self.first(tiles)))).mean(dim=(1, 2, 3))


def test_it_is_what_hooks_on_every_relu_give():
    tiles = torch.rand(2, 3, 9, 9)
    model = Hooked(inplace=False)
    for relu in model.relus:
        relu.register_full_backward_hook(lambda module, down, up: (down[0].clamp(min=0),))
    leaf = tiles.clone().requires_grad_()
    model(leaf).sum().backward()
    assert leaf.grad.abs().max() > 0
    for inplace in (True, False):
        found = guided_backprop(tiles, Hooked(inplace=inplace))
        torch.testing.assert_close(found, leaf.grad)
    plain = Hooked(inplace=True)
    leaf = tiles.clone().requires_grad_()
    plain(leaf).sum().backward()
    assert not torch.allclose(leaf.grad, guided_backprop(tiles, plain))


@pytest.mark.parametrize(
    "relu", [functional.relu, functional.relu_, torch.relu, torch.Tensor.relu, nn.ReLU6()]
)
def test_no_relu_is_missed_whatever_it_is_called_by(relu):
    found = guided_backprop(PIXEL, lambda tiles: -relu(1 * tiles).sum(dim=(1, 2, 3)))
    assert not found.any()  # every unit speaks against


def test_without_a_relu_there_is_nothing_to_guide():
    assert guided_backprop(PIXEL, lambda tiles: functional.gelu(tiles).sum(dim=(1, 2, 3))) is None


def test_the_network_is_left_as_it_was():
    torch.manual_seed(0)
    backbone = Backbone("squeezenet1_1")  # its ReLUs work in place
    model = Classifier(backbone, ["a", "b"], tile_px=32, mpp=1.0).eval().requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    tile = torch.rand(3, 48, 48)
    score = lambda tiles: log_odds(model.logits(tiles), 1)  # noqa: E731
    logits = model.logits(tile[None])
    with torch.inference_mode():
        first = attribute(tile, score, occlusion_px=24, batch=5)
    again = attribute(tile, score, occlusion_px=24, batch=5)
    assert first.guided.shape == (3, 48, 48)
    assert first.saliency.shape == first.occlusion.shape == (48, 48)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert torch.equal(model.logits(tile[None]), logits)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    hooks = [m._forward_hooks or m._backward_hooks for m in model.modules()]
    assert not any(hooks) and not any(p.requires_grad for p in model.parameters())


def test_saliency_is_the_largest_slope_over_the_colours():
    torch.manual_seed(1)
    weights, tile = torch.randn(3, 4, 4, dtype=float), torch.rand(3, 4, 4, dtype=float)
    score = lambda tiles: torch.tanh(tiles * weights).sum(dim=(1, 2, 3))  # noqa: E731
    found = attribute(tile, score, occlusion_px=2, batch=3).saliency
    slopes, step = np.zeros((3, 4, 4)), 1e-5
    for place in np.ndindex(3, 4, 4):
        ends = [tile.clone(), tile.clone()]
        ends[0][place] += step
        ends[1][place] -= step
        high, low = (score(end[None])[0] for end in ends)
        slopes[place] = (high - low) / (2 * step)
    np.testing.assert_allclose(found, np.abs(slopes).max(axis=0), rtol=1e-6)


def test_a_square_that_hides_what_speaks_for_the_class_lowers_its_score():
    tile = torch.zeros(3, 4, 4)
    tile[0, :2, :2], tile[0, 2:, 2:] = 1.0, 0.5  # mean red: (4 + 2) / 16 = 0.375
    score = lambda tiles: tiles[:, 0].sum(dim=(1, 2))  # noqa: E731
    found = occlude(tile, score, side_px=2, step_px=2, batch=3)
    expected = [[4 - 1.5, -1.5], [-1.5, 2 - 1.5]]
    np.testing.assert_allclose(found, np.kron(expected, np.ones((2, 2))), atol=1e-6)


SIDES = st.integers(1, 7)


@settings(max_examples=50)
@given(side=SIDES, square=SIDES, step=SIDES, batch=SIDES)
def test_a_pixel_has_the_mean_of_the_squares_that_hide_it(side, square, step, batch):
    square = min(side, square)
    step = min(step, square)
    rng = np.random.default_rng(side * square)
    tile, weights = rng.random((2, 3, side, side)).astype(np.float32)
    slopes = torch.from_numpy(weights)
    score = lambda tiles: (tiles * slopes).sum(dim=(1, 2, 3))  # noqa: E731
    found = occlude(torch.from_numpy(tile), score, side_px=square, step_px=step, batch=batch)
    starts = [y for y in range(side - square) if y % step == 0] + [side - square]
    loss = (weights * (tile - tile.mean(axis=(1, 2), keepdims=True))).sum(axis=0)
    falls = [[] for _ in range(side * side)]
    for y in starts:
        for x in starts:
            fall = loss[y : y + square, x : x + square].sum()
            for pixel in range(side * side):
                row, column = divmod(pixel, side)
                if y <= row < y + square and x <= column < x + square:
                    falls[pixel].append(fall)
    assert all(falls)
    np.testing.assert_allclose(found.flatten(), [np.mean(f) for f in falls], atol=1e-4)


def test_a_tile_of_one_colour_hides_nothing():
    tile = torch.full((3, 8, 8), 0.7)
    found = occlude(tile, lambda tiles: tiles.sum(dim=(1, 2, 3)), side_px=3, step_px=1, batch=64)
    assert found.abs().max() < 1e-5
