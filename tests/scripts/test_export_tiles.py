"""Tables of tiles of a study on disk: of the fold that tests a slide, and of no other."""

import gzip
import json

import pyarrow.parquet as pq
import pytest

from tests.scripts import cluster_study, exported
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with its tables, shared by all tests: do not change it."""
    study = tmp_path_factory.mktemp("study")
    exported.build(study)
    exported.write_tiles(study)
    return study


def rows_of(study, slide):
    return pq.read_table(study / "tile_tables" / slide / "tiles.parquet").to_pylist()


@pytest.mark.parametrize("slide, fold", [("a2", 0), ("d", 1)])
def test_what_is_said_is_of_the_fold_that_tests_the_slide(finished, slide, fold):
    rows = rows_of(finished, slide)
    assert {(row["fold"], row["cluster_fold"]) for row in rows[:5]} == {(fold, fold)}
    clusters, _ = cluster_study.read(finished, slide, fold)
    assert [row["cluster"] for row in rows[:5]] == clusters[:5].tolist()
    assert [row["probability_tumour"] for row in rows[:5]] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5]
    )
    means = [sum(range(start, start + 16)) / 16 / 32 for start in (0, 16)]
    found = [rows[tile]["mean_negev"] for tile in (0, 2, 3)]
    assert found == pytest.approx([means[0], means[0], means[1]], abs=1e-4)
    about = {name: rows[4][name] for name in ("patient", "label", "x_px0", "y_px0", "side_px0")}
    patient = {"a2": "A", "d": "D"}[slide]
    assert about == {
        "patient": patient, "label": "tumour", "x_px0": 16, "y_px0": 16, "side_px0": 16.0
    }  # fmt: skip


def test_splits_of_all_folds_are_told(finished):
    row = rows_of(finished, "b")[0]
    assert (row["split_fold0"], row["split_fold1"]) == ("test", "val")


def test_squares_are_those_of_the_table(finished):
    file = finished / "tile_tables" / "a1" / "tiles.geojson.gz"
    features = json.loads(gzip.decompress(file.read_bytes()))["features"]
    assert len(features) == 5  # the sixth tile could not be read
    measured = features[2]["properties"]["measurements"]
    assert (measured["probability tumour"], measured["negev probability"]) == (0.3, 0.23)
    assert manifest(finished / "tile_tables" / "a1")["facts"] == {"tiles": 6, "squares": 5}


def test_a_slide_without_tiles_and_one_that_is_lost(finished):
    assert rows_of(finished, "empty") == []
    assert manifest(finished / "tile_tables" / "empty")["verdict"] == "ok_empty"
    assert manifest(finished / "tile_tables" / "lost")["verdict"] == "E_MPP"


def test_models_that_learnt_from_a_slide_say_nothing_of_it(tmp_path):
    """Where the sheet fixes the split, some slides are never tested."""
    exported.build(tmp_path)
    rows = read_table(tmp_path / "splits.tsv")
    for row in rows:
        if row["slide"] == "e":
            row["split"] = "train"
    write_table(tmp_path / "splits.tsv", rows[0], rows)
    exported.write_tiles(tmp_path)
    row = rows_of(tmp_path, "e")[0]
    assert (row["fold"], row["probability_tumour"], row["mean_negev"]) == (None, None, None)
    assert (row["cluster"], row["cluster_fold"]) == (cluster_study.read(tmp_path, "e")[0][0], 0)


def test_a_study_without_labels_has_clusters(finished, tmp_path):
    for part in ("tiles", "assignments", "splits.tsv"):
        (tmp_path / part).symlink_to(finished / part)
    exported.write_tiles(tmp_path, methods=(), labelled=False)
    row = rows_of(tmp_path, "a1")[0]
    assert row["cluster"] is not None
    assert not [name for name in row if name.startswith(("probability", "mean"))]
