"""Heatmaps of several channels: each is as it would be alone, in every level and either format."""

import numpy as np
import tifffile
import zarr
from ome_zarr_models.v05 import Image

from workflow.lib.maps.pyramids import count_levels, write_heatmap, write_ome_tiff

SHAPE = (530, 270)
ABOUT = {"mpp": 1.3, "mpp0": 0.25, "name": "s"}
COLOURS = {"normal": (0, 114, 178), "low": (230, 159, 0), "high": (213, 94, 0)}


def test_each_channel_is_as_it_would_be_alone(tmp_path):
    maps = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    covered = maps[0] > 0.1
    bands = [(y, maps[:, y : y + 64], covered[y : y + 64]) for y in range(0, SHAPE[0], 64)]
    group = write_heatmap(tmp_path / "all.zarr", bands, SHAPE, **ABOUT, channels=COLOURS)
    write_ome_tiff(tmp_path / "all.ome.tif", group, quantity="probability")
    whole = Image.from_zarr(zarr.open_group(str(tmp_path / "all.zarr"), mode="r"))
    assert [one["label"] for one in whole.ome_attributes.omero["channels"]] == [*COLOURS]
    with tifffile.TiffFile(tmp_path / "all.ome.tif") as tiff:
        (series,) = tiff.series
        levels = [level.asarray() for level in series.levels]
        channels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
    assert series.axes == "CYX" and len(levels) == count_levels(group) == 3
    assert [one["Name"] for one in channels] == [*COLOURS]
    assert [one["Color"] % 2**32 for one in channels] == [0x0072B2FF, 0xE69F00FF, 0xD55E00FF]
    for place, (name, colour) in enumerate(COLOURS.items()):
        alone = write_heatmap(
            tmp_path / f"{name}.zarr",
            [(0, maps[place], covered)],
            SHAPE,
            **ABOUT,
            channels={name: colour},
        )
        write_ome_tiff(tmp_path / f"{name}.ome.tif", alone, quantity="probability")
        for level, pixels in enumerate(levels):
            np.testing.assert_array_equal(group[f"s{level}"][place], alone[f"s{level}"][0])
            shown = tifffile.imread(tmp_path / f"{name}.ome.tif", level=level)
            np.testing.assert_array_equal(pixels[place], np.squeeze(shown))
            labels = f"labels/coverage/s{level}"
            np.testing.assert_array_equal(group[labels][:], alone[labels][:])
