"""Points as seeds: where a point of a slide lands in a tile, and what is learnt from it."""

import numpy as np
import pytest
import torch

from tests.lib.refine.test_seed_lessons import PUBLISHED, SIDE, STILL, Store, decoder
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.networks.fitting import fit
from workflow.lib.refine.negev import NO_SEED
from workflow.lib.refine.point_lessons import (
    PointBag,
    PointLesson,
    make_point_sampler,
    open_point_bag,
)
from workflow.lib.refine.seed_bags import SeedBag, cam_bag
from workflow.lib.refine.seed_lessons import make_sampler
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.stores import create_group, create_tiles, write_rows

TILE, SCALE = 8, 2.5
PLACED = {"a": {"label": "tumour"}, "b": {"label": "tumour"}, "n": {"label": "normal"}}
# a: (y, x) in level-0 px = tile px * 2.5 + corner; the second is in the tile that is bad
POINTS = {"a": ([[6.25, 28.75], [21.0, 1.0], [4.0, 3.0]], [1, 1, 0]), "b": ([], []), "n": ([], [])}


@pytest.fixture
def study(tmp_path):
    """Slides of three tiles of 8 px at 2.5 level-0 px: two side by side, a bad one below."""

    def tile(slide, folder):
        pixels = np.full((3, TILE, TILE, 3), 200, np.uint8)
        made = {"count": 3, "tile_px": TILE, "codec": "lossless", "quality": 90}
        group = create_tiles(folder / "tiles.zarr", pixels, **made)
        group.attrs.update({"tile_px": TILE, "stride_px": TILE, "mpp": 0.5, "scale": SCALE})
        corners = np.array([[0, 0], [0, TILE], [TILE, 0]])
        rows = {"positions_px": corners, "origins": np.rint(corners * SCALE).astype(int)}
        rows |= dict.fromkeys(("tissue", "blur"), np.ones(3, np.float32))
        for name, values in (rows | {"bad": np.arange(3) == 2}).items():
            write_rows(group, name, values)

    def mark(slide, folder):
        places, sides = POINTS[slide.slide]
        group = create_group(folder / "points.zarr")
        write_rows(group, "places_px0", np.array(places, float).reshape(-1, 2))
        write_rows(group, "sides", np.array(sides, np.uint8))

    recipe = {"rule": "r", "settings": {}, "code": "", "versions": {}, "made_of": {}}
    slides = [Slide(name, None, name, row["label"]) for name, row in PLACED.items()]
    shard = Shard("all", slides, recipe | {"slides": dict.fromkeys(PLACED)})
    visit(tmp_path / "tiles" / "all.json", shard, tile)
    visit(tmp_path / "points" / "all.json", shard, mark)
    return tmp_path


def opened(study, **changes):
    settings = {"negative": "normal", "radius_um": 0.2, "cams": None, "cam_scale": "softmax"}
    return open_point_bag(study / "tiles", study / "points", PLACED, **(settings | changes))


def seeds_of(bag, index):
    maps = bag.maps(torch.tensor([index]))
    return make_point_sampler(None)(maps, torch.Generator().manual_seed(0))[0]


def test_a_point_lands_where_it_was_set(study):
    """(6.25, 28.75) / 2.5 = (2.5, 11.5): in the second tile, which begins at x = 8, the middle
    of pixel (2, 3). (4, 3) / 2.5 = (1.6, 1.2): pixel (1, 1) of the first."""
    bag = opened(study)
    first, second = seeds_of(bag, 0), seeds_of(bag, 1)
    assert torch.nonzero(second != NO_SEED).tolist() == [[2, 3]] and second[2, 3] == 1
    assert torch.nonzero(first != NO_SEED).tolist() == [[1, 1]] and first[1, 1] == 0


def test_radius_is_in_micrometres(study):
    """0.5 um are one pixel of 0.5 um: the pixel of the point and its four neighbours."""
    second = seeds_of(opened(study, radius_um=0.5), 1)
    expected = [[1, 3], [2, 2], [2, 3], [2, 4], [3, 3]]
    assert torch.nonzero(second != NO_SEED).tolist() == expected


