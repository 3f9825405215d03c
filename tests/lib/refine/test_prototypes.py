"""Region prototypes: by hand on 2 x 2 maps, and what is missed in one tile found with another."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.refine.prototypes import (
    choose_sources,
    consistency_loss,
    foreground_map,
    has_region,
    own_source,
    pool_regions,
    region_weights,
)

CUTS = {"foreground": 0.6, "background": 0.2}
NO = torch.tensor([False])
A, B = [1.0, 0.0], [0.0, 1.0]


def locations(*rows):
    """Feature map (1, D, h, w) from rows of locations."""
    return torch.tensor([rows]).permute(0, 3, 1, 2)


def test_regions_are_cut_at_values_of_the_evidence():
    evidence = torch.tensor([[[0.6, 0.59], [0.2, 0.19]]])
    regions = region_weights(evidence, NO, **CUTS)
    assert regions[0].tolist() == [[[0, 0], [0, 1]], [[1, 0], [0, 0]]]
    assert has_region(regions).tolist() == [[True, True]]


def test_a_tile_of_a_negative_slide_is_background_whatever_its_evidence():
    regions = region_weights(torch.ones(1, 2, 2), torch.tensor([True]), **CUTS)
    assert regions[0].tolist() == [[[1, 1], [1, 1]], [[0, 0], [0, 0]]]
    assert has_region(regions).tolist() == [[True, False]]


def test_a_prototype_is_the_mean_of_its_region():
    features = locations([[2.0, 4.0], [6.0, 0.0]], [[1.0, 1.0], [3.0, 5.0]])
    regions = torch.tensor([[[[0.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]]])
    found = pool_regions([features], regions)
    assert found.shape == (1, 2, 1, 2)
    assert found[0, 0, 0].tolist() == [2, 3]  # background: mean of (1, 1) and (3, 5)
    assert found[0, 1, 0].tolist() == [4, 2]  # foreground: mean of (2, 4) and (6, 0)


def test_a_location_counts_by_the_share_of_its_pixels_that_is_in_the_region():
    features = locations([[4.0], [8.0]], [[0.0], [0.0]])
    pixels = torch.zeros(1, 2, 4, 4)
    pixels[0, 1, :2, 0] = 1  # half of the first location ...
    pixels[0, 1, :2, 2:] = 1  # ... and all of the second
    assert pool_regions([features], pixels)[0, 1, 0, 0].item() == pytest.approx((2 + 8) / 1.5)


def test_an_empty_region_has_no_prototype_and_says_nothing():
    features = locations([A, B], [A, B])
    regions = region_weights(torch.zeros(1, 2, 2), NO, **CUTS)
    prototypes, known = pool_regions([features], regions), has_region(regions)
    assert known.tolist() == [[True, False]]
    assert prototypes[0, 1].abs().sum() == 0
    found = foreground_map([features], prototypes, own_source(known), temperature=0.1)
    assert (found == 0.5).all()
    loss = consistency_loss(prototypes, own_source(known), known, found, found)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros_like(known)
    assert consistency_loss(prototypes, own_source(nothing), nothing, found, found).item() == 0


def test_the_most_alike_prototype_of_each_side_counts():
    """cos = 1 and 0: a softmax over 1 / 0.5 and 0 / 0.5."""
    features = locations([A, B])
    prototypes = torch.tensor([[B, A], [B, [0.0, -1.0]]])[:, :, None]  # background is B, twice
    sources = torch.ones(1, 2, 2, dtype=torch.bool)
    found = foreground_map([features], prototypes, sources, temperature=0.5)[0, 0]
    sure = 1 / (1 + math.exp(-2))
    assert found.tolist() == pytest.approx([sure, 1 - sure])
    sources[0, 1, 0] = False  # without A, nothing resembles the foreground
    assert foreground_map([features], prototypes, sources, temperature=0.5)[0, 0, 0] == 0.5


@given(scale=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_the_length_of_features_does_not_count(scale, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 5, 3, 3, generator=generator)
    prototypes = torch.randn(2, 2, 1, 5, generator=generator)
    sources = torch.ones(2, 2, 2, dtype=torch.bool)
    one, other = (
        foreground_map([features * by], prototypes, sources, temperature=0.1) for by in (1, scale)
    )
    assert torch.allclose(one, other, atol=1e-4)


def test_resolutions_are_averaged_at_the_size_of_the_finest():
    fine, coarse = locations([A, B], [A, B]), locations([A])
    prototypes = torch.tensor([[[B, B], [A, A]]])
    sources = torch.ones(1, 2, 1, dtype=torch.bool)
    found = foreground_map([fine, coarse], prototypes, sources, temperature=1.0)
    alone = foreground_map([fine], prototypes[:, :, :1], sources, temperature=1.0)
    assert found.shape == (1, 2, 2)
    assert torch.allclose(found, (alone + alone[0, 0, 0]) / 2)


def test_sources_are_tiles_of_other_slides_and_of_the_same_class():
    slide, kind = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([1, 1, 1, 2, 0])
    negative = torch.tensor([False, False, False, False, True])
    known = torch.tensor([[True, True], [True, True], [True, True], [False, True], [True, False]])
    sources = choose_sources(slide, kind, negative, known).int()
    assert sources[0].tolist() == [[0, 0, 1, 0, 1], [0, 0, 1, 0, 0]]
    assert sources[2].tolist() == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 0]]
    assert sources[3].tolist() == [[1, 1, 1, 0, 1], [0, 0, 0, 1, 0]]  # alone of its class: itself
    assert sources[4].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]  # negative: any finding


def test_a_tile_that_is_alone_is_its_own_source():
    known = torch.tensor([[True, True]])
    zero = torch.zeros(1, dtype=torch.int64)
    assert choose_sources(zero, zero, NO, known).all()


def two_textures():
    """Tiles of two slides: texture A in the upper half, B below; the evidence of the first
    misses the left of its A, which there looks a little different."""
    generator = torch.Generator().manual_seed(0)
    features = torch.zeros(2, 3, 4, 4)
    features[:, 0, :2], features[:, 1, 2:] = 1, 1
    features[:, 2, :2, :2] = 2  # the left part of A, in both tiles
    features += 0.05 * torch.randn(features.shape, generator=generator)
    evidence = torch.zeros(2, 4, 4)
    evidence[0, :2, 2:] = 1
    evidence[1, :2] = 1
    return features, evidence


def test_what_the_evidence_of_one_tile_misses_is_found_with_another():
    features, evidence = two_textures()
    regions = region_weights(evidence, torch.tensor([False, False]), **CUTS)
    known, prototypes = has_region(regions), pool_regions([features], regions)
    alike = torch.zeros(2, dtype=torch.int64)
    sources = choose_sources(torch.tensor([0, 1]), alike, alike.bool(), known)
    own = foreground_map([features], prototypes, own_source(known), temperature=0.1)[0]
    others = foreground_map([features], prototypes, sources, temperature=0.1)[0]
    assert own[:2, :2].max() < 0.5  # missed: it counts as background of its own tile
    assert others[:2, :2].min() > 0.5 and others[:2, 2:].min() > 0.5
    assert others[2:].max() < 0.5


def agreement(features, evidence):
    regions = region_weights(evidence, torch.zeros(len(evidence), dtype=torch.bool), **CUTS)
    known, prototypes = has_region(regions), pool_regions([features], regions)
    alike = torch.zeros(len(evidence), dtype=torch.int64)
    sources = choose_sources(torch.arange(len(evidence)), alike, alike.bool(), known)
    own, others = (
        foreground_map([features], prototypes, s, temperature=0.1)
        for s in (own_source(known), sources)
    )
    return consistency_loss(prototypes, sources, known, own, others)


def test_identical_images_agree_and_others_do_not():
    features, evidence = two_textures()
    twice = agreement(features[:1].repeat(2, 1, 1, 1), evidence[:1].repeat(2, 1, 1))
    assert twice.item() == pytest.approx(0, abs=1e-6)
    assert agreement(features, evidence) > 0.01


def test_disagreement_by_hand():
    """Foregrounds at a right angle, backgrounds the same: (1 + 1 + 0 + 0) / 4, then the maps."""
    prototypes = torch.tensor([[[[0, 0, 1.0]], [[1.0, 0, 0]]], [[[0, 0, 1.0]], [[0, 1.0, 0]]]])
    known = torch.ones(2, 2, dtype=torch.bool)
    sources = ~torch.eye(2, dtype=torch.bool)[:, None].expand(2, 2, 2)
    own, others = torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)
    others[0, 0, 0] = 1.0
    assert consistency_loss(prototypes, sources, known, own, others).item() == pytest.approx(
        0.5 + 1 / 4 / 2
    )
