"""What AnnData says of tiles: names, observations, planes."""

import numpy as np
import pyarrow as pa

from tests.lib.exports.tabled import NOTHING, empty, table
from workflow.lib.exports.cohort_columns import observations, plane, tile_names, unstructured

BOTH = pa.concat_tables([table("a"), empty(), table("b", found=NOTHING, fold=None, label=None)])


def test_names_are_different():
    assert tile_names(BOTH) == ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"]


def test_observations_by_hand():
    columns = observations(BOTH)
    assert {"slide", "patient", "label", "site", "fold", "cluster"} <= set(columns)
    assert {"x", "y", "tile_id", "tissue", "bad"} <= set(columns)
    assert not {"x_px0", "y_px0", "cluster_fold"} & set(columns)
    assert columns["cluster"].tolist() == ["f1c3", None, "f1c1", None, None, None]
    assert columns["fold"].tolist() == ["1", "1", "1", None, None, None]
    assert columns["x"].tolist() == [0, 10, 95] * 2
    shares = columns["probability_tumour"]
    assert shares.dtype == np.float32
    assert np.isnan(shares).tolist() == [False, True, False, True, True, True]
    assert all(len(column) == 6 for column in columns.values())


def test_a_class_with_a_slash_is_a_column():
    """HDF5 takes a slash for a folder, and AnnData refuses such names."""
    columns = observations(table(classes=["A/B", "C"]))
    told = [name for name in columns if name.startswith("probability")]
    assert told == ["probability_A|B", "probability_C"]


def test_observations_of_nothing():
    columns = observations(empty())
    assert columns["slide"].dtype == object
    assert all(column.shape == (0,) for column in columns.values())


def test_tiles_that_are_on_no_plane():
    drawn = [{"slide": "b", "tile": "1", "x": "2.5", "y": "-1"}]
    places = plane(BOTH, drawn)
    assert places[4].tolist() == [2.5, -1]
    assert np.isnan(np.delete(places, 4, axis=0)).all()
    assert plane(empty(), drawn).shape == (0, 2)


def test_a_library_for_every_slide_with_tiles():
    told = unstructured(BOTH, ["a", "b", "e"], {"encoder": "uni"})
    assert set(told["spatial"]) == {"a", "b"}
    assert told["spatial"]["a"]["scalefactors"] == {"spot_diameter_fullres": 10.0}
    assert told["features"] == {"encoder": "uni"}
