"""The random field: against sums written out, and on pictures with an answer."""

import math

import numpy as np
import pytest
import torch

from workflow.lib.refine.random_fields import RandomField

PLAIN = {"position_um": 4.0, "colour": 30.0, "bilateral_weight": 5.0, "smooth_um": 1.5}
PLAIN |= {"smooth_weight": 2.0, "iterations": 3, "mpp": 0.5}


def field(**changes):
    return RandomField(**(PLAIN | changes))


def written_out(picture, prior):
    """The same updates, pixel by pixel, with both labels kept."""
    height, width = prior.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]

    def kernel(a, b, colours):
        place = sum((0.5 * (p - q)) ** 2 for p, q in zip(a, b, strict=True))
        if not colours:
            return math.exp(-place / (2 * 1.5**2))
        shade = sum((255 * (picture[c][a] - picture[c][b])) ** 2 for c in range(3))
        return math.exp(-place / (2 * 4.0**2) - shade / (2 * 30.0**2))

    weights = {}
    for colours, weight in ((True, 5.0), (False, 2.0)):
        mass = {a: sum(kernel(a, b, colours) for b in pixels if b != a) for a in pixels}
        for a in pixels:
            for b in pixels:
                if a != b:
                    share = weight * kernel(a, b, colours) / math.sqrt(mass[a] * mass[b])
                    weights[a, b] = weights.get((a, b), 0) + share
    q = {a: prior[a] for a in pixels}
    for _ in range(3):
        following = {}
        for a in pixels:
            for_one = sum(weights[a, b] * q[b] for b in pixels if b != a)
            for_none = sum(weights[a, b] * (1 - q[b]) for b in pixels if b != a)
            up = prior[a] * math.exp(for_one)
            following[a] = up / (up + (1 - prior[a]) * math.exp(for_none))
        q = following
    return np.array([q[a] for a in pixels]).reshape(height, width)


def test_the_mean_field_is_the_published_one():
    rng = np.random.default_rng(0)
    picture, prior = rng.random((3, 4, 5)), rng.uniform(0.2, 0.8, (4, 5))
    given = torch.tensor(picture), torch.tensor(prior)
    assert field().infer(*given, mpp=0.5).numpy() == pytest.approx(
        written_out(picture, prior), abs=1e-8
    )


def test_priors_that_share_a_picture_are_as_each_alone():
    picture, priors = torch.rand(3, 4, 5), torch.rand(2, 4, 5)
    found = field().infer(picture, priors, mpp=0.5)
    for each, prior in zip(found, priors, strict=True):
        assert each == pytest.approx(field().infer(picture, prior, mpp=0.5), abs=1e-6)


def halves(side):
    """A picture of two colours, and weak evidence that is wrong in a third of its pixels."""
    truth = (torch.arange(side) < side // 2).float()[None].repeat(side, 1)
    tiles = torch.stack([0.3 + 0.4 * truth, torch.full_like(truth, 0.5), 0.8 - 0.4 * truth])
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(side, side, generator=generator) < 1 / 3
    return tiles[None], torch.where(wrong, 1 - truth, truth)[None] * 0.4 + 0.3, truth


@pytest.mark.parametrize("side", [40, 112])
def test_noise_is_outvoted_and_the_edge_of_the_picture_stands(side):
    tiles, evidence, truth = halves(side)
    found = field(position_um=10.0, bilateral_weight=10.0, iterations=10)(tiles, evidence)
    assert found.shape == evidence.shape
    assert ((found[0] >= 0.5).float() == truth).float().mean() > 0.98
    assert ((evidence[0] >= 0.5).float() == truth).float().mean() < 0.7


def test_without_a_weight_evidence_stays():
    tiles, evidence, _ = halves(30)
    found = field(bilateral_weight=0, smooth_weight=0)(tiles, evidence)
    assert found == pytest.approx(evidence, abs=1e-5)


def test_undecided_evidence_stays_undecided_and_none_is_none():
    tiles, evidence, _ = halves(20)
    assert field()(tiles, torch.full_like(evidence, 0.5)) == pytest.approx(0.5)
    assert field()(tiles[:0], evidence[:0]).shape == (0, 20, 20)


def test_certain_evidence_gives_no_nan():
    tiles, _, truth = halves(20)
    assert torch.isfinite(field()(tiles, truth[None])).all()
