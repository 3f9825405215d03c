"""What pools the tiles of a slide: what it must be whatever it has learnt."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.planted import DIM
from workflow.lib.networks.aggregators import Aggregator, read_slide

CPU = torch.device("cpu")


def aggregator(classes=("normal", "tumour"), seed=0, dropout=0.25, top_tiles=None):
    torch.manual_seed(seed)
    model = Aggregator(DIM, classes, hidden=8, dropout=dropout, top_tiles=top_tiles)
    model.standardise([np.random.default_rng(seed).normal(3, 2, (50, DIM)).astype(np.float32)])
    return model.eval()


def tiles(count, seed=1):
    return np.random.default_rng(seed).normal(3, 2, (count, DIM)).astype(np.float32)


def read(model, features):
    return read_slide(model, [features], device=CPU)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(2, 4), st.integers(0, 99))
def test_attention_adds_up_to_1_and_evidence_means_to_the_logits(count, classes, seed):
    model = aggregator([f"c{number}" for number in range(classes)], seed)
    found = read(model, tiles(count, seed))
    assert found.attention.shape == (count,) and (found.attention > 0).all()
    assert found.attention.sum() == pytest.approx(1)
    assert found.evidence.shape == (count, classes)
    assert np.allclose(found.evidence.mean(axis=0), found.logits, atol=1e-9)
    assert np.allclose(
        found.logits, model(torch.from_numpy(tiles(count, seed))).detach(), atol=1e-5
    )
    assert np.allclose(found.evidence.sum(axis=1), 0, atol=1e-5)  # one class against the others


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(0, 99), st.sampled_from([None, 3]))
def test_the_order_of_tiles_and_of_blocks_means_nothing(count, seed, top_tiles):
    model, features = aggregator(top_tiles=top_tiles), tiles(count, seed)
    order = np.random.default_rng(seed).permutation(count)
    one, other = read(model, features), read(model, features[order])
    assert np.allclose(one.logits, other.logits, atol=1e-6)
    assert np.allclose(one.evidence[order], other.evidence, atol=1e-5)
    split = np.split(features, [count // 3, count // 2])
    parts = read_slide(model, [part for part in split if len(part)], device=CPU)
    assert np.allclose(parts.evidence, one.evidence, atol=1e-5)


def test_the_formulas_by_hand():
    """One number a tile, everything passed on: f = x, gate 1/2, attention exp(tanh(x) / 2)."""
    model = Aggregator(1, ["a", "b"], hidden=1, dropout=0).eval()
    with torch.no_grad():
        for layer, value in ((model.embed[0], 1.0), (model.content, 1.0), (model.gate, 0.0)):
            layer.weight.fill_(value)
            layer.bias.fill_(0.0)
        model.weigh.weight.fill_(1.0)
        model.head.weight.copy_(torch.tensor([[5.0], [1.0]]))  # against their mean: 2 and -2
        model.head.bias.copy_(torch.tensor([0.0, 1.0]))  # -1/2 and 1/2
    found = read(model, np.array([[1.0], [3.0], [-2.0]], np.float32))  # relu: 1, 3, 0
    raw = np.exp(np.tanh([1.0, 3.0, 0.0]) / 2)
    attention = raw / raw.sum()
    assert np.allclose(found.attention, attention)
    expected = 3 * attention * [2, 6, 0] - 0.5
    assert np.allclose(found.evidence[:, 0], expected, atol=1e-6)
    assert np.allclose(found.evidence[:, 1], -expected, atol=1e-6)
    assert found.logits[0] == pytest.approx(attention @ [2, 6, 0] - 0.5, abs=1e-6)


def test_the_top_tiles_by_hand():
    """A number a tile, everything passed on: f = 1, 3, 0, 2; scores of a 5 f, of b 7 - 7 f."""
    model = Aggregator(2, ["a", "b"], hidden=2, dropout=0, top_tiles=2).eval()
    with torch.no_grad():
        model.embed[0].weight.copy_(torch.eye(2))
        model.embed[0].bias.fill_(0.0)
        model.head.weight.copy_(torch.tensor([[5.0, 0.0], [-7.0, 7.0]]))
        model.head.bias.copy_(torch.tensor([0.0, 1.0]))  # -1/2 and 1/2
    features = np.array([[1, 1], [3, 1], [-2, 1], [2, 1]], np.float32)
    found = read(model, features)
    # a: mean of 15 and 10; b: mean of 7 (the third tile) and 0 (the first)
    assert found.logits.tolist() == [12.5 - 0.5, 3.5 + 0.5]
    assert found.attention.tolist() == [0, 0.5, 0, 0.5]  # a wins
    scores = np.array([[5, 0], [15, -14], [0, 7], [10, -7]])
    against = (scores[:, 0] - scores[:, 1]) / 2 - 0.5
    assert np.allclose(found.evidence, np.stack([against, -against], axis=1))
    assert np.allclose(model(torch.from_numpy(features)).detach(), found.logits)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_top_tiles_are_read_as_they_are_learnt_from(count, top_tiles, seed):
    """A slide with fewer tiles is the mean of all; the attention adds up to 1 whatever k is."""
    model, features = aggregator(seed=seed, top_tiles=top_tiles), tiles(count, seed)
    found = read(model, features)
    assert np.allclose(found.logits, model(torch.from_numpy(features)).detach(), atol=1e-5)
    assert np.count_nonzero(found.attention) == min(count, top_tiles)
    assert found.attention.sum() == pytest.approx(1)
    assert np.allclose(found.evidence.sum(axis=1), 0, atol=1e-5)


def test_tiles_that_are_not_among_the_highest_do_not_move_the_score():
    model, features = aggregator(top_tiles=2), tiles(9)
    scores = model.instances(torch.from_numpy(features))[1].detach().numpy()
    chosen = np.unique(np.argsort(-scores, axis=0)[:2])
    assert len(chosen) < 9
    assert np.allclose(read(model, features).logits, read(model, features[chosen]).logits)


def test_a_slide_of_one_tile_is_that_tile():
    found = read(aggregator(), tiles(1))
    assert found.attention.tolist() == [1] and np.allclose(found.evidence[0], found.logits)


@pytest.mark.parametrize("top_tiles", [None, 3])
def test_a_slide_without_a_tile_has_no_evidence(top_tiles):
    model = aggregator(top_tiles=top_tiles)
    for blocks in ([], [tiles(0)]):
        found = read_slide(model, blocks, device=CPU)
        assert found.attention.shape == (0,) and found.evidence.shape == (0, 2)
        assert np.allclose(found.logits, model.bias.detach())


def test_identical_tiles_share_everything_alike():
    model = aggregator()
    found = read(model, tiles(1).repeat(7, axis=0))
    assert np.allclose(found.attention, 1 / 7)
    assert np.allclose(found.evidence, found.logits, atol=1e-6)
    assert np.allclose(found.logits, read(model, tiles(1)).logits, atol=1e-6)


def test_features_are_standardised_by_the_training_tiles():
    model = Aggregator(3, ["a", "b"], hidden=2, dropout=0)
    blocks = np.array([[1, 5, 0.0], [3, 5, 0.0], [5, 5, 4.0], [7, 5, 4.0]], np.float32)
    model.standardise([blocks[:1], blocks[1:]])
    assert model.mean.tolist() == [4, 5, 2]
    assert model.scale.tolist() == pytest.approx([5**0.5, 1, 2])  # a constant stays as it is


@pytest.mark.parametrize("top_tiles", [None, 3])
def test_what_is_saved_is_loaded(tmp_path, top_tiles):
    model = aggregator(top_tiles=top_tiles)
    model.save(tmp_path, {"note": "kept"})
    again = Aggregator.load(tmp_path)
    assert again.classes == ["normal", "tumour"] and not again.training
    assert again.top_tiles == top_tiles
    assert np.array_equal(read(again, tiles(5)).evidence, read(model, tiles(5)).evidence)
