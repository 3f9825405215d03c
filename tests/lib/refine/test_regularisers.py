"""The optional terms of NEGEV's loss: against sums written out, and by hand."""

import math

import numpy as np
import pytest
import torch

from tests.lib.refine.test_seed_lessons import bag_of, lesson_of
from tests.lib.squares import Store
from workflow.lib.networks.fitting import derive_seed, fit
from workflow.lib.refine.negev import negev_loss
from workflow.lib.refine.regularised_lessons import RegularisedLesson
from workflow.lib.refine.regularisers import (
    Regularisers,
    _Disagreement,
    barrier,
    field_energy,
    size_barrier,
    steepness,
)

CRF = {"crf_weight": 2e-9, "crf_px": 100.0, "crf_colour": 15.0}


def written_out(probability, tile, position_px, colour):
    """The energy of both sides, pair by pair."""
    side, total = len(probability), 0.0
    pixels = [(y, x) for y in range(side) for x in range(side)]
    for a in pixels:
        for b in pixels:
            place = sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / position_px**2
            shade = sum((255 * (tile[c][a] - tile[c][b])) ** 2 for c in range(3)) / colour**2
            weight = math.exp(-(place + shade) / 2)
            for s in (probability, 1 - probability):
                total += weight * s[a] * (1 - s[b])
    return total


