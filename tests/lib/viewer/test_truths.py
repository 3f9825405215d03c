"""The truth as outlines."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from workflow.lib.viewer.truths import TRUTH, draw_truth


def features(file, size_px0):
    return json.loads(gzip.decompress(draw_truth(file, size_px0)))["features"]


def test_a_label_image_is_outlined_at_its_pixel_corners(tmp_path):
    """10 x 5 px of a slide of 40 x 20: the marked rectangle is 12 x 8 level-0 px."""
    mask = np.zeros((5, 10), np.uint8)
    mask[1:3, 2:5] = 1
    Image.fromarray(mask).save(tmp_path / "m.png")
    (feature,) = features(tmp_path / "m.png", (20, 40))
    (ring,) = feature["geometry"]["coordinates"]
    assert sorted(map(tuple, ring[1:])) == [(8, 4), (8, 12), (20, 4), (20, 12)]
    assert feature["properties"]["classification"] == {"name": "truth", "color": list(TRUTH)}


def test_a_drawing_stays_as_it_was_drawn(tmp_path):
    outer, hole = [[1, 2], [9, 2], [9, 8], [1, 2]], [[4, 3], [6, 3], [6, 4], [4, 3]]
    geometry = {"type": "Polygon", "coordinates": [outer, hole]}
    (tmp_path / "d.geojson").write_text(json.dumps(geometry))
    (feature,) = features(tmp_path / "d.geojson", (10, 10))
    assert feature["geometry"]["coordinates"] == [outer, hole]


def test_what_is_cut_out_says_so(tmp_path):
    area = '<Annotation PartOfGroup="{}" Type="Polygon"><Coordinates>{}</Coordinates></Annotation>'
    points = "".join(
        f'<Coordinate Order="{n}" X="{x}" Y="{y}"/>'
        for n, (x, y) in enumerate([(1, 1), (5, 1), (5, 5)])
    )
    inner = "".join(area.format(group, points) for group in ("tumour", "Exclusion"))
    text = f"<ASAP_Annotations><Annotations>{inner}</Annotations></ASAP_Annotations>"
    (tmp_path / "d.xml").write_text(text)
    named = [
        f["properties"]["classification"]["name"] for f in features(tmp_path / "d.xml", (9, 9))
    ]
    assert named == ["truth", "cut out"]


def test_a_mask_of_another_slide_is_refused(tmp_path):
    Image.fromarray(np.zeros((5, 10), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="not the shape of the slide"):
        draw_truth(tmp_path / "m.png", (300, 100))
