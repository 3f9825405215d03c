"""Masks from drawings and label images: a pixel has the label found at its centre."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely import MultiPolygon, Polygon, contains_xy

from workflow.lib.slides import truth
from workflow.lib.slides.annotations import Area
from workflow.lib.slides.truth import rasterise, read_mask

DATA = Path(__file__).parents[3] / "../shared/data"


def draw(path, *rings):
    path.write_text(json.dumps({"type": "Polygon", "coordinates": list(rings)}))
    return path


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def test_a_rectangle_is_filled_by_pixel_centres(tmp_path):
    file = draw(tmp_path / "a.geojson", box(2, 1, 5, 3))
    mask = read_mask(file, shape_px0=(6, 8), out_shape=(6, 8))
    expected = np.zeros((6, 8), np.uint8)
    expected[1:3, 2:5] = 1
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize(("right", "columns"), [(4.4, 2), (4.5, 2), (4.6, 3)])
def test_half_covered_pixels_belong_to_the_side_of_their_centre(tmp_path, right, columns):
    file = draw(tmp_path / "a.geojson", box(2, 0, right, 6))
    assert read_mask(file, shape_px0=(6, 8), out_shape=(6, 8)).sum() == 6 * columns


def test_neighbours_that_share_an_edge_share_no_pixel_and_leave_none():
    halves = [
        Area((np.array(ring, float)[:, ::-1],)) for ring in (box(0, 0, 3.3, 7), box(3.3, 0, 9, 7))
    ]
    masks = [rasterise([half], steps=(1, 1), rows=(0, 7), width=9) for half in halves]
    assert (masks[0] + masks[1] == 1).all()


def test_holes_stay_open_and_cuts_are_taken_out_of_all_areas():
    outer, hole, cut = (
        np.array(b, float)[:, ::-1] for b in (box(0, 0, 9, 9), box(2, 2, 4, 4), box(6, 6, 8, 8))
    )
    areas = [Area((cut,), cut=True), Area((outer, hole)), Area((np.array(box(3, 3, 4, 4), float),))]
    mask = rasterise(areas, steps=(1, 1), rows=(0, 9), width=9)
    assert mask.sum() == 81 - 4 + 1 - 4
    assert mask[2, 2] == 0
    assert mask[3, 3] == 1
    assert not mask[6:8, 6:8].any()


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(-9, 39), st.floats(-9, 29)), min_size=3, max_size=9),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([0.5, 1.0, 1.7, 4.0]),
)
def test_it_counts_crossings_like_a_pencil_would(rings, step):
    height, width = round(20 / step), round(30 / step)
    arrays = tuple(np.array([(y, x) for x, y in ring], float) for ring in rings)
    mask = rasterise([Area(arrays)], steps=(step, step), rows=(0, height), width=width)
    y, x = ((np.arange(side) + 0.5) * step for side in (height, width))
    # Even-odd filling is the symmetric difference of the rings' own even-odd fillings.
    expected = np.zeros((height, width), bool)
    near_an_edge = np.zeros((height, width), bool)
    for ring in rings:
        crossings = np.zeros((height, width), int)
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
            for i, centre in enumerate(y):
                if min(y0, y1) <= centre < max(y0, y1):
                    at = x0 + (centre - y0) * (x1 - x0) / (y1 - y0)
                    crossings[i] += at <= x
                    near_an_edge[i] |= abs(at - x) < 1e-6
        expected ^= crossings % 2 == 1
    assert ((mask == expected) | near_an_edge).all()


def test_it_agrees_with_shapely_on_a_shape_with_holes():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    outer = np.stack(
        [50 + 40 * np.sin(angle), 60 + (35 + 9 * np.cos(7 * angle)) * np.cos(angle)], 1
    )
    hole = np.stack([48 + 12 * np.sin(angle), 61 + 14 * np.cos(angle)], axis=1)
    mask = rasterise([Area((outer, hole))], steps=(0.7, 0.7), rows=(0, 150), width=170)
    shape = Polygon(outer[:, ::-1], [hole[:, ::-1]])
    y, x = np.mgrid[:150, :170] * 0.7 + 0.35
    assert np.array_equal(mask, contains_xy(MultiPolygon([shape]), x, y))
    assert mask.sum() * 0.49 == pytest.approx(shape.area, rel=5e-3)
    filled = cv2.fillPoly(np.zeros_like(mask), [np.rint(outer[:, ::-1] / 0.7).astype(np.int32)], 1)
    assert filled.sum() > mask.sum() + 1000  # why cv2 does not do it: the rim, and the hole


@pytest.mark.parametrize("shape_px0", [(60, 80), (61, 83)])
def test_a_drawing_at_any_scale(tmp_path, shape_px0):
    file = draw(tmp_path / "a.json", box(20, 10, 50, 30))
    full = read_mask(file, shape_px0=shape_px0, out_shape=shape_px0)
    assert full.sum() == 30 * 20
    half = read_mask(file, shape_px0=shape_px0, out_shape=(31, 42), scale=2.0)
    assert np.array_equal(half[5:15, 10:25], np.ones((10, 15)))
    assert half.sum() == 150


@pytest.mark.parametrize("kind", ["drawing", "png", "tiff"])
def test_rows_are_rows_of_the_whole(tmp_path, kind):
    labels = (np.random.default_rng(0).random((60, 80)) < 0.5).astype(np.uint8) * 3
    if kind == "drawing":
        file = draw(tmp_path / "a.geojson", box(20.2, 10.7, 50, 30), box(25, 15, 30, 22))
    elif kind == "png":
        file = tmp_path / "a.png"
        Image.fromarray(labels).save(file)
    else:
        file = tmp_path / "a.tif"
        tifffile.imwrite(file, labels, tile=(16, 16))
    shapes = {"shape_px0": (120, 160), "out_shape": (50, 67), "scale": 2.4}
    whole = read_mask(file, **shapes)
    assert whole.any()
    parts = [read_mask(file, **shapes, rows=rows) for rows in ((0, 7), (7, 8), (8, 41), (41, 50))]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_drawing_outside_of_the_slide_is_another_slides(tmp_path):
    file = draw(tmp_path / "other.geojson", box(20, 10, 500, 30))
    with pytest.raises(
        ValueError, match=r"other\.geojson draws at x = 500, y = 10, outside .* 80 x 60"
    ):
        read_mask(file, shape_px0=(60, 80), out_shape=(60, 80))
    edge = draw(tmp_path / "edge.geojson", box(-0.5, 10, 80.5, 30))
    assert read_mask(edge, shape_px0=(60, 80), out_shape=(60, 80)).sum() == 80 * 20


def test_labels_come_through_as_they_are(tmp_path):
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(labels).save(tmp_path / "a.png")
    found = read_mask(tmp_path / "a.png", shape_px0=(6, 8), out_shape=(6, 8))
    assert np.array_equal(found, labels)
    assert found.dtype == np.uint8
    tifffile.imwrite(tmp_path / "b.tif", labels.astype(np.uint16) * 100)
    found = read_mask(tmp_path / "b.tif", shape_px0=(6, 8), out_shape=(6, 8))
    assert np.array_equal(found, labels * np.int32(100))
    assert found.dtype == np.int32


def test_0_and_255_mean_outside_and_inside(tmp_path):
    for fill in (np.array([[0, 255]]), np.array([[255, 255]]), np.array([[0, 0]])):
        Image.fromarray(fill.astype(np.uint8)).save(tmp_path / "a.png")
        found = read_mask(tmp_path / "a.png", shape_px0=(1, 2), out_shape=(1, 2))
        assert np.array_equal(found, fill > 0)


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "I;16"])
def test_label_images_of_every_kind(tmp_path, mode):
    labels = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)
    if mode == "I;16":
        image = Image.fromarray(labels.astype(np.uint16))
    elif mode == "P":
        image = Image.fromarray(labels)
        image.putpalette([9, 9, 9, 200, 30, 60])
    else:
        image = Image.fromarray(labels * 255).convert(mode)
    image.save(tmp_path / "a.png")
    found = read_mask(tmp_path / "a.png", shape_px0=(20, 30), out_shape=(2, 3))
    assert np.array_equal(found, labels)


@settings(max_examples=40)
@given(st.floats(0.3, 6), st.integers(1, 40), st.integers(1, 40))
def test_a_label_image_of_another_size_is_read_at_the_centres(
    tmp_path_factory, scale, height, width
):
    labels = np.random.default_rng(0).integers(0, 5, (24, 36), dtype=np.uint8)
    file = tmp_path_factory.mktemp("labels") / "a.png"
    Image.fromarray(labels).save(file)
    found = read_mask(file, shape_px0=(96, 144), out_shape=(height, width), scale=scale)
    for i in {0, height // 2, height - 1}:
        for j in {0, width // 2, width - 1}:
            y, x = min((i + 0.5) * scale / 4, 23), min((j + 0.5) * scale / 4, 35)
            assert found[i, j] == labels[int(y), int(x)]


def test_a_large_tiff_is_read_in_blocks(tmp_path, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 3, (200, 300), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", labels, tile=(64, 64), compression="zlib")
    whole = read_mask(tmp_path / "a.tif", shape_px0=(400, 600), out_shape=(77, 115), scale=5.2)
    monkeypatch.setattr(truth, "BLOCK_PX", 1000)
    blocks = read_mask(tmp_path / "a.tif", shape_px0=(400, 600), out_shape=(77, 115), scale=5.2)
    assert np.array_equal(blocks, whole)


@pytest.mark.parametrize("shape", [(60, 80), (30, 40), (7, 10), (59, 80), (120, 160)])
def test_any_size_of_the_slides_shape_is_accepted(tmp_path, shape):
    Image.fromarray(np.ones(shape, np.uint8)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", shape_px0=(60, 80), out_shape=(60, 80)).all()


def test_a_mask_of_another_shape_is_refused_with_both_sizes(tmp_path):
    Image.fromarray(np.ones((80, 60), np.uint8)).save(tmp_path / "turned.png")
    with pytest.raises(
        ValueError, match=r"turned\.png is 60 x 80 px, .* slide of 80 x 60 px; export"
    ):
        read_mask(tmp_path / "turned.png", shape_px0=(60, 80), out_shape=(60, 80))
    Image.fromarray(np.ones((500, 700), np.uint8)).save(tmp_path / "cropped.png")
    with pytest.raises(ValueError, match="700 x 500"):
        read_mask(tmp_path / "cropped.png", shape_px0=(600, 800), out_shape=(60, 80))


def test_what_is_no_mask_is_refused_by_name(tmp_path):
    shapes = {"shape_px0": (6, 8), "out_shape": (6, 8)}
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((6, 8), np.float32))
    tifffile.imwrite(
        tmp_path / "stack.tif", np.zeros((5, 6, 8), np.uint8), photometric="minisblack"
    )
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and so on")
    (tmp_path / "broken.tif").write_bytes(b"II and so on")
    (tmp_path / "notes.docx").write_bytes(b"")
    for name, reason in {
        "photo.png": "is a colour picture",
        "float.tif": "holds float32 values",
        "stack.tif": "has the axes",
        "broken.png": "is not a readable image",
        "broken.tif": "is not a readable image",
        "notes.docx": r"is no mask that can be read; give a label image \(\.bmp, \.btf, \.png",
    }.items():
        with pytest.raises(ValueError, match=rf"{name} {reason}"):
            read_mask(tmp_path / name, **shapes)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "jpeg"])
def test_a_damaged_tile_of_a_tiff_is_refused_by_name(tmp_path, compression):
    file = tmp_path / "a.tif"
    labels = np.random.default_rng(0).integers(0, 3, (64, 64), dtype=np.uint8)
    tifffile.imwrite(file, labels, tile=(64, 64), compression=compression)
    with tifffile.TiffFile(file) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    content = bytearray(file.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tif is not a readable image .*; save it again"):
        read_mask(file, shape_px0=(64, 64), out_shape=(64, 64))


def test_a_tiff_that_ends_too_early_is_refused_by_name(tmp_path):
    file = tmp_path / "a.tif"
    labels = np.random.default_rng(0).integers(0, 3, (64, 64), dtype=np.uint8)
    tifffile.imwrite(file, labels, tile=(32, 32), compression="zlib")
    with tifffile.TiffFile(file) as tiff:
        last = tiff.pages[0].dataoffsets[-1]
    file.write_bytes(file.read_bytes()[: last + 9])
    with pytest.raises(ValueError, match=r"a\.tif is not a readable image .*; save it again"):
        read_mask(file, shape_px0=(64, 64), out_shape=(64, 64))


def test_a_real_glas_mask_keeps_its_glands():
    file = DATA / "glas/masks/train_1.png"
    if not file.is_file():
        pytest.skip("the GlaS masks are not here")
    whole = read_mask(file, shape_px0=(522, 775), out_shape=(522, 775))
    assert np.array_equal(np.unique(whole), np.arange(8))
    half = read_mask(file, shape_px0=(522, 775), out_shape=(324, 481), scale=1 / 0.62005)
    assert (half > 0).mean() == pytest.approx(0.4267, abs=5e-3)


def test_a_real_qupath_hole_stays_open():
    file = DATA / "annotations/qupath/histoqc_holed.geojson"
    if not file.is_file():
        pytest.skip("the QuPath sample is not here")
    mask = read_mask(file, shape_px0=(20_000, 14_000), out_shape=(2000, 1400))
    outer = Polygon(json.loads(file.read_text())["geometry"]["coordinates"][0]).area
    inner = Polygon(json.loads(file.read_text())["geometry"]["coordinates"][1]).area
    assert mask.sum() * 100 == pytest.approx(outer - inner, rel=1e-3)
