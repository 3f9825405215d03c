"""Pooling: by hand, and always a probability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workflow.lib.networks.pooling import pool_tiles

TILES = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])


def test_the_mean_is_over_all_tiles():
    assert pool_tiles(TILES, "mean", negative=0).tolist() == pytest.approx([17 / 30, 13 / 30])
    assert pool_tiles(TILES, "mean", negative=None).tolist() == pytest.approx([17 / 30, 13 / 30])


def test_max_is_the_tile_least_like_the_negative_class():
    assert pool_tiles(TILES, "max", negative=0).tolist() == [0.2, 0.8]
    assert pool_tiles(TILES, "max", negative=1).tolist() == [0.9, 0.1]


def test_top_k_is_the_tenth_least_like_the_negative_class():
    tumour = np.r_[0.9, 0.7, np.full(10, 0.1)]  # 12 tiles: two of them
    tiles = np.stack([1 - tumour, tumour], axis=1)
    assert pool_tiles(tiles, "top_k", negative=0).tolist() == pytest.approx([0.2, 0.8])


def test_without_a_negative_class_each_class_has_its_own_tiles():
    assert pool_tiles(TILES, "max", negative=None).tolist() == pytest.approx([0.9 / 1.7, 0.8 / 1.7])


@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 25), st.integers(2, 4)), elements=st.floats(0.01, 1)
    ),
    st.sampled_from(["mean", "max", "top_k"]),
    st.sampled_from([None, 0, 1]),
)
def test_it_is_a_probability_whatever_the_order(raw, pooling, negative):
    tiles = raw / raw.sum(axis=1, keepdims=True)
    pooled = pool_tiles(tiles, pooling, negative=negative)
    assert pooled.sum() == pytest.approx(1) and (pooled >= 0).all()
    if len(np.unique(tiles[:, negative or 0])) == len(tiles):  # a tie may be broken either way
        assert pool_tiles(tiles[::-1], pooling, negative=negative) == pytest.approx(pooled)


def test_another_word_is_an_error():
    with pytest.raises(ValueError, match="'median'; write mean, max or top_k"):
        pool_tiles(TILES, "median", negative=0)
