"""NEGEV: what is sampled, how often, and what the loss pulls on (METHODS, section a)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.nn import functional

from workflow.lib.refine.negev import (
    NO_SEED,
    draw_pixels,
    negative_loss,
    negev_loss,
    place_seeds,
    sample_mask_seeds,
    sample_seeds,
    seed_loss,
    seed_weights,
    thin_seeds,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def hot_half(batch=1, side=32):
    """Evidence that is high in the upper half and low in the lower."""
    cams = torch.full((batch, side, side), 0.05)
    cams[:, : side // 2] = 0.95
    return cams


# Seeds


@given(
    st.integers(1, 3),
    st.integers(3, 24),
    st.integers(3, 24),
    st.sampled_from(["official", "intended"]),
    st.integers(0, 2**31),
)
@settings(max_examples=50)
def test_seeds_are_three_values_and_at_most_nine_pixels_a_side(batch, h, w, background, seed):
    cams = torch.rand(batch, h, w, generator=generator(seed))
    seeds = sample_seeds(cams, background=background, generator=generator(seed))
    assert seeds.dtype == torch.int64
    assert seeds.shape == cams.shape
    assert set(seeds.unique().tolist()) <= {0, 1, NO_SEED}
    for side in (0, 1):
        assert (seeds == side).sum(dim=(1, 2)).max() <= 9


def test_seeds_are_fresh_every_step_and_repeat_with_the_generator():
    cams, stream = torch.rand(4, 32, 32, generator=generator()), generator(1)
    first, second = sample_seeds(cams, generator=stream), sample_seeds(cams, generator=stream)
    assert not torch.equal(first, second)
    assert torch.equal(first, sample_seeds(cams, generator=generator(1)))


def test_foreground_is_drawn_in_proportion_to_the_evidence():
    cams = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]]).expand(20_000, 2, 2)
    foreground, _ = seed_weights(cams, "official")
    counts = draw_pixels(foreground, 1, generator()).sum(0).flatten().numpy()
    assert counts.sum() == 20_000
    assert chisquare(counts, [2000, 4000, 6000, 8000]).pvalue > 1e-3


def test_official_background_is_uniform_evidence_included():
    """The published sampler's 1 - C/sum is flat: a fifth of it falls on the top fifth of a cam."""
    cams = torch.rand(1, 224, 224, generator=generator())
    _, official = seed_weights(cams, "official")
    assert official.max() / official.min() < 1.0002
    drawn = draw_pixels(official.expand(5000, 224, 224)[:, :1].contiguous(), 1, generator(2))
    counts = drawn.sum(0).view(-1, 16).sum(1).numpy()
    assert chisquare(counts).pvalue > 1e-3


def test_intended_background_avoids_the_evidence_and_official_does_not():
    cams = hot_half(batch=2000, side=16)
    shares = {}
    for background in ("official", "intended"):
        seeds = sample_seeds(cams, dilate_px=1, background=background, generator=generator())
        shares[background] = (seeds[:, :8] == 0).sum() / (seeds == 0).sum()
    assert shares["official"] == pytest.approx(0.5, abs=0.05)
    assert shares["intended"] == pytest.approx(0.05, abs=0.03)


def test_an_unknown_background_is_refused():
    with pytest.raises(ValueError, match="write official or intended"):
        sample_seeds(torch.rand(1, 4, 4), background="uniform", generator=generator())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_flat_map_still_gives_one_seed_a_side(value):
    for background in ("official", "intended"):
        foreground, behind = seed_weights(torch.full((1, 8, 8), value), background)
        assert draw_pixels(foreground, 1, generator()).sum() == 1
        assert draw_pixels(behind, 1, generator()).sum() == 1


def test_drawing_is_without_replacement_and_never_of_weight_zero():
    weights = torch.tensor([[[0.0, 1.0, 5.0]], [[0.0, 0.0, 0.0]]])
    drawn = draw_pixels(weights, 3, generator())
    assert drawn.tolist() == [[[False, True, True]], [[False, False, False]]]


def test_seeds_grow_to_a_square_and_shared_pixels_are_dropped():
    foreground, background = torch.zeros(2, 1, 5, 7, dtype=torch.bool)
    foreground[0, 2, 2] = background[0, 2, 4] = True
    seeds = place_seeds(foreground, background, dilate_px=3)[0]
    n = NO_SEED
    assert seeds.tolist() == [
        [n, n, n, n, n, n, n],
        [n, 1, 1, n, 0, 0, n],
        [n, 1, 1, n, 0, 0, n],
        [n, 1, 1, n, 0, 0, n],
        [n, n, n, n, n, n, n],
    ]


def test_seeds_at_a_corner_stay_inside():
    foreground, background = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    foreground[0, 0, 0] = True
    assert (place_seeds(foreground, background, dilate_px=3) == 1).sum() == 4


@pytest.mark.parametrize("dilate_px", [0, 2, -1])
def test_an_even_square_is_refused(dilate_px):
    with pytest.raises(ValueError, match="odd"):
        sample_seeds(torch.rand(1, 8, 8), dilate_px=dilate_px, generator=generator())


