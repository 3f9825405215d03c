"""Heads: what each pooling makes of evidence, by hand, between its limits and in half precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workflow.lib.networks.heads import HEADS, UNITS, build_head

DIM, CLASSES = 6, 3
SETTINGS = {
    "lse": {"sharpness": 10},
    "wildcat": {"maps": 4, "share": 0.2, "alpha": 0.7},
}


def head(pooling, seed=0, dim=DIM, **changed):
    torch.manual_seed(seed)
    return build_head(pooling, dim, CLASSES, SETTINGS.get(pooling, {}) | changed)


def features(*shape, seed=1):
    shape = shape or (2, DIM, 5, 7)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def showing(pooling, evidence, **changed):
    """A head of one class whose evidence is the one feature, and features (1, 1, h, w) for it."""
    made = build_head(pooling, 1, 1, SETTINGS.get(pooling, {}) | changed)
    linear = made.maps if pooling == "wildcat" else made
    nn.init.ones_(linear.weight)
    nn.init.zeros_(linear.bias)
    return made, torch.tensor(evidence, dtype=torch.float32)[None, None]


def value(tensor):
    return tensor.detach().flatten().tolist()


EVIDENCE = [[1.0, -2.0, 4.0], [0.0, 3.0, -5.0]]


@pytest.mark.parametrize("pooling", HEADS)
def test_evidence_has_a_place_for_every_location_and_logits_one_for_every_class(pooling):
    made, seen = head(pooling), features()
    assert made.evidence(seen).shape == (2, CLASSES, 5, 7)
    assert made.logits(seen).shape == (2, CLASSES)


@pytest.mark.parametrize("pooling", ["gap", "attention"])
def test_the_logit_is_the_mean_of_the_evidence(pooling):
    made, seen = head(pooling), features()
    assert torch.allclose(made.evidence(seen).mean(dim=(2, 3)), made.logits(seen), atol=1e-5)


@pytest.mark.parametrize("pooling", ["gap", "max", "lse", "wildcat"])
def test_evidence_is_the_same_linear_map_at_every_location(pooling):
    made, seen = head(pooling), features()
    linear = made.maps if pooling == "wildcat" else made
    row = linear(seen[1, :, 3, 2])
    if pooling == "wildcat":  # the maps of a class stand side by side
        row = torch.stack([part.mean() for part in row.split(4)])
    assert torch.allclose(made.evidence(seen)[1, :, 3, 2], row, atol=1e-6)


def test_gap_is_a_linear_layer_with_the_names_and_first_weights_of_one():
    torch.manual_seed(0)
    linear = nn.Linear(DIM, CLASSES)
    made, seen = head("gap"), features()
    assert list(made.state_dict()) == ["weight", "bias"]
    assert torch.equal(made.weight, linear.weight) and torch.equal(made.bias, linear.bias)
    assert torch.equal(made.logits(seen), linear(seen.mean(dim=(2, 3))))


def test_max_is_the_highest_evidence():
    made, seen = showing("max", EVIDENCE)
    assert value(made.logits(seen)) == [4.0]
    made, seen = head("max"), features()
    assert torch.equal(made.logits(seen), made.evidence(seen).amax(dim=(2, 3)))


def test_lse_by_hand():
    made, seen = showing("lse", [[0.0, math.log(3)]], sharpness=1)
    assert value(made.logits(seen)) == pytest.approx([math.log(2)])
    made, seen = showing("lse", [[0.0, math.log(3)]], sharpness=2)
    assert value(made.logits(seen)) == pytest.approx([math.log(5) / 2])


@settings(max_examples=50)
@given(sharpness=st.floats(0.01, 1000), seed=st.integers(0, 99), scale=st.floats(0.01, 100))
@torch.no_grad()
def test_lse_is_between_the_mean_and_the_maximum(sharpness, seed, scale):
    made, seen = head("lse", sharpness=sharpness), scale * features(seed=seed)
    found, slack = made.evidence(seen), 1e-3 + 1e-4 * scale
    logits = made.logits(seen)
    assert (logits >= found.mean(dim=(2, 3)) - slack).all()
    assert (logits <= found.amax(dim=(2, 3)) + slack).all()


@torch.no_grad()
def test_lse_tends_to_the_mean_and_to_the_maximum():
    seen = features()
    found = head("lse").evidence(seen)
    low, high = (head("lse", sharpness=r).logits(seen) for r in (1e-2, 1e3))
    assert torch.allclose(low, found.mean(dim=(2, 3)), atol=1e-2)
    assert torch.allclose(high, found.amax(dim=(2, 3)), atol=1e-2)
    assert not torch.allclose(head("lse").logits(seen), low, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_lse_holds_what_half_precision_cannot(dtype):
    """10 x 30000 is infinite in float16, and exp(40) already is."""
    for top in (4.0, 3e4, -3e4):
        made, seen = showing("lse", [[top, top - 8, top - 8, top - 8]])
        logits = made.to(dtype).logits(seen.to(dtype))
        assert logits.dtype == dtype
        assert value(logits) == pytest.approx([top - math.log(4) / 10], rel=1e-2)


def test_wildcat_by_hand():
    """Two of six locations: the highest are 4 and 3, the lowest -5 and -2."""
    made, seen = showing("wildcat", EVIDENCE, maps=1, share=1 / 3, alpha=0.5)
    assert value(made.logits(seen)) == pytest.approx([3.5 + 0.5 * -3.5])
    made, seen = showing("wildcat", EVIDENCE, maps=3, share=1 / 3, alpha=0)
    assert value(made.logits(seen)) == pytest.approx([3.5])
    assert value(made.evidence(seen)) == pytest.approx(value(seen))


@torch.no_grad()
def test_wildcat_holds_max_and_the_mean():
    """One location alone is the maximum; all of them, the mean and alpha times the mean."""
    seen = features()
    found = head("wildcat").evidence(seen)
    one = head("wildcat", share=0.001, alpha=0).logits(seen)
    every = head("wildcat", share=1, alpha=0.5).logits(seen)
    assert torch.equal(one, found.amax(dim=(2, 3)))
    assert torch.allclose(every, 1.5 * found.mean(dim=(2, 3)), atol=1e-5)


def test_the_maps_of_wildcat_learn_apart():
    made = head("wildcat")
    assert made.maps.weight.shape == (CLASSES * 4, DIM)
    assert len({tuple(row.tolist()) for row in made.maps.weight}) == CLASSES * 4


@torch.no_grad()
def test_attention_by_hand():
    """A location of feature 1 and one of feature 0 under known weights."""
    made = build_head("attention", 1, 1, {})
    nn.init.constant_(made.content.weight, 2.0)
    nn.init.constant_(made.gate.weight, 1.0)
    nn.init.constant_(made.importance.weight, 1 / UNITS)
    nn.init.constant_(made.classes.weight, 3.0)
    nn.init.constant_(made.classes.bias, 0.5)
    seen = torch.tensor([[[[1.0, 0.0]]]])
    score = math.tanh(2) / (1 + math.exp(-1))
    first = math.exp(score) / (math.exp(score) + 1)
    assert value(made.weights(seen)) == pytest.approx([first, 1 - first])
    assert value(made.logits(seen)) == pytest.approx([3 * first + 0.5])
    assert value(made.evidence(seen)) == pytest.approx([2 * first * 3 + 0.5, 0.5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_attention_sums_to_one_and_prefers(dtype):
    made, seen = head("attention").to(dtype), features().to(dtype)
    made.importance.weight *= 50
    weights = made.weights(seen)
    assert weights.shape == (2, 5, 7) and weights.dtype == torch.float32
    assert torch.allclose(weights.sum(dim=(1, 2)), torch.ones(2), atol=1e-5)
    assert weights.min() >= 0 and weights.amax() > 2 / 35


@pytest.mark.parametrize("pooling", HEADS)
@torch.no_grad()
def test_the_order_of_locations_changes_no_logit_and_evidence_follows_it(pooling):
    made, seen = head(pooling), features()
    order = torch.randperm(35, generator=torch.Generator().manual_seed(2))
    moved = seen.flatten(2)[:, :, order].view_as(seen)
    assert torch.allclose(made.logits(moved), made.logits(seen), atol=1e-5)
    expected = made.evidence(seen).flatten(2)[:, :, order].view(2, CLASSES, 5, 7)
    assert torch.allclose(made.evidence(moved), expected, atol=1e-5)


@pytest.mark.parametrize("pooling", HEADS)
@pytest.mark.parametrize("shape", [(5, 7), (1, 1)])
@torch.no_grad()
def test_where_all_locations_are_alike_the_logit_is_their_evidence(pooling, shape):
    made = head(pooling, **({"alpha": 0} if pooling == "wildcat" else {}))
    seen = features(2, DIM, 1, 1).expand(-1, -1, *shape)
    found, logits = made.evidence(seen), made.logits(seen)
    assert torch.allclose(found, logits[:, :, None, None].expand_as(found), atol=1e-5)


@torch.no_grad()
def test_wildcat_of_one_location_counts_it_for_and_against():
    made, seen = head("wildcat"), features(2, DIM, 1, 1)
    assert torch.allclose(made.logits(seen), 1.7 * made.evidence(seen)[:, :, 0, 0], atol=1e-5)


@pytest.mark.parametrize("pooling", HEADS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_gives_the_same_to_its_digits(pooling, dtype):
    made, seen = head(pooling), features()
    exact, found = made.logits(seen), made.evidence(seen)
    made, seen = made.to(dtype), seen.to(dtype)
    assert made.logits(seen).dtype == made.evidence(seen).dtype == dtype
    assert torch.allclose(made.logits(seen).float(), exact, atol=0.05)
    assert torch.allclose(made.evidence(seen).float(), found, atol=0.05)


@pytest.mark.parametrize("pooling", HEADS)
def test_every_weight_is_learnt_from_the_logits(pooling):
    made = head(pooling)
    made.logits(features()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_an_unknown_pooling_is_a_sentence():
    with pytest.raises(ValueError, match="no pooling 'mean'; use one of gap, max, lse, wildcat"):
        build_head("mean", DIM, CLASSES, {})
