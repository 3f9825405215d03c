"""Bags of tiles: the right pixels, and every class and slide its share."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.held import HeldTiles
from workflow.lib.tiles.bags import TileBag, balanced_order, open_bag, tile_weights
from workflow.lib.tiles.stores import create_group, create_tiles, write_rows


def store(slide, count, bad=()):
    """Tiles whose pixels say (slide, row)."""
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = slide, np.arange(count)[:, None, None]
    return HeldTiles(pixels, bad)


def bag(counts, labels, clusters=None, **bad):
    stores = [store(i, count, bad.get(f"bad{i}", ())) for i, count in enumerate(counts)]
    return TileBag([f"s{i}" for i in range(len(counts))], stores, labels, clusters)


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


@settings(max_examples=60)
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


def groups_of_slides(bag):
    """What a bag's groups were when a group could only be a slide: runs of tiles."""
    found = {}
    counts = torch.bincount(bag.slide, minlength=len(bag.slides)).tolist()
    for tiles in torch.arange(len(bag)).split(counts):
        if len(tiles):
            found.setdefault(int(bag.label[tiles[0]]), []).append(tiles)
    return [found[label] for label in sorted(found)]


def as_lists(groups):
    return [[tiles.tolist() for tiles in label] for label in groups]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=8))
def test_without_clusters_the_groups_are_slides_in_their_order(slides):
    made = bag(*zip(*slides, strict=True))
    assert as_lists(made.groups()) == as_lists(groups_of_slides(made))


def test_groups_of_clusters_by_hand():
    """A cluster spans slides but not classes; groups come in the order of their ids."""
    clusters = [np.array([7, 2, 7]), np.array([2]), np.array([2, 0, 7])]
    made = bag([3, 1, 3], [1, 1, 0], clusters)
    assert as_lists(made.groups(made.cluster)) == [[[5], [4], [6]], [[1, 3], [0, 2]]]
    assert as_lists(made.groups()) == [[[4, 5, 6]], [[0, 1, 2], [3]]]


def test_the_clusters_are_of_the_tiles_that_can_be_read():
    clusters = [np.array([4, 9, 6], np.int32), np.array([9, 9], np.int32), np.array([5], np.int32)]
    made = bag([3, 2, 1], [0, 1, 1], clusters, bad0=[1], bad1=[0, 1])
    assert made.cluster.tolist() == [4, 6, 5] and made.cluster.dtype == torch.int64
    assert made.row.tolist() == [0, 2, 0] and made.slide.tolist() == [0, 0, 2]
    assert bag([3], [0]).cluster is None
    assert TileBag([], [], [], []).cluster.tolist() == []


@st.composite
def clustered(draw):
    slides = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=6))
    ids = [draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)) for n, _ in slides]
    return bag(*zip(*slides, strict=True), [np.array(found, np.int32) for found in ids])


@settings(max_examples=60)
@given(clustered(), st.integers(0, 99))
def test_every_class_and_every_cluster_in_it_gets_its_turn(made, seed):
    if not len(made):
        return
    generator = torch.Generator().manual_seed(seed)
    order = balanced_order(made, by=made.cluster, generator=generator)
    labels = made.label.unique()
    share = -(-len(made) // len(labels))
    deals = torch.bincount(order, minlength=len(made))
    for label in labels:
        assert deals[made.label == label].sum() == share
        members = [
            (made.label == label) & (made.cluster == cluster)
            for cluster in made.cluster[made.label == label].unique()
        ]
        turns = torch.stack([deals[tiles].sum() for tiles in members])
        assert turns.max() - turns.min() <= 1
        for tiles in members:  # no tile twice before all of its cluster were dealt
            assert deals[tiles].max() - deals[tiles].min() <= 1


def test_rare_tissue_is_drawn_as_often_as_common_tissue():
    """Twenty tiles of one cluster and two of another: ten times more of each of the two."""
    made = bag([22], [0], [np.repeat([0, 1], [20, 2])])
    order = balanced_order(made, by=made.cluster, generator=torch.Generator().manual_seed(0))
    deals = torch.bincount(order, minlength=22)
    assert deals[20:].tolist() in ([5, 6], [6, 5]) and deals[:20].sum() == 11


def test_tiles_may_have_labels_of_their_own():
    """A label below 0 leaves a tile out, and so does its being bad; clusters follow."""
    own = [np.array([1, -1, 0, 1], np.int16), np.array([0, 0], np.int16), np.array([-1], np.int16)]
    clusters = [np.array([4, 5, 6, 7]), np.array([8, 9]), np.array([3])]
    stores = [store(i, count, bad) for i, count, bad in ((0, 4, [3]), (1, 2, []), (2, 1, []))]
    made = TileBag(["a", "b", "c"], stores, [1, 0, 1], clusters, own)
    assert made.row.tolist() == [0, 2, 0, 1] and made.slide.tolist() == [0, 0, 1, 1]
    assert made.label.tolist() == [1, 0, 0, 0] and made.label.dtype == torch.int64
    assert made.cluster.tolist() == [4, 6, 8, 9]
    assert as_lists(made.groups()) == [[[1], [2, 3]], [[0]]]  # slide a has a part in both classes
    # half for each class; normal: half for a's one tile and half for b's two
    assert tile_weights(made).tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 8])


def write_slide(root, name, *, count=3, verdict="ok", clusters=None):
    for stage in ("tiles", "assignments"):
        (root / stage / name).mkdir(parents=True)
        (root / stage / name / "manifest.json").write_text(json.dumps({"verdict": verdict}))
    if verdict != "ok":
        return
    pixels = np.full((count, 2, 2, 3), 7, np.uint8)
    file = root / "tiles" / name / "tiles.zarr"
    group = create_tiles(file, pixels, count=count, tile_px=2, codec="lossless", quality=90)
    for row in ("origins", "positions_px", "tissue", "blur"):
        write_rows(group, row, np.zeros(count))
    write_rows(group, "bad", np.arange(count) == 1)
    group = create_group(root / "assignments" / name / "assignments.zarr")
    write_rows(group, "assignments", np.asarray(clusters, np.int32))


def test_a_bag_is_opened_from_the_slides_that_are_there(tmp_path):
    write_slide(tmp_path, "b", clusters=[1, 2, 3])
    write_slide(tmp_path, "a", clusters=[4, 5], count=2)
    write_slide(tmp_path, "lost", verdict="E_MPP")
    labels = {"b": 0, "lost": 0, "a": 1, "never_made": 1}
    made = open_bag(tmp_path / "tiles", labels, tmp_path / "assignments")
    assert made.slides == ["a", "b"] and made.label.tolist() == [1, 0, 0]
    assert made.row.tolist() == [0, 0, 2] and made.cluster.tolist() == [4, 1, 3]
    assert open_bag(tmp_path / "tiles", labels).cluster is None
    assert len(open_bag(tmp_path / "tiles", {})) == 0


def test_the_order_is_that_of_the_seed():
    made = bag([5, 9], [0, 1])
    first, again, other = (
        balanced_order(made, generator=torch.Generator().manual_seed(seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_part_of_a_bag_is_a_bag_of_the_same_slides():
    made = bag([3, 0, 2], [1, 0, 0])
    part = made.only(np.array([4, 1]))
    assert part.slides == made.slides and len(part) == 2 and len(made) == 5
    for name in ("row", "slide", "label"):
        assert getattr(part, name).tolist() == getattr(made, name)[[4, 1]].tolist()
