"""Heatmaps of which the left half is sure, for the page of a finished study."""

import numpy as np

from workflow.lib.maps.pyramids import write_heatmap

SIDE = 40  # px


def stitch(side_px0):
    """Work that writes the heatmap of a slide of this side."""

    def work(slide, folder):
        probability = np.zeros((SIDE, SIDE), np.float32)
        probability[:, : SIDE // 2] = 1.0
        named = {"name": slide.slide, "channel": "tumour", "colour": (255, 0, 0)}
        write_heatmap(
            folder / "heatmap.ome.zarr",
            [(0, probability, np.ones((SIDE, SIDE), bool))],
            (SIDE, SIDE),
            mpp=50.0,
            mpp0=0.5,
            **named,
        )
        size_px0 = {"height_px0": side_px0, "width_px0": side_px0}
        return {"marked_um2": 250_000, "scale_px0": side_px0 / SIDE, **size_px0}

    return work