def test_mask_seeds_come_from_their_side_and_skip_a_side_that_is_absent():
    masks = torch.full((2, 8, 8), 255, dtype=torch.uint8)
    masks[0, :2], masks[0, 6:] = 1, 0
    masks[1, 3, 3] = 0
    for seed in range(20):
        seeds = sample_mask_seeds(masks, dilate_px=1, generator=generator(seed))
        assert (seeds[0, :2] == 1).sum() == 1 == (seeds[0] == 1).sum()
        assert (seeds[0, 6:] == 0).sum() == 1 == (seeds[0] == 0).sum()
        assert seeds[1, 3, 3] == 0
        assert (seeds[1] != NO_SEED).sum() == 1


# Loss


def random_logits(batch=3, side=6):
    return torch.randn(batch, 2, side, side, generator=generator(3)).requires_grad_()


def test_seed_loss_is_the_mean_over_seed_pixels():
    logits = random_logits(1)
    seeds = torch.full((1, 6, 6), NO_SEED)
    seeds[0, 1, 2], seeds[0, 4, 4] = 1, 0
    log_p = functional.log_softmax(logits, dim=1)
    expected = -(log_p[0, 1, 1, 2] + log_p[0, 0, 4, 4]) / 2
    assert torch.isclose(seed_loss(logits, seeds, torch.tensor([False])), expected)


def test_a_negative_tile_has_no_seed_term_and_a_gradient_on_all_its_pixels():
    logits = random_logits()
    seeds = torch.randint(0, 2, (3, 6, 6), generator=generator())
    everything_negative = torch.ones(3, dtype=torch.bool)
    total, seeded, emptied = negev_loss(logits, seeds, everything_negative, seed_weight=1.0)
    total.backward()
    assert seeded.item() == 0.0
    assert torch.isclose(emptied, -functional.log_softmax(logits, 1)[:, 0].mean())
    assert (logits.grad[:, 0] < 0).all()  # more background wanted everywhere
    assert (logits.grad[:, 1] > 0).all()


def test_without_negative_tiles_that_term_is_exactly_zero_and_only_seeds_pull():
    logits = random_logits()
    seeds = torch.full((3, 6, 6), NO_SEED)
    seeds[1, 2, 3] = 1
    total, _, emptied = negev_loss(logits, seeds, torch.zeros(3, dtype=torch.bool), seed_weight=1.0)
    total.backward()
    assert emptied.item() == 0.0
    pulled = logits.grad.abs().sum(1) > 0
    assert pulled.sum() == 1
    assert pulled[1, 2, 3]


def test_no_seed_and_no_negative_tile_gives_zero_loss_and_zero_gradient_not_nan():
    logits = random_logits()
    nothing = torch.full((3, 6, 6), NO_SEED)
    total, _, _ = negev_loss(logits, nothing, torch.zeros(3, dtype=torch.bool), seed_weight=1.0)
    total.backward()
    assert total.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_mixed_batch_keeps_the_terms_apart_and_weighs_only_the_seeds():
    logits = random_logits()
    seeds = torch.full((3, 6, 6), NO_SEED)
    seeds[:, 0, 0] = 1
    negative = torch.tensor([False, True, False])
    total, seeded, emptied = negev_loss(logits, seeds, negative, seed_weight=0.1)
    assert torch.isclose(seeded, seed_loss(logits[[0, 2]], seeds[[0, 2]], negative[[0, 2]]))
    assert torch.isclose(emptied, negative_loss(logits[1:2], negative[1:2]))
    assert torch.isclose(total, 0.1 * seeded + emptied)


def test_seeds_are_thinned_by_the_evidence_of_the_tile():
    """Tiles whose evidence spans none to .25, .25 to 1, and 0 to 1: the last as published."""
    seeds = torch.full((3000, 2, 2), NO_SEED)
    seeds[:, 0, 0], seeds[:, 1, 1] = 1, 0
    cams = torch.tensor([[0.0, 0.25], [0.25, 1.0], [0.0, 1.0]]).repeat(1000, 1)
    cams = cams[:, [0, 1, 1, 0]].view(3000, 2, 2)
    found = thin_seeds(seeds, cams, generator())
    foreground, background = (
        (found == side).sum(dim=(1, 2)).view(1000, 3).sum(0).tolist() for side in (1, 0)
    )
    assert foreground[0] == pytest.approx(250, abs=60) and foreground[1:] == [1000, 1000]
    assert background[1] == pytest.approx(750, abs=60) and background[::2] == [1000, 1000]


def test_a_tile_without_evidence_has_no_foreground_seed_and_one_full_of_it_no_background():
    seeds = torch.tensor([[[1, 0]], [[1, 0]]]).repeat(50, 1, 1)
    cams = torch.tensor([0.0, 1.0])[:, None, None].repeat(50, 1, 2)
    found = thin_seeds(seeds, cams, generator())
    assert found[0::2].unique().tolist() == [NO_SEED, 0]
    assert found[1::2].unique().tolist() == [NO_SEED, 1]
