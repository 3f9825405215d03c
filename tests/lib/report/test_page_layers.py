"""Layers of the page: codes that lie where they belong, in colours that are those of the maps."""

import base64
import io

import numpy as np
from PIL import Image

from workflow.lib.report.montage import COLOURS, cluster_colours
from workflow.lib.report.page_layers import (
    cluster_layer,
    heatmap_layer,
    polygon_layer,
    tissue_layer,
    truth_layer,
)
from workflow.lib.report.pictures import HALO, LINE

CORNERS = np.array([[0, 0], [0, 100], [100, 0]])


def embedded(layer):
    data = base64.b64decode(layer.describe()["source"].split(",")[1])
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))


def test_flat_layers_lose_nothing():
    tissue = np.zeros((3, 2), bool)
    tissue[:, 1] = True
    layer = tissue_layer(tissue, (30, 20))
    assert layer.codes.shape == (30, 20)
    assert (layer.codes[:, 10:] == 1).all() and (layer.codes[:, :10] == 0).all()
    np.testing.assert_array_equal(embedded(layer)[:, 10:], layer.palette[layer.codes][:, 10:])
    assert (embedded(layer)[:, :10, 3] == 0).all()


def test_clusters_lie_under_their_tiles_and_share_colours_past_the_last():
    """A slide of 200 x 200 px on 20 x 20: tiles of 10 px, the fourth place is empty."""
    ids = np.array([0, COLOURS, 2], np.int32)
    layer = cluster_layer(
        ids, CORNERS, 100, (200, 200), (20, 20), count=COLOURS + 1, title="clusters"
    )
    codes = [layer.codes[y, x] for y, x in ((0, 0), (9, 10), (10, 9), (15, 15))]
    assert codes == [1, 1, 3, 0]
    assert [tuple(layer.palette[code, :3]) for code in (1, 3)] == [
        cluster_colours(3)[0],
        cluster_colours(3)[2],
    ]
    assert len(layer.describe()["legend"]) == COLOURS + 1


def test_a_heatmap_is_clear_where_there_is_nothing_and_loses_little():
    ramp = np.tile(np.linspace(0, 1, 64), (64, 1))
    layer = heatmap_layer(ramp, title="NEGEV", name="tumour")
    shown = embedded(layer).astype(int)
    assert shown[:, 0, 3].max() <= 2 and shown[:, -1, 3].min() >= 253
    assert abs(shown[..., 3] - layer.palette[layer.codes][..., 3]).max() <= 12  # a twentieth
    about = layer.describe()
    assert (about["group"], about["ramp"], about["legend"]) == ("heatmaps", "tumour", [])


def test_truth_is_a_line_with_a_halo():
    marked = np.zeros((40, 40), bool)
    marked[10:30, 10:30] = True
    layer = truth_layer(marked)
    assert tuple(layer.palette[layer.codes[20, 10], :3]) == LINE
    assert HALO in {tuple(layer.palette[layer.codes[20, x], :3]) for x in range(5, 15)}
    assert layer.codes[20, 20] == layer.codes[0, 0] == 0
    assert truth_layer(np.zeros((9, 9), bool)).codes.max() == 0


def test_polygons_are_lines_of_their_colour_with_their_holes():
    """Level-0 px 100 to 300 are px 10 to 30 of the picture; a hole from 15 to 25; another shape."""

    def square(a, b):
        return [[a, a], [b, a], [b, b], [a, b], [a, a]]

    about = {"classification": {"name": "tumour", "color": [213, 94, 0]}}
    shapes = [("Polygon", [square(100, 300), square(150, 250)])]
    shapes += [("MultiPolygon", [[square(340, 380)]])]
    features = [
        {"geometry": {"type": kind, "coordinates": rings}, "properties": about}
        for kind, rings in shapes
    ]
    layer = polygon_layer(features, (40, 40), 10.0, title="NEGEV", name="tumour")
    assert [layer.codes[y, x] for y, x in ((20, 10), (10, 20), (20, 15), (36, 34))] == [1] * 4
    assert [layer.codes[y, x] for y, x in ((20, 20), (20, 12), (5, 5), (36, 36))] == [0] * 4
    assert tuple(layer.palette[1]) == (213, 94, 0, 255)
    assert layer.describe()["legend"] == [["tumour", "#d55e00"]]
