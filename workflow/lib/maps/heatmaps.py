"""The heatmap of a slide, band by band: stitched from its tile maps, or read from its pyramid."""

from collections.abc import Iterator
from pathlib import Path

import zarr

from workflow.lib.maps.pyramids import COVERAGE
from workflow.lib.maps.stitching import Band, heatmap_shape, stitch
from workflow.lib.tiles.stores import Tiles, open_group

BAND_PX = 1 << 22  # pixels of a written heatmap that are held at a time


def stitch_maps(store: Tiles, maps: zarr.Group, window: str) -> tuple[dict, Iterator[Band]]:
    """The geometry of a heatmap and its bands, from the tiles of a slide and a map of each.

    Geometry: shape (H, W); mpp, um per heatmap px; scale_px0, level-0 px per heatmap px;
    height_px0 and width_px0 of the slide. A tile that could not be read is left out.
    Raises ValueError when the maps are not of these tiles.
    """
    about, downsample = store.attrs, maps.attrs["downsample"]
    side = maps["probability"].shape[1]
    if side * downsample != about["tile_px"]:
        raise ValueError(
            f"maps of {side} px at downsample {downsample} do not fill tiles of "
            f"{about['tile_px']} px; refine the slide again"
        )
    shape = heatmap_shape(about["height_px"], about["width_px"], downsample)
    geometry = {"shape": list(shape), "mpp": about["mpp"] * downsample}
    geometry |= {"scale_px0": about["scale"] * downsample}
    geometry |= {key: about[key] for key in ("height_px0", "width_px0")}
    options = {"downsample": downsample, "window": window, "skip": store.bad}
    return geometry, stitch(maps["probability"], store.positions_px, shape, **options)


def read_bands(pyramid: Path) -> Iterator[Band]:
    """The finest level of a written heatmap: (row0, uint16 codes (r, W), covered (r, W))."""
    group = open_group(pyramid)
    scores, coverage = group["s0"], group[f"{COVERAGE}/s0"]
    height, width = coverage.shape
    rows = max(1, BAND_PX // width)
    for y in range(0, height, rows):
        yield y, scores[0, y : y + rows], coverage[y : y + rows]
