"""From features to clusters, and to the cluster of every tile."""

import shutil

import numpy as np
import pytest

from tests.scripts.cluster_study import assign, read, rewrite, spoil, train
from workflow.lib.clusters.clusters import Clusters
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import open_group


@pytest.fixture
def study(clustered, tmp_path):
    return shutil.copytree(clustered, tmp_path / "study")


def test_clusters_are_fitted_on_the_training_slides_of_their_fold(study):
    facts = manifest(study / "clusters" / "kmeans" / "fold0")["facts"]
    # fold 0 trains on c and e with six tiles each, of which one cannot be read, and on empty with
    # none; lost is quarantined
    assert (facts["k"], facts["n_tiles"], facts["n_slides"]) == (2, 10, 3)
    assert facts["trained_on"] == ["c", "e", "empty"]
    arrays = np.load(study / "clusters" / "kmeans" / "fold0" / "clusters.npz")
    assert arrays["mean"].shape == (4,) and arrays["centroids"].shape[0] == 2
    rows = [open_group(study / "features" / s / "features.zarr")["features"][:5] for s in "ce"]
    assert np.allclose(arrays["mean"], np.concatenate(rows).mean(0), atol=1e-5)


def test_clusters_are_fitted_on_all_slides_of_the_fold_where_that_is_asked_for(study):
    assert manifest(study / "clusters" / "kmeans" / "fold0")["facts"]["fit_on"] == "train"
    facts = manifest(train(study, fit_on="all"))["facts"]
    # six slides with five readable tiles each, whatever their split, and the empty one
    assert (facts["fit_on"], facts["n_tiles"], facts["n_slides"]) == ("all", 30, 7)
    kept = [
        open_group(study / "features" / slide / "features.zarr")["features"][:5]
        for slide in ("a1", "a2", "b", "c", "d", "e")
    ]
    mean = np.load(study / "clusters" / "kmeans" / "fold0" / "clusters.npz")["mean"]
    assert np.allclose(mean, np.concatenate(kept).mean(0), atol=1e-5)


def test_a_test_slide_touches_the_clusters_that_are_fitted_on_all(study):
    train(study, fit_on="all")
    shutil.rmtree(study / "features" / "a1")
    with pytest.raises(FileNotFoundError, match="a1 holds no result|features holds no result"):
        train(study, fit_on="all")


def test_the_streamed_fit_finds_what_the_held_one_finds(study, monkeypatch):
    before = [read(study, slide)[0].tolist() for slide in ("a1", "a2", "b")]
    monkeypatch.setattr("workflow.lib.clusters.clustering.HELD", 0)
    monkeypatch.setattr("workflow.lib.tiles.rows.CELLS", 8)
    for name in ("clusters", "assignments"):
        shutil.rmtree(study / name)
    facts = manifest(train(study))["facts"]
    assert (facts["k"], facts["n_tiles"]) == (2, 10)
    assign(study)
    assert [read(study, slide)[0].tolist() for slide in ("a1", "a2", "b")] == before


def test_slides_outside_of_training_do_not_touch_the_clusters(study):
    """Neither retrained nor other bytes when the features of a test slide change."""
    before = (study / "clusters" / "kmeans" / "fold0" / "manifest.json").read_bytes()
    shutil.rmtree(study / "features" / "a1")
    train(study)
    assert (study / "clusters" / "kmeans" / "fold0" / "manifest.json").read_bytes() == before


def test_the_same_seed_gives_the_same_bytes(study, tmp_path):
    first = (study / "clusters" / "kmeans" / "fold0" / "clusters.npz").read_bytes()
    shutil.rmtree(study / "clusters")
    train(study)
    assert (study / "clusters" / "kmeans" / "fold0" / "clusters.npz").read_bytes() == first


def test_no_more_tiles_than_asked_are_fitted(study):
    folder = train(study, max_tiles=7)
    assert manifest(folder)["facts"]["n_tiles"] == 7


def test_more_clusters_than_tiles_are_said_and_not_made(study, caplog):
    folder = train(study, count=500)
    assert manifest(folder)["facts"]["k"] <= 12
    assert "clusters instead of 500" in caplog.text


def test_a_bad_tile_does_not_take_part(study):
    features = open_group(study / "features" / "e" / "features.zarr")["features"][:]
    before = (study / "clusters" / "kmeans" / "fold0" / "clusters.npz").read_bytes()
    features[5] = 1e6
    rewrite(study, "e", features, np.arange(6) == 5)
    assert (train(study) / "clusters.npz").read_bytes() == before


def test_features_of_several_encoders_are_not_clustered(study):
    rewrite(study, "e", np.ones((6, 4)), np.zeros(6), encoder="other")
    with pytest.raises(ValueError, match=r"empty has .*made up.*; e has .*other.* again"):
        train(study)


def test_features_of_several_widths_are_not_clustered(study):
    rewrite(study, "e", np.ones((6, 5)), np.zeros(6))
    with pytest.raises(ValueError, match=r"e has 5.* extract them again"):
        train(study)


def test_slides_of_one_tile_each_are_clustered(study):
    for slide, value in (("c", 1), ("e", -1)):
        rewrite(study, slide, np.full((1, 4), value), [False])
    facts = manifest(train(study))["facts"]
    assert (facts["k"], facts["components"], facts["n_tiles"]) == (2, 1, 2)
    assert facts["loss"] == pytest.approx(0, abs=1e-9)


def test_tiles_that_are_all_equal_are_one_cluster(study, caplog):
    for slide in "ce":
        rewrite(study, slide, np.full((6, 4), 3), np.zeros(6))
    facts = manifest(train(study))["facts"]
    assert (facts["k"], facts["components"], facts["loss"]) == (1, 0, 0)
    assert "1 clusters instead of 2" in caplog.text
    shutil.rmtree(study / "assignments")
    assign(study)
    ids, distance = read(study, "c")
    assert ids.tolist() == [0] * 6 and distance.tolist() == [0] * 6


def test_codes_without_unit_length_are_assigned_by_their_plain_distance(study):
    folder = study / "clusters" / "kmeans" / "fold0"
    centroids = np.array([[0, 0, 0, 0], [0, 5, 0, 0]], np.float32)
    identity = np.zeros(4, np.float32), np.eye(4, dtype=np.float32), np.ones(4, np.float32)
    np.savez(folder / "clusters.npz", **vars(Clusters(*identity, centroids, unit=False)))
    shutil.rmtree(study / "assignments" / "kmeans" / "fold0")
    assign(study)
    features = open_group(study / "features" / "a1" / "features.zarr")["features"][:]
    ids, distance = read(study, "a1")
    assert ids.tolist() == [1] * 6
    assert np.allclose(distance, np.linalg.norm(features - centroids[1], axis=1), atol=1e-5)


def test_a_feature_that_is_nan_stops_training_and_names_slide_and_tile(study):
    spoil(study, "e", 4, np.nan)
    shutil.rmtree(study / "clusters")
    with pytest.raises(ValueError, match=r"^E_NUMBER: e: the features of tile 4 are not finite"):
        train(study)
    assert not (study / "clusters" / "kmeans" / "fold0").exists()


def test_training_slides_without_a_tile_are_an_error_that_says_what_to_do(study):
    text = (study / "splits.tsv").read_text()
    for row in ("0\tc\tC\tnormal\t", "0\te\tE\ttumour\t"):
        text = text.replace(f"{row}train", f"{row}test")
    (study / "splits.tsv").write_text(text)
    with pytest.raises(ValueError, match=r"No training slide of fold 0 .*min_tissue"):
        train(study)
