"""train_dcec: from tiles to clusters that assign_clusters can use, and the curves beside them."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests.scripts.killing import kill
from tests.scripts.tile_study import CLASSES, STUDY, train_fold, write_tiles
from workflow.lib.clusters.clusters import Clusters, assign
from workflow.lib.clusters.networks import load_network
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import Tiles
from workflow.scripts.train_dcec import train_dcec

SETTINGS = {
    "fit_on": "train",
    "classes": CLASSES,
    "count": 2,
    "embedding": 4,
    "side_px": 16,
    "pretrain_epochs": 3,
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "gamma": 0.1,
    "update_every": 140,
    "tolerance": 0,
    "max_tiles": 1000,
    "seed": 0,
}


def learn(root, slides, **changed):
    settings = SETTINGS | changed
    return train_fold(train_dcec, root, slides, "clusters/dcec", settings=settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    slides = write_tiles(root, STUDY)
    learn(root, slides)
    return root, slides


@pytest.fixture
def study(trained, tmp_path):
    """A copy that a test may change."""
    root, slides = trained
    shutil.copytree(root, tmp_path / "study")
    return tmp_path / "study", slides


def contents(unit):
    return {file.name: file.read_bytes() for file in unit.iterdir()}


def test_the_unit_is_what_the_contract_says(trained):
    root, _ = trained
    unit = root / "clusters" / "dcec" / "fold0"
    found = manifest(unit)
    assert set(found["files"]) == {"clusters.npz", "model.safetensors", "model.json", "curves.tsv"}
    facts, record = found["facts"], json.loads((unit / "model.json").read_text())
    # The second tile of each slide is bad and not learnt from.
    assert (facts["k"], facts["components"], facts["n_tiles"]) == (2, 4, 11 + 8)
    assert (facts["n_slides"], facts["fit_on"], facts["best_epoch"]) == (2, "train", 5)
    made_by = {"encoder": "dcec", "checkpoint": record["sha256"], "mpp": 1.0, "tile_px": 32}
    assert facts["made_by"] == made_by
    assert record["sha256"] == found["files"]["model.safetensors"]["sha256"]
    assert (record["kind"], record["embedding"], record["side_px"]) == ("dcec", 4, 16)
    with np.load(unit / "clusters.npz") as arrays:
        assert arrays["mean"].tolist() == [0] * 4 and arrays["scale"].tolist() == [1] * 4
        assert np.array_equal(arrays["components"], np.eye(4)) and not arrays["unit"]
        assert arrays["centroids"].shape == (2, 4)
        assert {arrays[name].dtype for name in set(arrays) - {"unit"}} == {np.dtype(np.float32)}
    siblings = sorted(path.name for path in unit.parent.iterdir())
    assert siblings == ["fold0", "fold0.json"]  # nothing is left of the work


def test_curves_show_pretraining_too(trained):
    curves = read_table(trained[0] / "clusters" / "dcec" / "fold0" / "curves.tsv")
    columns = ["epoch", "split", "loss", "kmeans_loss", "nmi", "churn", "probe"]
    assert list(curves[0]) == columns and [row["epoch"] for row in curves] == list("12345")
    assert all(row["probe"] and row["loss"] for row in curves)
    assert [bool(row["nmi"]) for row in curves] == [False] * 3 + [True] * 2
    assert float(curves[-1]["probe"]) > 0.9


def test_other_slides_are_assigned_by_texture(trained):
    """As embed_tiles and assign_clusters do it: codes of the saved network, nearest centroid."""
    root, _ = trained
    unit, ids = root / "clusters" / "dcec" / "fold0", {}
    with np.load(unit / "clusters.npz") as arrays:
        clusters = Clusters(**arrays)
    network = load_network(unit)
    for slide in "abef":
        store = Tiles(root / "tiles" / slide / "tiles.zarr")
        tiles = torch.from_numpy(store.batch(np.flatnonzero(~store.bad)))
        with torch.no_grad():
            codes = network.embed(tiles.permute(0, 3, 1, 2) / 255).numpy()
        ids[slide] = assign(codes, clusters)[0].tolist()
    assert {*ids["a"], *ids["e"]} == {0}  # plain: more tiles
    assert {*ids["b"], *ids["f"]} == {1}


def test_the_slides_of_the_test_split_play_no_part(study):
    root, slides = study
    before = contents(root / "clusters" / "dcec" / "fold0")
    shutil.rmtree(root / "tiles" / "e")
    learn(root, slides)
    assert contents(root / "clusters" / "dcec" / "fold0") == before


def test_fit_on_all_learns_from_every_split_and_probes_as_before(tmp_path):
    slides = write_tiles(tmp_path, STUDY)
    facts = manifest(learn(tmp_path, slides, fit_on="all"))["facts"]
    assert facts["n_tiles"] == 11 + 8 + 4 + 5 + 4 + 3
    assert (facts["n_slides"], facts["fit_on"]) == (6, "all")
    # Labels of test slides are not read, not even then.
    before = contents(tmp_path / "clusters" / "dcec" / "fold0")
    text = (tmp_path / "splits.tsv").read_text()
    swapped = text.replace("e\tp-e\tplain", "e\tp-e\tstriped")
    (tmp_path / "splits.tsv").write_text(swapped)
    shutil.rmtree(tmp_path / "clusters")
    after = contents(learn(tmp_path, slides, fit_on="all"))
    assert swapped != text and after.pop("manifest.json") != before.pop("manifest.json")
    assert after == before


def test_labels_choose_nothing(study):
    root, slides = study
    before = contents(root / "clusters" / "dcec" / "fold0")
    after = contents(learn(root, slides, classes=[]))
    assert after["model.safetensors"] == before["model.safetensors"]
    assert after["clusters.npz"] == before["clusters.npz"]
    curves = read_table(root / "clusters" / "dcec" / "fold0" / "curves.tsv")
    assert all(row["probe"] == "" for row in curves)


def test_a_killed_job_goes_on_where_it_was(study, monkeypatch):
    root, slides = study
    expected = contents(root / "clusters" / "dcec" / "fold0")
    shutil.rmtree(root / "clusters")
    kill(monkeypatch, lambda: learn(root, slides), when=lambda state: state["epoch"] == 4)
    work = root / "clusters" / "dcec" / ".fold0.work"
    assert (work / "checkpoint.pt").is_file() and not (work.parent / "fold0").exists()
    assert contents(learn(root, slides)) == expected and not work.exists()


def test_changed_tiles_do_not_go_on_with_the_old_training(study, monkeypatch):
    root, slides = study
    expected = contents(root / "clusters" / "dcec" / "fold0")
    shutil.rmtree(root / "clusters")
    kill(monkeypatch, lambda: learn(root, slides, learning_rate=0.1))
    assert contents(learn(root, slides)) == expected


def test_no_more_tiles_than_asked_are_learnt_from(study):
    root, slides = study
    assert manifest(learn(root, slides, max_tiles=7, epochs=1))["facts"]["n_tiles"] == 7


def test_fewer_tiles_than_clusters_are_said(tmp_path, caplog):
    """Slides of one tile each, and no validation slide."""
    slides = write_tiles(tmp_path, {"a": ("plain", "train", 1), "b": ("striped", "train", 1)})
    facts = manifest(learn(tmp_path, slides, count=5, learning_rate=1e-6))["facts"]
    assert (facts["k"], facts["n_tiles"]) == (2, 2) and "2 clusters instead of 5" in caplog.text


def test_a_fold_without_a_tile_is_a_sentence(tmp_path):
    slides = write_tiles(
        tmp_path,
        {"a": ("plain", "train", 0), "b": ("plain", "train", -1), "c": ("plain", "val", 3)},
    )
    with pytest.raises(ValueError, match=r"Fold 0 has too few tiles.* 0 of.*verdicts.*min_tissue"):
        learn(tmp_path, slides)
    assert not (tmp_path / "clusters" / "dcec" / "fold0").exists()
