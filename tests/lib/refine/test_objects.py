"""Objects of masks: told apart by label, by outline, or by what hangs together."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from workflow.lib.refine import objects as module
from workflow.lib.refine.objects import open_instances, tile_instances
from workflow.lib.slides import truth as masks
from workflow.lib.slides.annotations import read_areas
from workflow.lib.slides.truth import rasterise, read_mask
from workflow.lib.tiles.stores import Tiles, create_tiles, write_rows

LABELS = np.array(
    [
        [7, 7, 9, 0, 0, 0],
        [7, 7, 9, 0, 7, 7],
        [0, 0, 0, 0, 0, 0],
        [9, 9, 0, 0, 0, 0],
    ],
    np.uint8,
)
OBJECTS = [{(0, 0), (0, 1), (1, 0), (1, 1)}, {(0, 2), (1, 2)}, {(1, 4), (1, 5)}, {(3, 0), (3, 1)}]


def image(path, labels):
    Image.fromarray(labels).save(path)
    return path


def drawing(path, *boxes):
    rings = [
        [[[left, top], [right, top], [right, bottom], [left, bottom]]]
        for left, top, right, bottom in boxes
    ]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": rings}))
    return path


def read(path, rows=(0, 4)):
    shape = LABELS.shape
    return open_instances(path, shape_px0=shape, out_shape=shape, scale=1.0)(rows)


def parts(found):
    return [set(zip(*np.nonzero(found == n), strict=True)) for n in np.unique(found[found > 0])]


def test_labels_that_differ_and_pieces_that_do_not_touch_are_objects(tmp_path):
    found = read(image(tmp_path / "m.png", LABELS))
    assert found.dtype == np.int32
    assert sorted(map(sorted, parts(found))) == sorted(map(sorted, OBJECTS))


def test_a_mask_of_one_label_has_its_pieces_for_objects(tmp_path):
    found = read(image(tmp_path / "m.png", np.uint8(LABELS > 0) * 255))
    assert np.array_equal(found > 0, LABELS > 0)
    assert len(parts(found)) == 3  # 7 and 9 touch above


def test_areas_of_a_drawing_stay_apart_where_they_touch_and_the_later_lies_on_top(tmp_path):
    found = read(drawing(tmp_path / "m.geojson", (0, 0, 2, 4), (2, 0, 4, 4), (3, 3, 6, 4)))
    expected = [[1, 1, 2, 2, 0, 0]] * 3 + [[1, 1, 2, 3, 3, 3]]
    assert found.tolist() == expected


def test_what_is_cut_out_of_a_drawing_is_in_no_object(tmp_path):
    xml = """<Annotations><Annotation><Regions>
    <Region NegativeROA="0"><Vertices>{}</Vertices></Region>
    <Region NegativeROA="1"><Vertices>{}</Vertices></Region>
    </Regions></Annotation></Annotations>"""
    rings = [((0, 0), (6, 0), (6, 4), (0, 4)), ((1, 1), (3, 1), (3, 3), (1, 3))]
    spelled = ["".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring) for ring in rings]
    file = tmp_path / "m.xml"
    file.write_text(xml.format(*spelled))
    expected = np.ones((4, 6), int)
    expected[1:3, 1:3] = 0
    assert read(file).tolist() == expected.tolist()


def test_a_band_holds_the_same_pixels_as_the_whole(tmp_path):
    files = [image(tmp_path / "m.png", LABELS), drawing(tmp_path / "m.geojson", (0, 0, 2, 2))]
    for file in files:
        assert np.array_equal(read(file, (1, 3)) > 0, read(file)[1:3] > 0)


def scattered(path, rng, count):
    """Areas with a hole each, some of them cut, anywhere on a slide of 80 x 120 px."""
    areas = []
    for _ in range(count):
        middle = rng.random(2) * (80, 120)
        turn = np.sort(rng.random(7)) * 2 * np.pi
        ring = middle + rng.random(2) * 30 * np.stack([np.sin(turn), np.cos(turn)], axis=1)
        areas.append([np.clip(each, 0, (80, 120)) for each in (ring, middle + (ring - middle) / 2)])
    rings = [[ring[:, ::-1].tolist() for ring in area] for area in areas]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": rings}))
    cut = rng.random(count) < 0.3
    return path, [replace(a, cut=bool(c)) for a, c in zip(read_areas(path), cut, strict=True)]


@pytest.mark.parametrize("seed", range(12))
def test_bands_of_a_drawing_are_as_if_each_area_was_drawn_over_all_of_the_band(
    tmp_path, monkeypatch, seed
):
    """The slow way: every area over the whole width, under the mask of all of them."""
    rng = np.random.default_rng(seed)
    file, areas = scattered(tmp_path / "m.geojson", rng, count=9)
    monkeypatch.setattr(masks, "read_areas", lambda path: areas)
    about, scale = {"shape_px0": (80, 120), "out_shape": (53, 80)}, 1.5
    read = open_instances(file, **about, scale=scale)
    for first, last in ((0, 53), (0, 11), (11, 30), (47, 53)):
        rows, steps = (first, last), (scale, scale)
        mask = read_mask(file, **about, scale=scale, rows=rows)
        expected, number = np.zeros(mask.shape, int), 0
        for area in (area for area in areas if not area.cut):
            y = np.concatenate([ring[:, 0] for ring in area.rings]) / scale
            if y.min() < last and y.max() > first:
                number += 1
                inside = rasterise([area], steps=steps, rows=rows, width=80)
                expected[(inside & mask) > 0] = number
        assert np.array_equal(read(rows), expected)


def test_an_area_is_drawn_where_it_is_and_its_file_is_read_once(store, tmp_path, monkeypatch):
    """Tiles lie in two bands; the left square is in the first alone, the right one in both."""
    file, drawn = drawing(tmp_path / "m.geojson", (0, 0, 4, 2), (12, 6, 18, 10)), []
    read, fill = module.read_drawing, module.fill
    monkeypatch.setattr(module, "read_drawing", lambda *given: drawn.append("read") or read(*given))

    def watched(*given, **about):
        found = fill(*given, **about)
        drawn.append(found[1].shape)
        return found

    monkeypatch.setattr(module, "fill", watched)
    assert len(list(tile_instances(file, store))) == 6
    assert drawn == ["read", (1, 2), (1, 3), (2, 3)]


def test_a_damaged_mask_is_refused_as_in_evaluation(tmp_path):
    (tmp_path / "m.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="m.png is not a readable image"):
        read(tmp_path / "m.png")


@pytest.fixture
def store(tmp_path):
    """Tiles of 4 px of a slide of 6 x 10 px at half its resolution: two rows of three."""
    corners = np.array([(y, x) for y in (0, 2) for x in (0, 4, 6)], np.int64)
    pixels = np.zeros((6, 4, 4, 3), np.uint8)
    group = create_tiles(
        tmp_path / "tiles.zarr", pixels, count=6, tile_px=4, codec="lossless", quality=90
    )
    sizes = {"height_px": 6, "width_px": 10, "height_px0": 12, "width_px0": 20}
    group.attrs.update({"tile_px": 4, "scale": 2.0, **sizes})
    rows = {"origins": 2 * corners, "positions_px": corners, "bad": np.zeros(6, bool)}
    rows |= {name: np.ones(6, np.float32) for name in ("tissue", "blur")}
    for name, values in rows.items():
        write_rows(group, name, values)
    return Tiles(tmp_path / "tiles.zarr")


def test_tiles_see_the_truth_under_them_and_a_margin_around_them(store, tmp_path):
    truth = np.random.default_rng(0).integers(0, 2, (6, 10), dtype=np.uint8)
    file = image(tmp_path / "m.png", truth.repeat(2, 0).repeat(2, 1))  # level-0 px
    around = np.pad(truth, 3)
    found = list(tile_instances(file, store, margin_px=3))
    for (top, left), objects in zip(store.positions_px, found, strict=True):
        assert np.array_equal(objects > 0, around[top : top + 10, left : left + 10] > 0)


def test_objects_of_a_tile_are_told_apart_by_what_lies_beside_it(store, tmp_path):
    """Two pieces of one object, in a tile, which hangs together outside of it."""
    truth = np.ones((6, 10), np.uint8)
    truth[1, :6] = 0
    tile = next(tile_instances(image(tmp_path / "m.png", truth), store))
    assert set(np.unique(tile)) == {0, 1}
    assert tile[0].all() and not tile[1].any() and tile[2].all()


def test_without_a_mask_all_is_background(store):
    found = list(tile_instances(None, store, margin_px=1))
    assert len(found) == 6 and not np.any(found)
    assert found[0].shape == (6, 6)
