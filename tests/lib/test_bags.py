"""Bags of tiles: the right pixels, and every class and slide its share."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.bags import TileBag, balanced_order, tile_weights


def store(slide, count, bad=()):
    """Tiles whose pixels say (slide, row)."""
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = slide, np.arange(count)[:, None, None]
    return SimpleNamespace(bad=np.isin(np.arange(count), bad), batch=lambda rows: pixels[rows])


def bag(counts, labels, **bad):
    stores = [store(i, count, bad.get(f"bad{i}", ())) for i, count in enumerate(counts)]
    return TileBag([f"s{i}" for i in range(len(counts))], stores, labels)


def test_tiles_come_from_their_slides_in_the_asked_order():
    made = bag([3, 0, 2], [0, 1, 1], bad0=[1])
    assert len(made) == 4
    assert made.slide.tolist() == [0, 0, 2, 2] and made.label.tolist() == [0, 0, 1, 1]
    found = made.read(torch.tensor([3, 0, 2, 1]))
    assert found[:, 0, 0, :2].tolist() == [[2, 1], [0, 0], [2, 0], [0, 2]]
    assert made.names(torch.tensor([3, 0, 1])) == ["s0", "s2"]


def test_no_slides_make_an_empty_bag():
    assert len(TileBag([], [], [])) == 0
    assert len(bag([0, 2], [0, 1], bad1=[0, 1])) == 0


def test_weights_by_hand():
    """Class 0: one slide of two tiles. Class 1: slides of one and of two tiles."""
    weights = tile_weights(bag([2, 1, 2], [0, 1, 1]))
    assert weights.tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 4, 1 / 8, 1 / 8])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_every_class_and_slide_gets_its_turn(slides, seed):
    made = bag(*zip(*slides, strict=True))
    if not len(made):
        return
    order = balanced_order(made, generator=torch.Generator().manual_seed(seed))
    labels, per_class = made.label.unique(), torch.bincount(made.label[order])
    share = -(-len(made) // len(labels))
    assert all(per_class[label] == share for label in labels)
    for label in labels:
        mine = made.slide[made.label == label].unique()
        turns = torch.bincount(made.slide[order], minlength=9)[mine]
        assert turns.max() - turns.min() <= 1
        for slide in mine[turns > 0]:
            deals = torch.bincount(order, minlength=len(made))[made.slide == slide]
            assert deals.max() - deals.min() <= 1  # no tile twice before all were dealt
    assert float(tile_weights(made).sum()) == pytest.approx(1)


def test_the_order_is_that_of_the_seed():
    made = bag([5, 9], [0, 1])
    first, again, other = (
        balanced_order(made, generator=torch.Generator().manual_seed(seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert first == again != other
