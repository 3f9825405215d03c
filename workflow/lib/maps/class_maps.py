"""What the classifier says of every place of a slide: a map per class, from scores of tiles."""

import numpy as np

from workflow.lib.maps.stitching import Band, heatmap_shape, stitch
from workflow.lib.tiles.stores import Tiles


def stitch_classes(store: Tiles, probability: np.ndarray) -> tuple[dict, Band]:
    """The geometry of the maps, see heatmaps.stitch_maps, and all of them as one band.

    probability: (N, C) of the tiles of `store`, 0..1. A pixel of a map is a stride wide where
    strides divide tiles, else a tile; where tiles overlap it is their mean. A tile that could not
    be read is left out. The band is (0, maps (C, H, W) float32, covered (H, W) bool): a slide of
    100,000 px has 800 x 800 tiles of 128 px.
    """
    about = store.attrs
    tile, stride = about["tile_px"], about["stride_px"]
    pixel = tile if tile % stride else stride
    shape = heatmap_shape(about["height_px"], about["width_px"], pixel)
    side = tile // pixel
    maps, covered = np.zeros((probability.shape[1], *shape), np.float32), np.zeros(shape, bool)
    for found, scores in zip(maps, probability.T, strict=True):
        tiles = np.broadcast_to(scores[:, None, None], (len(scores), side, side))
        options = {"downsample": pixel, "window": "flat", "skip": store.bad}
        for row, values, looked_at in stitch(tiles, store.positions_px, shape, **options):
            found[row : row + len(values)] = values
            covered[row : row + len(values)] = looked_at
    geometry = {"shape": list(shape), "mpp": about["mpp"] * pixel}
    return geometry | {"scale_px0": about["scale"] * pixel}, (0, maps, covered)
