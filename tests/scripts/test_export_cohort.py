"""The tiles of a study on disk as one table and as AnnData, row by row the same."""

import csv

import anndata
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.scripts import exported
from tests.scripts.outcome import SLIDES
from workflow.lib.tiles.stores import open_group

KEPT = ["a1", "a2", "b", "c", "d", "e"]  # of the others one has no tile and one is lost


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The exports of a study, shared by all tests: do not change them."""
    study = tmp_path_factory.mktemp("study")
    exported.build(study)
    exported.write_tiles(study)
    return exported.write_cohort(study)


def test_rows_are_the_tiles_of_usable_slides_in_order(folder):
    table = pq.read_table(folder / "tiles.parquet").to_pandas()
    assert table["slide"].tolist() == [slide for slide in KEPT for _ in range(6)]
    assert table["tile_id"].tolist() == list(range(6)) * 6


def test_anndata_has_the_features_beside_what_is_known(folder):
    cohort = anndata.read_h5ad(folder / "cohort.h5ad")
    assert cohort.shape == (36, 4)
    assert cohort.obs_names[7] == "a2/1"
    for slide in ("a1", "e"):
        stored = open_group(folder.parent / "features" / slide / "features.zarr")["features"][:]
        part = cohort[cohort.obs["slide"] == slide]
        np.testing.assert_array_equal(part.X, stored)
        assert set(part.obs["patient"]) == {SLIDES[slide][0]}
    promised = {"slide", "patient", "label", "site", "fold", "cluster"}
    promised |= {"x", "y", "tile_id", "tissue", "bad"}
    assert promised <= set(cohort.obs.columns)
    np.testing.assert_array_equal(
        cohort.obsm["spatial"], cohort.obs[["x", "y"]].to_numpy() + 8
    )  # tiles of 16 px
    assert cohort.uns["features"]["encoder"] == "made up"


def test_the_plane_is_known_of_the_tiles_that_are_on_it(folder):
    cohort = anndata.read_h5ad(folder / "cohort.h5ad")
    plane = cohort.obsm["X_tsne"]
    known = {name: plane[list(cohort.obs_names).index(name)].tolist() for name in ("a1/2", "e/0")}
    assert known == {"a1/2": [1.5, -2.0], "e/0": [0.25, 4.0]}
    assert np.isfinite(plane).all(axis=1).sum() == 2


def test_the_sheet_says_the_same_as_the_table(folder):
    table = pq.read_table(folder / "tiles.parquet").to_pylist()
    with (folder / "tiles.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == len(table)
    for name, value in table[8].items():
        said = rows[8][name]
        assert (
            float(said) == pytest.approx(value, rel=1e-5)
            if isinstance(value, float)
            else (said == ("" if value is None else str(value)))
        )


def test_the_same_study_gives_the_same_bytes(folder, tmp_path):
    exported.build(tmp_path)
    exported.write_tiles(tmp_path)
    again = exported.write_cohort(tmp_path)
    for name in ("cohort.h5ad", "tiles.parquet", "tiles.tsv"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
