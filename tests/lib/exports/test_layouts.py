"""The folders of programs."""

from workflow.lib.exports.layouts import PROGRAMS, file_places


def test_feature_folders_are_flat():
    """TRIDENT and STAMP look for <slide>.h5 in the folder itself, CLAM in two below it."""
    for program in ("trident", "stamp"):
        assert list(file_places(program, ("feature_files",)).values()) == ["{slide}.h5"]
    assert set(file_places("clam", ("feature_files",)).values()) == {
        "h5_files/{slide}.h5",
        "pt_files/{slide}.pt",
    }


def test_methods_have_folders_of_their_own():
    assert file_places("asap", ("asap_polygons", "irn")) == {"polygons.xml": "irn/{slide}.xml"}
    assert set(file_places("qupath", ("heatmaps", "irn")).values()) == {
        "irn/{slide}.geojson.gz",
        "irn/{slide}.ome.tif",
    }
    assert list(file_places("qupath", ("tile_tables",)).values()) == ["tiles/{slide}.geojson.gz"]
    assert PROGRAMS == ("trident", "clam", "stamp", "qupath", "asap")
