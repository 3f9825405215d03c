"""train_deepcluster: from tiles to a network, its clusters and its curves, labels or not."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests.scripts.killing import kill
from tests.scripts.tile_study import CLASSES, STUDY, train_fold, write_tiles
from workflow.lib.clusters.cluster_networks import load_backbone
from workflow.lib.clusters.clusters import Clusters, assign
from workflow.lib.clusters.networks import load_network
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import checksum, manifest
from workflow.lib.networks import resuming
from workflow.lib.tiles.stores import Tiles
from workflow.scripts.train_deepcluster import train_deepcluster

SETTINGS = {
    "fit_on": "train",
    "classes": CLASSES,
    "backbone": "shufflenet_v2_x0_5",
    "checkpoint": "random",
    "channels": "rgb",
    "count": 4,
    "pca": 4,
    "iterations": 5,
    "passes": 1,
    "rounds": 2,
    "batch_size": 8,
    "learning_rate": 0.01,
    "weight_decay": 1e-5,
    "precision": "fp32",
    "max_tiles": 100,
    "stop": {"rounds": 9, "nmi_change": 0.01, "nmi": 0.95, "churn": 0.01, "patience": 9},
    "augment": {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.1},
    "seed": 0,
}
# One more slide, of a single tile.
SLIDES = STUDY | {"one": ("striped", "train", 1)}
FILES = {"clusters.npz", "model.safetensors", "model.json", "curves.tsv"}


def learn(root, slides, **changed):
    settings = SETTINGS | changed
    compute = {"weights": None, "batch": 16}
    folder = "clusters/deepcluster"
    return train_fold(train_deepcluster, root, slides, folder, settings=settings, **compute)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    slides = write_tiles(root, SLIDES)
    return root, slides, learn(root, slides)


@pytest.fixture
def study(trained, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(trained[0], tmp_path / "study")
    return tmp_path / "study", trained[1], tmp_path / "study" / "clusters" / "deepcluster" / "fold0"


def test_a_unit_is_what_the_contract_says(trained):
    _, _, unit = trained
    found = manifest(unit)
    facts = found["facts"]
    assert set(found["files"]) == FILES
    # The second tile of a slide is bad and not learnt from; one, empty and lost are no error.
    assert (facts["n_tiles"], facts["n_slides"]) == (11 + 8 + 1, 3)
    assert facts["trained_on"] == ["a", "b", "one"]
    assert facts["chosen_on"] == ["c", "d", "empty"]  # empty trains, and has no tile to learn from
    assert facts["fit_on"] == "train" and facts["rounds"] == 2 and facts["best_epoch"] in (1, 2)
    assert facts["stopped_by"] == "all 2 rounds are done"
    assert "image labels of 2 validation slides" in facts["chosen_by"]
    sha256 = checksum(unit / "model.safetensors")["sha256"]
    assert facts["made_by"] == {
        "encoder": "deepcluster:shufflenet_v2_x0_5",
        "checkpoint": sha256,
        "mpp": 1.0,
        "tile_px": 32,
    }
    curves = read_table(unit / "curves.tsv")
    assert list(curves[0]) == ["epoch", "split", "loss", "kmeans_loss", "nmi", "churn", "probe"]
    assert [(row["epoch"], row["split"]) for row in curves] == [("1", "train"), ("2", "train")]
    assert curves[0]["nmi"] == curves[0]["churn"] == "" and curves[1]["nmi"] != ""
    record = json.loads((unit / "model.json").read_text())
    assert record["kind"] == "deepcluster" and record["best_epoch"] == facts["best_epoch"]
    assert "clusters" not in record and "curves" not in record


def test_nothing_is_left_of_the_work(trained):
    unit = trained[2]
    assert sorted(path.name for path in unit.parent.iterdir()) == ["fold0", "fold0.json"]


@torch.no_grad()
def test_the_clusters_are_those_of_the_saved_network(trained):
    """Every good training tile lies near a centroid: their mean squared distance is the loss."""
    root, _, unit = trained
    network, pixels = load_network(unit), []
    for slide in ("a", "b", "one"):
        store = Tiles(root / "tiles" / slide / "tiles.zarr")
        pixels.append(store.batch(np.flatnonzero(~store.bad)))
    tiles = torch.from_numpy(np.concatenate(pixels)).permute(0, 3, 1, 2) / 255
    with np.load(unit / "clusters.npz") as arrays:
        found = Clusters(**arrays)
    ids, distance = assign(network.embed(tiles).numpy(), found)
    facts = manifest(unit)["facts"]
    assert (distance**2).mean() == pytest.approx(facts["loss"], rel=1e-2)
    assert facts["k"] == len(found.centroids) == len(set(ids))
    assert facts["components"] == len(found.scale) <= 4
    assert load_backbone(unit)(tiles).shape[1] == network.dim


def test_the_slides_of_the_test_split_play_no_part(study):
    """Not even by being changed: the network is not trained again."""
    root, slides, unit = study
    before = (unit / "manifest.json").read_bytes()
    shutil.rmtree(root / "tiles" / "e")
    learn(root, slides)
    assert (unit / "manifest.json").read_bytes() == before


def test_labels_of_training_slides_do_not_change_what_is_learnt(study):
    """They only choose; with one round there is no choice."""
    root, slides, unit = study
    one = learn(root, slides, rounds=1) / "model.safetensors"
    content = one.read_bytes()
    table = (root / "splits.tsv").read_text()
    table = table.replace("a\tp-a\tplain", "a\tp-a\tstriped")
    (root / "splits.tsv").write_text(table.replace("b\tp-b\tstriped", "b\tp-b\tplain"))
    learn(root, slides, rounds=1)
    assert one.read_bytes() == content
    assert manifest(unit)["facts"]["start_probe"] is not None


def test_all_slides_can_be_learnt_from(study):
    root, slides, _ = study
    facts = manifest(learn(root, slides, fit_on="all", rounds=1))["facts"]
    assert (facts["n_tiles"], facts["n_slides"], facts["fit_on"]) == (20 + 4 + 5 + 4 + 3, 7, "all")
    assert "image labels of 2 validation slides" in facts["chosen_by"]


@pytest.mark.parametrize("classes", [[], ["plain"], [*CLASSES, "dotted"]])
def test_without_a_label_for_every_class_the_last_round_is_kept(study, classes):
    root, slides, _ = study
    unit = learn(root, slides, classes=classes)
    facts = manifest(unit)["facts"]
    assert facts["best_epoch"] == 2 and facts["chosen_by"].startswith("the last round, because")
    assert {row["probe"] for row in read_table(unit / "curves.tsv")} == {""}


def test_of_many_tiles_some_are_learnt_from(study):
    root, slides, _ = study
    facts = manifest(learn(root, slides, max_tiles=10, rounds=1))["facts"]
    assert facts["n_tiles"] == 10 and facts["n_slides"] <= 3


def test_what_the_network_sees_is_saved(study):
    root, slides, _ = study
    assert load_network(learn(root, slides, channels="sobel", rounds=1)).backbone.sees == "sobel"


def test_a_killed_job_goes_on_where_it_was(study, monkeypatch):
    root, slides, unit = study
    expected = {name: (unit / name).read_bytes() for name in FILES}
    shutil.rmtree(unit.parent)
    rounds, save = [], resuming.save

    def killed(work, state):
        save(work, state)
        rounds.append(state["round"])
        if rounds == [1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(resuming, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(root, slides)
    assert not unit.exists()
    learn(root, slides)
    assert rounds == [1, 2]
    assert {name: (unit / name).read_bytes() for name in FILES} == expected


def test_a_changed_setting_does_not_go_on_with_the_old_training(study, monkeypatch):
    root, slides, unit = study
    expected = (unit / "model.safetensors").read_bytes()
    shutil.rmtree(unit.parent)
    kill(monkeypatch, lambda: learn(root, slides, learning_rate=0.002))
    assert (unit.parent / ".fold0.work" / "checkpoint.pt").is_file()
    learn(root, slides)
    assert (unit / "model.safetensors").read_bytes() == expected


def test_fewer_tiles_than_clusters_are_said(tmp_path, caplog):
    slides = write_tiles(tmp_path, {"a": ("plain", "train", 1), "b": ("striped", "train", 2)})
    facts = manifest(learn(tmp_path, slides, rounds=1, backbone="squeezenet1_1"))["facts"]
    assert facts["k"] == facts["n_tiles"] == 3
    assert "Fold 0: 3 clusters instead of 4, because no more of the 3 tiles differ" in caplog.text


@pytest.mark.parametrize("tiles, said", [(0, 0), (1, 1), (-1, 0)])
def test_too_few_tiles_are_a_sentence(tmp_path, tiles, said):
    slides = write_tiles(tmp_path, {"a": ("plain", "train", tiles), "b": ("plain", "val", 4)})
    with pytest.raises(ValueError, match=f"Fold 0 has too few tiles.* {said} of at least 2"):
        learn(tmp_path, slides)
