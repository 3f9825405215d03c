"""From a heatmap to polygons that QuPath opens: outlines along pixel corners, holes kept.

OpenCV outlines a region through the centres of its pixels, which loses half a pixel all around.
Here a region is drawn on a grid twice as fine whose even points are the corners of the pixels, and
outlined there. The polygons cover exactly the pixels that they were made from.
"""

import gzip
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
import shapely.affinity

_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "microtome/polygon")


@dataclass(frozen=True)
class Region:
    """A connected region of a raster: its outline as (x, y) in raster px, from pixel corners.

    `pixels` counts what it was made of and `mean` is their mean probability, both before the
    outline was simplified.
    """

    polygon: shapely.Polygon
    pixels: int
    mean: float


def find_regions(
    probability: np.ndarray, marked: np.ndarray, *, min_pixels: float, simplify_px: float
) -> list[Region]:
    """The regions of `marked` (h, w) bool with at least `min_pixels` pixels, largest first.

    Pixels that touch by a corner only are apart. `probability` is (h, w) float 0..1. Outlines are
    simplified by at most `simplify_px` raster px; 0 keeps every pixel corner.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        marked.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    regions = []
    for label in range(1, len(stats)):
        left, top, width, height, pixels = (int(value) for value in stats[label])
        if pixels < min_pixels:
            continue
        where = np.s_[top : top + height, left : left + width]
        part = labels[where] == label
        exact = shapely.affinity.translate(_outline(part), left, top)
        mean = float(probability[where][part].mean(dtype=np.float64))
        regions.append(Region(_simplified(exact, simplify_px), pixels, mean))
    return sorted(regions, key=lambda region: (-region.pixels, region.polygon.wkb))


def annotations(
    regions: Sequence[Region],
    *,
    scale_px0: float,
    size_px0: tuple[int, int],
    mpp: float,
    name: str,
    colour: tuple[int, int, int],
    quantity: str,
    key: str,
) -> list[dict]:
    """The regions as GeoJSON features in level-0 px (x, y), as QuPath reads them.

    `scale_px0` is level-0 px per raster px, `mpp` um per raster px; outlines end at the border of
    the slide, `size_px0` (height, width). `name` and `colour` are those of the class, `quantity` is
    what the heatmap shows of it, probability or evidence. Ids follow from `key` (the slide and the
    method) and the outline, so that they stay when nothing changed.
    """
    border = np.array(size_px0[::-1], float)
    features = []
    for region in regions:
        placed = shapely.transform(
            region.polygon, lambda xy: np.minimum(xy * scale_px0, border).round(2)
        )
        rings = [
            [[round(x, 2), round(y, 2)] for x, y in ring.coords]
            for ring in (placed.exterior, *placed.interiors)
        ]
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(_NAMES, f"{key}/{name}/{json.dumps(rings)}")),
                "geometry": {"type": "Polygon", "coordinates": rings},
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": name, "color": list(colour)},
                    "measurements": {
                        f"mean {quantity}": round(region.mean, 4),
                        "area um2": round(region.pixels * mpp**2, 2),
                    },
                },
            }
        )
    return features


def write_geojson(path: Path, features: Sequence[dict]) -> None:
    """Write a gzipped FeatureCollection; the same features give the same bytes."""
    collection = {"type": "FeatureCollection", "features": list(features)}
    text = json.dumps(collection, separators=(",", ":"), sort_keys=True, allow_nan=False)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=6, mtime=0))


def _outline(part: np.ndarray) -> shapely.Polygon:
    """The outline of one connected region (h, w) bool along the corners of its pixels."""
    height, width = part.shape
    grid = np.zeros((2 * height + 3, 2 * width + 3), np.uint8)  # corners at even points, plus one
    for row in (1, 2, 3):
        for col in (1, 2, 3):
            grid[row : row + 2 * height : 2, col : col + 2 * width : 2] |= part
    contours, hierarchy = cv2.findContours(grid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = hierarchy.reshape(-1, 4)[:, 3]
    rings = [_corners(contour.reshape(-1, 2) - 1) / 2 for contour in contours]
    (shell,) = (ring for ring, parent in zip(rings, parents, strict=True) if parent < 0)
    holes = [ring for ring, parent in zip(rings, parents, strict=True) if parent >= 0]
    return shapely.orient_polygons(shapely.Polygon(shell, holes))


def _corners(points: np.ndarray) -> np.ndarray:
    """The turns of a closed contour (n, 2) on the fine grid, all of them even points.

    The contour cuts inward corners by a diagonal step past an even point: put that point back.
    """
    after = np.roll(points, -1, axis=0)
    one = np.stack([points[:, 0], after[:, 1]], axis=1)
    other = np.stack([after[:, 0], points[:, 1]], axis=1)
    corner = np.where((one % 2 == 0).all(axis=1, keepdims=True), one, other)
    cut = np.flatnonzero((points != after).all(axis=1))
    ring = np.insert(points, cut + 1, corner[cut], axis=0)
    came, goes = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[(came != goes).any(axis=1)]


def _simplified(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon:
    simple = polygon.simplify(tolerance, preserve_topology=True) if tolerance else polygon
    # Holes that touch by a corner can cross once their rings are simplified.
    return simple if simple.is_valid and isinstance(simple, shapely.Polygon) else polygon
