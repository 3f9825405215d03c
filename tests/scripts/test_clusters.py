"""From features to the picture of every cluster: train, assign, evaluate, draw."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.scripts import outcome
from tests.scripts.cluster_study import assign, indices, read, spoil
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.tiles.stores import open_group
from workflow.scripts.draw_cluster_maps import draw_cluster_maps
from workflow.scripts.draw_montages import draw_montages
from workflow.scripts.evaluate_clusters import evaluate_clusters


def evaluate(study, **changes):
    given = {"shard": outcome.shard("evaluate_clusters"), "seed": 0, "bootstrap": 100} | changes
    tables = study / "clusters.tsv", study / "enrichment.tsv"
    evaluate_clusters(indices(study), study / "splits.tsv", *tables, clustering="kmeans", **given)
    return {(row["fold"], row["metric"]): row for row in read_table(study / "clusters.tsv")}


def draw(study, fold=0, tiles_per_cluster=4):
    index = study / "montages" / "kmeans" / f"fold{fold}.json"
    draw_montages(
        [study / "tiles" / "all.json"],
        [study / "assignments" / "kmeans" / f"fold{fold}" / "all.json"],
        study / "splits.tsv",
        index,
        shard=outcome.shard("draw_montages"),
        fold=fold,
        tiles_per_cluster=tiles_per_cluster,
        seed=0,
    )
    return index.with_suffix("")


def draw_maps(study, max_side_px=48):
    index = study / "cluster_maps" / "kmeans" / "all.json"
    draw_cluster_maps(
        study / "tiles" / "all.json",
        study / "tissue" / "all.json",
        indices(study),
        study / "splits.tsv",
        index,
        shard=outcome.shard("draw_cluster_maps"),
        max_side_px=max_side_px,
    )
    return index.parent


@pytest.fixture
def study(clustered, tmp_path):
    return shutil.copytree(clustered, tmp_path / "study")


def test_every_slide_gets_an_assignment_per_tile(study):
    expected = sorted(set(outcome.SLIDES) - {"lost"})
    assert usable(study / "assignments" / "kmeans" / "fold0", outcome.SLIDES) == expected
    for slide in expected:
        ids, distance = read(study, slide)
        assert len(ids) == len(distance) == outcome.count(slide)
        assert ids.dtype == np.int32 and distance.dtype == np.float32
    assert manifest(study / "assignments" / "kmeans" / "fold0" / "empty")["verdict"] == "ok_empty"
    assert manifest(study / "assignments" / "kmeans" / "fold0" / "lost")["verdict"] == "E_MPP"
    assert len({tuple(set(read(study, slide)[0])) for slide in ("a2", "b", "d", "e")}) == 1


def test_a_feature_that_is_nan_is_not_assigned(study):
    spoil(study, "a1", 2, np.nan)
    shutil.rmtree(study / "assignments" / "kmeans" / "fold0")
    with pytest.raises(RuntimeError, match=r"1 of 8 slides failed.* a1: .* tile 2 "):
        assign(study)
    assert len(read(study, "b")[0]) == 6  # the others are kept


def test_features_of_another_encoder_are_not_assigned(study):
    path = study / "features" / "a1" / "features.zarr"
    features = open_group(path)["features"][:]
    shutil.rmtree(path)
    outcome.write_rows(outcome.create_group(path, {"encoder": "other"}), "features", features)
    shutil.rmtree(study / "assignments" / "kmeans" / "fold0")
    with pytest.raises(RuntimeError, match=r"a1 has features of .*other.* extract the features"):
        assign(study)


def test_clusters_that_follow_the_labels_agree_fully(study):
    rows = evaluate(study)
    for fold in ("0", "1", "all"):
        assert float(rows[fold, "nmi"]["value"]) == float(rows[fold, "ari"]["value"]) == 1
        assert float(rows[fold, "purity"]["value"]) == 1
    assert float(rows["0", "chance_purity"]["value"]) == pytest.approx(2 / 3, abs=1e-6)
    assert rows["0", "nmi"]["n"] == "3" and rows["all", "nmi"]["n"] == "6"
    assert {(row["level"], row["method"]) for row in rows.values()} == {("tile", "kmeans")}


def test_a_study_without_labels_has_no_agreement(study):
    text = (study / "splits.tsv").read_text()
    text = text.replace("\tnormal\t", "\t\t").replace("\ttumour\t", "\t\t")
    (study / "splits.tsv").write_text(text)
    asked = {metric for _, metric in evaluate(study)}
    assert not asked & {"nmi", "ari", "purity", "chance_purity"}


def test_one_label_in_a_fold_leaves_agreement_empty(study):
    text = (study / "splits.tsv").read_text()
    (study / "splits.tsv").write_text(text.replace("0\ta1\tA\tnormal", "0\ta1\tA\ttumour"))
    rows = evaluate(study)
    assert rows["0", "nmi"]["value"] == rows["all", "nmi"]["value"] == ""
    assert rows["1", "nmi"]["value"] == "1"


def test_the_montage_counts_every_tile_and_draws_each_cluster(study):
    folder = draw(study)
    sizes = read_table(folder / "sizes.tsv")
    assert [row["cluster"] for row in sizes] == ["0", "1"]
    assert sum(int(row["tiles"]) for row in sizes) == 6 * 6
    assert sorted((row["tiles[normal]"], row["tiles[tumour]"]) for row in sizes) == [
        ("0", "24"),
        ("12", "0"),
    ]
    page = np.asarray(Image.open(folder / "montage.png"))
    assert page.ndim == 3 and page.shape[0] > 2 * 96
    again = (folder / "montage.png").read_bytes()
    shutil.rmtree(study / "montages")
    assert (draw(study) / "montage.png").read_bytes() == again


def test_a_map_uses_the_fold_that_tests_the_slide(study):
    maps = draw_maps(study)
    folds = {slide: manifest(maps / slide)["facts"]["fold"] for slide in ("a1", "b", "c", "empty")}
    assert folds == {"a1": 0, "b": 0, "c": 1, "empty": 1}
    assert manifest(maps / "lost")["verdict"] == "E_MPP"
    assert manifest(maps / "empty")["verdict"] == "ok_empty"
    for slide in usable(maps, outcome.SLIDES):
        page = np.asarray(Image.open(maps / slide / "cluster_map.png"))
        assert page.shape[0] > 32 and page.shape[1] > 48


def test_a_slide_that_no_fold_tests_is_drawn_with_fold_0(study):
    text = (study / "splits.tsv").read_text()
    (study / "splits.tsv").write_text(text.replace("\ttest\n", "\ttrain\n"))
    maps = draw_maps(study)
    assert manifest(maps / "c")["facts"]["fold"] == 0


def test_a_map_is_no_larger_than_asked(study):
    widths = []
    for max_side_px in (24, 48, 400):  # the tiles hold 48 px, and a map invents none
        with Image.open(draw_maps(study, max_side_px) / "b" / "cluster_map.png") as page:
            pixels = np.asarray(page)
        shutil.rmtree(study / "cluster_maps")
        drawn = (pixels[62 : 62 + 16, 16 : 16 + 160] != 255).any(axis=(0, 2))
        widths.append(int(drawn.sum()))
    assert widths == [24, 48, 48]
