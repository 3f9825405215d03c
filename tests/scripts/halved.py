"""Heatmaps and tissue of which the left half is sure, for the page of a finished study."""

import numpy as np
from PIL import Image

from workflow.lib.maps.polygons import write_geojson
from workflow.lib.maps.pyramids import write_heatmap

SIDE = 40  # px


def stitch(side_px0):
    """Work that writes the heatmap of a slide of this side."""

    def work(slide, folder):
        probability = np.zeros((SIDE, SIDE), np.float32)
        probability[:, : SIDE // 2] = 1.0
        named = {"name": slide.slide, "channels": {"tumour": (255, 0, 0)}}
        write_heatmap(
            folder / "heatmap.ome.zarr",
            [(0, probability, np.ones((SIDE, SIDE), bool))],
            (SIDE, SIDE),
            mpp=50.0,
            mpp0=0.5,
            **named,
        )
        right = side_px0 // 2
        ring = [[0, 0], [right, 0], [right, side_px0], [0, side_px0], [0, 0]]
        about = {"classification": {"name": "tumour", "color": [213, 94, 0]}}
        half = {"type": "Polygon", "coordinates": [ring]}
        features = [{"type": "Feature", "geometry": half, "properties": about}]
        write_geojson(folder / "polygons.geojson.gz", features)
        size_px0 = {"height_px0": side_px0, "width_px0": side_px0}
        facts = {"marked_um2": 250_000, "class": "tumour"}
        return facts | {"scale_px0": side_px0 / SIDE, **size_px0}

    return work


def draw_tissue(slide, folder):
    """Half of a grey thumbnail is tissue."""
    Image.new("RGB", (50, 50), (240, 240, 240)).save(folder / "thumbnail.jpg")
    tissue = np.zeros((50, 50), np.uint8)
    tissue[:, :25] = 255
    Image.fromarray(tissue).save(folder / "tissue.png")
    return {"tissue_fraction": 0.25}
