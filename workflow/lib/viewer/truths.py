"""The truth of a slide as outlines, whatever kind of file it is in."""

import gzip
import json
from pathlib import Path

import numpy as np

from workflow.lib.maps.polygons import find_regions
from workflow.lib.report.pictures import LINE
from workflow.lib.slides.truth import DRAWINGS, read_drawing, read_mask

TRUTH = LINE  # blue, as in the report
MOST_PX = 8192  # px; a label image is outlined no finer than this many on a side
SIMPLIFY_PX = 0.5  # px of it; steps become slopes


def draw_truth(file: Path, size_px0: tuple[int, int]) -> bytes:
    """What a mask file marks on a slide of `size_px0` (height, width), as gzipped GeoJSON.

    Rings are (x, y) in level-0 px. Areas of a drawing that are cut out of the others are a class of
    their own. Raises ValueError for a file that cannot be read or is of another slide.
    """
    is_drawing = file.suffix.lower() in DRAWINGS
    features = _drawn(file, size_px0) if is_drawing else _labelled(file, size_px0)
    collection = {"type": "FeatureCollection", "features": features}
    return gzip.compress(json.dumps(collection).encode(), compresslevel=1, mtime=0)


def _drawn(file: Path, size_px0: tuple[int, int]) -> list[dict]:
    return [
        _feature([ring[:, ::-1] for ring in area.rings], "cut out" if area.cut else "truth")
        for area in read_drawing(file, size_px0)
    ]


def _labelled(file: Path, size_px0: tuple[int, int]) -> list[dict]:
    step = max(1, -(-max(size_px0) // MOST_PX))
    shape = (-(-size_px0[0] // step), -(-size_px0[1] // step))
    marked = read_mask(file, shape_px0=size_px0, out_shape=shape) > 0
    regions = find_regions(marked.astype(np.float32), marked, min_pixels=1, simplify_px=SIMPLIFY_PX)
    scale = np.array([size_px0[1] / shape[1], size_px0[0] / shape[0]])
    return [
        _feature(
            [np.array(ring.coords) * scale for ring in (polygon.exterior, *polygon.interiors)],
            "truth",
        )
        for polygon in (region.polygon for region in regions)
    ]


def _feature(rings: list[np.ndarray], name: str) -> dict:
    coordinates = [ring.round(2).tolist() for ring in rings]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": coordinates},
        "properties": {"classification": {"name": name, "color": list(TRUTH)}},
    }