def test_the_field_is_the_sum_over_all_pairs():
    rng = np.random.default_rng(0)
    probability, tiles = rng.random((2, 6, 6)), rng.random((2, 3, 6, 6))
    found = field_energy(*map(torch.tensor, (probability, tiles)), position_px=2.5, colour=90.0)
    expected = [written_out(*pair, 2.5, 90.0) for pair in zip(probability, tiles, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_it_differs_from_the_published_code_by_a_constant():
    """sum_k S_k^T W (1 - S_k) + sum_k S_k^T W S_k is the sum of W, whatever S."""
    tile, sums = torch.rand(1, 3, 5, 5, dtype=torch.float64), []
    kernel = torch.empty(25, 25, dtype=torch.float64)
    for a in range(25):
        for b in range(25):
            apart = (a // 5 - b // 5) ** 2 + (a % 5 - b % 5) ** 2
            shade = (255 * (tile[0].flatten(1)[:, a] - tile[0].flatten(1)[:, b])).square().sum()
            kernel[a, b] = math.exp(-apart / (2 * 3**2) - shade / (2 * 80**2))
    for _ in range(2):
        s = torch.rand(1, 5, 5, dtype=torch.float64)
        energy = field_energy(s, tile, position_px=3.0, colour=80.0)
        both = torch.stack([s.flatten(), 1 - s.flatten()])
        sums.append(float(energy + (both @ kernel * both).sum()))
    assert sums == pytest.approx([float(kernel.sum())] * 2, rel=1e-9)


def test_its_gradient_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(7, 3, generator=generator, dtype=torch.float64)
    kernel = torch.cdist(points, points).square().mul(-0.5).exp()
    s = torch.rand(7, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: _Disagreement.apply(each, kernel), s)
    tiles = torch.rand(1, 3, 4, 4, generator=generator, dtype=torch.float64)
    maps = torch.rand(1, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    energy = lambda each: field_energy(each, tiles, position_px=2.0, colour=50.0)  # noqa: E731
    assert torch.autograd.gradcheck(energy, maps)


def test_a_weight_means_the_same_on_a_grid_of_cells():
    """On a tile of 112 px in blocks of 2 x 2, the grid of 56 is as good as all pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 4, 28, 28, generator=generator)
    fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    cells = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)  # 112 px
    how = {"colour": 60.0}
    small = field_energy(fine[:, 3], fine[:, :3], position_px=20.0, **how)
    large = field_energy(cells[:, 3], cells[:, :3], position_px=40.0, **how)
    assert float(large) == pytest.approx(16 * float(small), rel=1e-4)


def test_alike_neighbours_that_are_told_apart_cost_most():
    tile = torch.zeros(1, 3, 8, 8)
    tile[..., 4:] = 1.0  # a left and a right half
    along, across = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    along[..., 4:], across[:, 4:] = 1.0, 1.0
    cost = [float(field_energy(s, tile, position_px=3.0, colour=15.0)) for s in (along, across)]
    assert cost[0] < 1e-3 and cost[1] > 100


@pytest.mark.parametrize(
    ("z", "t", "value", "slope"),
    [
        (-1.0, 1.0, 0.0, 1.0),  # -log(1), at the edge: 1 / -z = t
        (-2.0, 1.0, -math.log(2), 0.5),
        (0.0, 1.0, 1.0, 1.0),  # 0 - log(1) + 1
        (-0.5, 2.0, math.log(2) / 2, 1.0),
        (-0.25, 2.0, math.log(4) / 2, 2.0),  # the edge of t = 2
        (3.0, 2.0, 6 + math.log(4) / 2 + 0.5, 2.0),
    ],
)
def test_the_barrier_by_hand(z, t, value, slope):
    given = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    found = barrier(given, t)
    found.backward()
    assert found.item() == pytest.approx(value) and given.grad.item() == pytest.approx(slope)


def test_the_barrier_is_smooth_and_has_finite_gradients():
    z = torch.tensor([-5.0, -0.3, -0.2, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: barrier(each, 1.7), z)
    edge = torch.tensor([-1 / 9 - 1e-9, -1 / 9 + 1e-9], dtype=torch.float64)
    below, above = barrier(edge, 3.0).tolist()
    assert below == pytest.approx(above, abs=1e-7)


def test_sizes_are_in_pixels_and_both_sides_count():
    sides = torch.full((1, 2, 4, 4), 0.5)
    assert float(size_barrier(sides, 1.0)) == pytest.approx(-2 * math.log(8))
    sides[:, 0], sides[:, 1] = 1.0, 0.0  # no foreground: 16 px of background, psi(0) = 1
    assert float(size_barrier(sides, 1.0)) == pytest.approx(1 - math.log(16))
    assert float(size_barrier(sides[:0], 1.0)) == 0


def test_the_barrier_gets_steeper_from_epoch_to_epoch():
    assert [steepness(e) for e in (0, 1, 2)] == pytest.approx([1, 1.01, 1.0201])
    assert steepness(231) < 10 and steepness(232) == 10  # log(10) / log(1.01) = 231.4


def losses_of(**settings):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 2, 8, 8, generator=generator)
    tiles, negative = torch.rand(2, 3, 8, 8, generator=generator), torch.tensor([False, True])
    seeds = torch.randint(0, 2, (2, 8, 8), generator=generator)
    bare = negev_loss(logits, seeds, negative, seed_weight=1.0)
    extra = Regularisers(**settings)
    return bare, extra.add(bare, logits, tiles, negative, 3), logits, tiles, extra


def test_terms_are_weighted_into_the_total_and_told():
    bare, found, logits, tiles, extra = losses_of(size_weight=0.1, **CRF | {"crf_weight": 1e-3})
    sides = torch.softmax(logits, 1)
    crf = 1e-3 * field_energy(sides[:, 1], tiles, position_px=100.0, colour=15.0).mean()
    size = 0.1 * size_barrier(sides[:1], 1.01**3)  # the negative tile has to be empty
    assert extra.terms == ("crf_loss", "size_loss")
    assert [each.item() for each in found[1:]] == pytest.approx(
        [bare[1].item(), bare[2].item(), crf.item(), size.item()]
    )
    assert found[0].item() == pytest.approx((bare[0] + crf + size).item())
    assert losses_of(size_weight=0.1)[-1].terms == ("size_loss",)


def test_a_lesson_learns_with_them_and_knows_its_epoch(tmp_path):
    bag, epochs = bag_of([Store(8)]), []

    class Spy(Regularisers):
        def add(self, *given):
            epochs.append(given[-1])
            return super().add(*given)

    lesson = lesson_of(bag, bag)
    indices, drawn = torch.arange(8), torch.Generator().manual_seed(derive_seed(0))
    plain = lesson.loss(indices, lesson.read(indices), drawn)
    terms = Spy(**CRF, size_weight=0.1)
    with_terms = lesson_of(bag, bag, kind=RegularisedLesson, regularisers=terms)
    drawn.manual_seed(derive_seed(0))
    assert with_terms.loss(indices, lesson.read(indices), drawn) != plain
    with_terms.recall()
    groups = with_terms.groups(1e-3, 0.0)
    about = {"epochs": 2, "patience": None, "seed": 0, "work": tmp_path, "key": "k"}
    rows = fit(with_terms, groups, **about)["curves"]
    assert epochs == [0, 0, 0, 1, 1]  # above, then training and validation of each epoch
    for name in ("crf_loss", "size_loss"):
        assert all(math.isfinite(row[name]) and row[name] for row in rows)
