"""Heatmaps in the readers of programs that people open them with, where these are installed."""

import numpy as np
import pytest

from workflow.lib.maps.pyramids import level_shapes, write_heatmap, write_ome_tiff

SHAPE, MPP = (700, 300), 1.3


@pytest.fixture(scope="module")
def heatmap(tmp_path_factory):
    """An OME-Zarr and an OME-TIFF, 1 in the upper half, without coverage in the last column."""
    folder = tmp_path_factory.mktemp("heatmap")
    probability, covered = np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool)
    probability[:350], covered[:, -1] = 1, False
    named = {"name": "slide-1", "channels": {"tumour": (213, 94, 0)}}
    bands = [(0, probability, covered)]
    group = write_heatmap(folder / "heatmap.ome.zarr", bands, SHAPE, mpp=MPP, mpp0=0.5, **named)
    write_ome_tiff(folder / "heatmap.ome.tif", group, quantity="probability")
    return folder


def test_napari_ome_zarr_reads_a_heatmap_and_its_coverage(heatmap):
    plugin = pytest.importorskip(
        "napari_ome_zarr",
        reason="napari-ome-zarr and napari are optional: pip install napari-ome-zarr napari",
        exc_type=ImportError,  # the plugin alone, without napari
    )
    path = str(heatmap / "heatmap.ome.zarr")
    image, coverage = plugin.napari_get_reader(path)(path)
    for levels, about, kind in (image, coverage):
        assert [tuple(level.shape)[-2:] for level in levels] == level_shapes(SHAPE)
        assert np.ravel(about["scale"])[-2:] == pytest.approx([MPP, MPP])
        assert kind in ("image", "labels")
    assert (image[2], coverage[2]) == ("image", "labels")
    assert np.ravel(image[1]["name"]).tolist() == ["slide-1: tumour"]
    pixels, labels = np.asarray(image[0][0]).reshape(SHAPE), np.asarray(coverage[0][0])
    assert pixels[:350].min() == 65535 and pixels[350:].max() == 0
    assert labels[:, :-1].all() and not labels[:, -1].any()


def test_tiffslide_opens_a_heatmap_as_a_slide(heatmap):
    tiffslide = pytest.importorskip(
        "tiffslide", reason="tiffslide is optional: pip install tiffslide"
    )
    with tiffslide.TiffSlide(heatmap / "heatmap.ome.tif") as slide:
        shapes = level_shapes(SHAPE)
        assert [size[::-1] for size in slide.level_dimensions] == shapes
        assert slide.properties["tiffslide.mpp-x"] == pytest.approx(MPP)
        assert slide.properties["tiffslide.mpp-y"] == pytest.approx(MPP)
        read = slide.read_region((0, 340), 0, (20, 20), as_array=True)
    assert (read[:10] == 255).all() and (read[10:] == 0).all()