def test_only_tiles_that_something_is_learnt_from_are_kept(study):
    """Two tiles of a, none of b, both good ones of the negative slide; the bad one counts not."""
    bag = opened(study)
    assert bag.tiles.names(range(len(bag.tiles))) == ["a", "n"]
    assert bag.pointed.tolist() == [True, True, False, False]
    assert bag.negative.tolist() == [False, False, True, True]
    assert bag.counts == {"a": (1, 1), "b": (0, 0), "n": (0, 0)}


def test_points_in_no_tile_are_told(study, caplog):
    opened(study)
    assert "a: 1 of 3 points reach no tile." in caplog.text


def test_no_slides_no_tiles(study):
    empty = {"negative": "normal", "radius_um": 1.0, "cams": None, "cam_scale": "softmax"}
    bag = open_point_bag(study / "tiles", study / "points", {}, **empty)
    assert len(bag.tiles) == 0 and bag.counts == {}


def test_with_a_cam_points_count_for_more():
    tiles = TileBag(["a"], [Store(1)], [0])
    everywhere = torch.ones(1, 4, 4)  # the cam says: all foreground
    base = cam_bag(tiles, [everywhere.__getitem__], SIDE)
    bag = PointBag(base, {0: (np.array([[4.0, 4.0]]), np.array([0]))}, {"a": (1, 0)}, radius_px=3)
    cam = {"seeds": "cam", "background": "intended"}
    draw = make_sampler(**cam, **(PUBLISHED | {"foreground_pixels": 200}))
    seeds = make_point_sampler(draw)(bag.maps(torch.tensor([0])), torch.Generator().manual_seed(0))
    alone = make_point_sampler(None)(bag.maps(torch.tensor([0])), None)
    marked = alone == 0
    assert marked.sum() > 20 and (seeds[marked] == 0).all()
    assert (seeds[~marked] == 1).sum() > 100
    assert (alone[~marked] == NO_SEED).all()


def lesson_of(bag):
    return PointLesson(
        decoder(),
        bag,
        cam_bag(TileBag([], [], []), [], SIDE),
        make_point_sampler(None),
        seed_weight=1.0,
        batch_size=8,
        augmentation=STILL,
        precision="fp32",
        seed=0,
        device=torch.device("cpu"),
    )


def pointed_bag(stores, negative):
    """A point in the middle of the red square of each tile of the first slide, one opposite."""
    tiles = TileBag([f"s{k}" for k in range(len(stores))], stores, negative)
    half = SIDE // 2
    middles = stores[0].corners + half / 2
    discs = {
        k: (np.array([middle, (middle + half) % SIDE]), np.array([1, 0]))
        for k, middle in enumerate(middles)
    }
    base = SeedBag(tiles, lambda k: torch.full((len(k), SIDE, SIDE), 0.5), thinned=False)
    return PointBag(base, discs, {"s0": (len(middles), len(middles))}, radius_px=2)


def test_few_tiles_with_points_are_dealt_as_often_as_many_without():
    bag = pointed_bag([Store(2), Store(30, red=False, seed=1)], [0, 1])
    lesson = lesson_of(bag)
    dealt = torch.cat(lesson.batches(0))
    assert len(dealt) == 32 and (dealt < 2).sum() == 16
    assert torch.equal(torch.cat(lesson.batches(0)), dealt)
    assert lesson.validate() is None


def test_it_learns_where_from_two_points_a_tile(tmp_path):
    bag = pointed_bag([Store(24), Store(24, red=False, seed=1)], [0, 1])
    lesson = lesson_of(bag)
    groups = lesson.groups(learning_rate=0.02, weight_decay=0.0)
    fit(lesson, groups, epochs=5, patience=None, seed=0, work=tmp_path, key="k")
    unseen = Store(8, seed=7)
    with torch.no_grad():
        pixels = torch.from_numpy(unseen.tiles).permute(0, 3, 1, 2) / 255
        probability = lesson.model.probability(pixels)
    inside = torch.from_numpy(unseen.masks()).bool()
    assert probability[inside].mean() > probability[~inside].mean() + 0.3
