"""Labels for boundaries: cut at two thresholds, drawn to edges, in the order of the tiles."""

import numpy as np
import pytest
import torch

from tests.lib.squares import SIDE, Store
from workflow.lib.refine.affinity_labels import count_mixed, label_bag, label_pixels
from workflow.lib.refine.random_fields import RandomField
from workflow.lib.refine.seed_bags import cam_bag
from workflow.lib.tiles.bags import TileBag

CUTS = {"foreground": 0.3, "background": 0.05}
FIELD = {"position_um": 8.0, "colour": 20.0, "bilateral_weight": 10.0, "smooth_um": 2.0}
FIELD |= {"smooth_weight": 3.0, "iterations": 5, "mpp": 1.0}


def label(bag, field=None, **changes):
    cpu = torch.device("cpu")
    return label_bag(bag, field=field, batch=3, device=cpu, **(CUTS | changes))


def bag_of(stores, negative, evidence=None):
    tiles = TileBag([f"s{k}" for k in range(len(stores))], stores, negative)
    maps = evidence or [store.evidence() for store in stores]
    return cam_bag(tiles, [each.__getitem__ for each in maps], SIDE)


def test_thresholds_by_hand():
    evidence = torch.tensor([[[0.0, 0.05, 0.06], [0.3, 0.31, 1.0]]])
    found = label_pixels(evidence, torch.zeros(1, 3, 2, 3), field=None, mpp=1.0, **CUTS)
    assert found.dtype == torch.uint8
    assert found.tolist() == [[[0, 0, 255], [255, 1, 1]]]


def test_the_field_draws_labels_to_the_edge_of_the_picture():
    """Evidence that lies one column beside what it is evidence of."""
    truth = (torch.arange(12) < 6).float().expand(12, 12)
    picture = torch.stack([truth, truth, 1 - truth])[None]
    evidence = (torch.arange(12) < 7).float().expand(1, 12, 12)
    field = RandomField(**FIELD)
    found = label_pixels(evidence, picture, field=field, mpp=1.0, **CUTS)
    assert torch.equal(found[0], truth.byte())
    blind = label_pixels(evidence, picture, field=None, mpp=1.0, **CUTS)
    assert torch.equal(blind[0], evidence[0].byte())


def test_both_cuts_are_drawn_and_what_lies_between_is_ignored():
    """Three stripes of colour, of which the middle one has evidence between the thresholds."""
    stripe = torch.arange(15).expand(15, 15) // 5
    picture = torch.stack([stripe == k for k in range(3)]).float()[None]
    evidence = torch.tensor([0.9, 0.2, 0.0])[stripe][None]
    found = label_pixels(evidence, picture, field=RandomField(**FIELD), mpp=1.0, **CUTS)
    assert torch.equal(found[0], torch.tensor([1, 255, 0]).byte()[stripe])


def test_tiles_keep_their_own_labels_and_negative_slides_are_background():
    stores = [Store(3, bad=[1]), Store(2, seed=1), Store(4, seed=2)]
    for store in stores:
        store.attrs = {"tile_px": SIDE, "mpp": 1.0}
    bag = bag_of(stores, [0, 1, 0])
    found = label(bag)
    assert found.shape == (8, SIDE // 4, SIDE // 4)
    assert not found[2:4].any()  # although their cams are as hot as any
    for index, (store, row) in {0: (0, 0), 1: (0, 2), 4: (2, 0), 7: (2, 3)}.items():
        y, x = stores[store].corners[row] // 4
        assert (found[index, y : y + 3, x : x + 3] == 1).sum() >= 4
        assert (found[index] == 0).sum() > 20
    assert torch.equal(label(bag_of(stores, [1, 1, 1])), torch.zeros_like(found))


def test_the_picture_counts_where_there_is_a_field():
    """A cam of 4 x 4 locations is blunt; labels of the field have the square's own corners."""
    store = Store(2)
    store.attrs = {"tile_px": SIDE, "mpp": 1.0}
    found = label(bag_of([store], [0]), RandomField(**FIELD))
    assert np.array_equal(found.numpy(), store.squares()[:, ::4, ::4])
    blunt = label(bag_of([store], [0])).numpy()
    assert not np.array_equal(blunt, found.numpy())


@pytest.mark.parametrize(("side", "grid"), [(30, 8), (224, 56), (230, 46), (512, 52)])
def test_labels_have_a_fourth_of_the_side_and_at_most_56_pixels(side, grid):
    store = Store(1)
    store.attrs = {"tile_px": side, "mpp": 1.0}
    store.tiles = np.zeros((1, side, side, 3), np.uint8)
    tiles = TileBag(["a"], [store], [0])
    assert label(cam_bag(tiles, [torch.ones(1, 4, 4).__getitem__], side)).shape == (1, grid, grid)


def test_only_tiles_with_both_labels_count_as_mixed():
    tiles = [[0, 0, 255], [1, 1, 255], [0, 255, 1], [255, 255, 255], [0, 1, 0]]
    assert count_mixed(torch.tensor(tiles, dtype=torch.uint8)[:, None]) == 2
    assert count_mixed(torch.zeros(0, 1, 1)) == 0


def test_a_bag_of_nothing_has_no_labels():
    assert len(label(cam_bag(TileBag([], [], []), [], SIDE))) == 0
