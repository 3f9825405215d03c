"""A small table of tiles for the tests of what is made of it."""

import numpy as np

from workflow.lib.exports.tile_tables import Found, Placement, Tiling, make_table

CLASSES = ["normal", "tumour"]
TILES = Tiling(
    origins=np.array([(0, 0), (0, 10), (10, 95)]),
    side_px0=10.0,
    mpp=0.5,
    tissue=np.array([1.0, 0.5, 0.25], np.float32),
    blur=np.array([7.0, 8.0, 9.0], np.float32),
    bad=np.array([False, True, False]),
)
SAID = Found(
    clusters=np.array([3, 0, 1]),
    cluster_fold=1,
    probability=np.array([[0.9, 0.1], [0.5, 0.5], [0.254, 0.746]], np.float32),
    means={"negev": np.array([0.0, 0.5, 0.123456])},
)
NOTHING = Found(None, None, None, {})


def table(
    slide="a", *, tiles=TILES, found=SAID, label="tumour", site=None, fold=1, classes=CLASSES
):
    placed = Placement(slide, "p1", label, site, fold, {0: "train", 1: "test"})
    return make_table(placed, tiles, found, classes=classes, methods=["negev"])


def empty(slide="e"):
    nothing = np.zeros(0, np.float32)
    tiles = Tiling(np.zeros((0, 2), np.int64), 10.0, 0.5, nothing, nothing, nothing.astype(bool))
    found = Found(np.zeros(0, np.int32), 1, np.zeros((0, 2), np.float32), {"negev": nothing})
    return table(slide, tiles=tiles, found=found)
