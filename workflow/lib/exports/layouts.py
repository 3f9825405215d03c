"""Where the files of a slide lie in the folder that a program is pointed to."""

from collections.abc import Sequence

FEATURES = ("trident", "clam", "stamp")
PROGRAMS = (*FEATURES, "qupath", "asap")
FEATURE_FILES = {  # of each format: file of a unit -> where its program looks, by slide
    "trident": {"trident.h5": "{slide}.h5"},
    "clam": {"trident.h5": "h5_files/{slide}.h5", "clam.pt": "pt_files/{slide}.pt"},
    "stamp": {"stamp.h5": "{slide}.h5"},
}


def file_places(program: str, stage: Sequence[str]) -> dict[str, str]:
    """File of a unit -> its place, by {slide}, of a stage: the names of its folders in the study.

    >>> file_places("qupath", ("heatmaps", "negev"))["heatmap.ome.tif"]
    'negev/{slide}.ome.tif'
    """
    if program in FEATURES:
        return FEATURE_FILES[program]
    kind, *methods = stage
    if kind == "tile_tables":
        return {"tiles.geojson.gz": "tiles/{slide}.geojson.gz"}
    (method,) = methods
    if kind == "asap_polygons":
        return {"polygons.xml": f"{method}/{{slide}}.xml"}
    return {
        "polygons.geojson.gz": f"{method}/{{slide}}.geojson.gz",
        "heatmap.ome.tif": f"{method}/{{slide}}.ome.tif",
    }
