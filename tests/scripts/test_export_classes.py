"""What the classifier says as pictures with a channel per class, as other programs see them."""

import numpy as np
import pytest
import tifffile
import zarr

from tests.scripts import exported, outcome
from workflow.lib.jobs.units import manifest
from workflow.lib.report.colours import class_colour
from workflow.scripts.export_classes import export_classes

CLASSES = ["normal", "tumour"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with its class maps: tile k is tumour by (k + 1) / 10, the last is bad. Leave it."""
    study = tmp_path_factory.mktemp("study")
    outcome.build(study)
    outcome.write_scores(study, lambda slide: np.linspace(0.1, 0.6, 6))
    index = study / "class_maps/all.json"
    scores = [study / f"scores/fold{fold}/all.json" for fold in (0, 1)]
    where = (study / "tiles/all.json", scores, study / "splits.tsv", index)
    export_classes(*where, shard=exported.shard("export_classes"), classes=CLASSES)
    exported.gather(study, "qupath", "class_maps")
    return study


def test_every_class_has_its_channel_in_the_order_of_the_config(finished):
    group = zarr.open_group(finished / "class_maps/a1/classes.ome.zarr", mode="r")
    found = group["s0"][:] / 65535
    assert found.shape == (2, 2, 3)
    tumour = [[0.1, 0.2, 0.3], [0.4, 0.5, 0]]
    np.testing.assert_allclose(found[1], tumour, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), np.array(tumour) > 0, atol=1e-4)
    np.testing.assert_array_equal(group["labels/coverage/s0"][:], np.array(tumour) > 0)
    drawn = group.attrs["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in drawn] == CLASSES
    assert [bytes.fromhex(one["color"]) for one in drawn] == [
        bytes(class_colour(i)) for i in (0, 1)
    ]


def test_the_tiff_has_them_as_channels_with_its_pixel_size(finished):
    with tifffile.TiffFile(finished / "exports/qupath/classes/a1.ome.tif") as tiff:
        (series,) = tiff.series
        assert (series.axes, series.shape) == ("CYX", (2, 2, 3))
        image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        pixels = series.asarray()
    assert [channel["Name"] for channel in image["Pixels"]["Channel"]] == CLASSES
    assert image["Pixels"]["PhysicalSizeX"] == manifest(finished / "class_maps/a1")["facts"]["mpp"]
    assert image["Description"].startswith("Probability of normal, tumour: 255 is 1")
    assert pixels[:, 0, 2].tolist() == [round(0.7 * 255), round(0.3 * 255)]


def test_slides_are_shown_by_the_fold_that_tests_them(finished):
    for slide, (*_, first, second) in outcome.SLIDES.items():
        found = manifest(finished / "class_maps" / slide)
        if found["verdict"].startswith("ok"):
            assert found["facts"]["fold"] == [first, second].index("test")
    assert manifest(finished / "class_maps/empty")["verdict"] == "ok_empty"
    assert manifest(finished / "class_maps/lost")["verdict"] == "E_MPP"


def test_folders_are_called_classes(finished):
    files = set(manifest(finished / "exports/qupath")["files"])
    assert files == {f"classes/{s}.ome.tif" for s in outcome.SLIDES if s != "lost"}
