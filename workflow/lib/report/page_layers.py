"""Layers over the picture of a slide, which the page toggles and fades: codes and colours."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import zarr
from PIL import Image

from workflow.lib.report.colours import OKABE_ITO, RGB, hex_colour
from workflow.lib.report.montage import COLOURS, cluster_colours
from workflow.lib.report.pictures import HALO, LINE
from workflow.lib.viewer.colouring import flat_palette, probability_codes, probability_palette
from workflow.lib.viewer.cuts import cut_cams, cut_clusters
from workflow.lib.viewer.deepzoom import Box

TISSUE = OKABE_ITO[2]
QUALITY = 60  # of WebP, colour and opacity: a quarter of the bytes of a heatmap as it is


@dataclass(frozen=True)
class PageLayer:
    """A picture as large as that of the slide.

    codes (h, w) uint8 are colours of the palette, RGBA (256, 4) uint8. `legend` are (words,
    colour); `ramp` is the class whose evidence 0..1 is shown, in shades that may lose a little.
    """

    group: str
    title: str
    opacity: float
    codes: np.ndarray
    palette: np.ndarray
    legend: list[tuple[str, RGB]] = field(default_factory=list)
    ramp: str | None = None

    def describe(self) -> dict:
        """What the page needs, as plain JSON; `source` is the picture as a data URI."""
        how = {"quality": QUALITY, "alpha_quality": QUALITY} if self.ramp else {"lossless": True}
        stream = io.BytesIO()
        Image.fromarray(self.palette[self.codes]).save(stream, "WEBP", **how)
        return {
            "group": self.group,
            "title": self.title,
            "opacity": self.opacity,
            "ramp": self.ramp,
            "legend": [[words, hex_colour(colour)] for words, colour in self.legend],
            "source": f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}",
        }


def tissue_layer(tissue: np.ndarray, shape: tuple[int, int]) -> PageLayer:
    """The tissue mask, any (h', w') bool, on a picture of `shape`."""
    codes = cv2.resize(tissue.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    palette = flat_palette([TISSUE])
    return PageLayer("tissue", "tissue", 0.4, codes, palette, [("tissue", TISSUE)])


def cluster_layer(
    ids: np.ndarray,
    corners_px: np.ndarray,
    tile_px: int,
    size_px: tuple[int, int],
    shape: tuple[int, int],
    *,
    count: int,
    title: str,
) -> PageLayer:
    """The clusters `ids` (N,) of `count` of the tiles at `corners_px` (N, 2) of a slide."""
    box = Box((0, 0), shape, max(size_px) / max(shape))
    found = cut_clusters(ids, corners_px, tile_px, box)
    codes = np.where(found > 0, (found - 1) % COLOURS + 1, 0).astype(np.uint8)
    colours = cluster_colours(count)
    legend = [(str(number), colour) for number, colour in enumerate(colours)]
    return PageLayer("maps", title, 0.5, codes, flat_palette(colours[:COLOURS]), legend)


def heatmap_layer(probability: np.ndarray, *, title: str, name: str) -> PageLayer:
    """A heatmap (h, w) 0..1 of the class `name`: the less there is, the clearer."""
    codes = probability_codes(probability)
    return PageLayer("heatmaps", title, 0.65, codes, probability_palette(), ramp=name)


def cam_layer(
    maps: zarr.Array,
    facts: dict,
    classes: Sequence[str],
    corners_px: np.ndarray,
    tile_px: int,
    box: Box,
    *,
    title: str,
) -> PageLayer:
    """Raw evidence `maps` (N, C, m, n) of tiles at `corners_px` (N, 2), on a picture like `box`.

    `facts` are those of its unit: the class, and its lowest and highest evidence on the slide.
    """
    raw = cut_cams(maps, classes.index(facts["class"]), corners_px, tile_px, box)
    span = max(facts["high"] - facts["low"], 1e-12)
    codes = probability_codes((raw - facts["low"]) / span)
    palette = probability_palette()
    return PageLayer("raw cams", title, 0.65, codes, palette, ramp=facts["class"])


def polygon_layer(
    features: Sequence[dict], shape: tuple[int, int], step_px0: float, *, title: str, name: str
) -> PageLayer:
    """Outlines of the class `name`: GeoJSON features of one colour, rings (x, y) in level-0 px.

    A px of the picture is `step_px0` level-0 px wide.
    """
    codes = np.zeros(shape, np.uint8)
    for found in features:
        shapes = found["geometry"]["coordinates"]
        polygons = [shapes] if found["geometry"]["type"] == "Polygon" else shapes
        rings = [np.rint(np.array(r) / step_px0).astype(np.int32) for p in polygons for r in p]
        cv2.polylines(codes, rings, isClosed=True, color=1, thickness=2)
    colour = tuple(features[0]["properties"]["classification"]["color"])
    return PageLayer("polygons", title, 1.0, codes, flat_palette([colour]), [(name, colour)])


def truth_layer(marked: np.ndarray) -> PageLayer:
    """A line around what the truth marks, (h, w) bool."""
    contours, _ = cv2.findContours(marked.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    codes = np.zeros(marked.shape, np.uint8)
    for code, thickness in ((1, 4), (2, 2)):
        cv2.drawContours(codes, contours, -1, code, thickness)
    return PageLayer("truth", "truth", 1.0, codes, flat_palette([HALO, LINE]), [("marked", LINE)])
