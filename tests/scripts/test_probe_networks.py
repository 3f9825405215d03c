"""probe_networks, evaluate_probes: what the layers of a network know of the labels."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from tests.scripts.tile_study import CLASSES, TILE_PX, shard, write_tiles
from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.clusters.linear_probes import auroc
from workflow.lib.jobs.shard import commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.tiles.stores import open_group
from workflow.scripts import probe_networks as script
from workflow.scripts.probe_networks import probe_networks

SETTINGS = {"classes": CLASSES, "random_starts": 2, "penalty": 1.0, "max_tiles": 100, "seed": 3}
STUDY = {
    "a": ("plain", "train", 6),
    "b": ("striped", "train", 9),
    "c": ("plain", "val", 4),
    "d": ("striped", "train", 2),
    "e": ("plain", "test", 5),
    "f": ("striped", "test", 4),
    "empty": ("striped", "test", 0),
    "lost": ("striped", "train", -1),
}


class Seeing(nn.Module):
    """Shallow: the colour of a tile. Deep: its stripes once trained, one pixel of it before."""

    dim, tile_px, mpp = 1, TILE_PX, 1.0

    def __init__(self, strength=1.0, started=True):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(strength))
        self.started = started

    def layers(self, tiles):
        stripes = tiles[:, :, 1:] - tiles[:, :, :-1]
        noise = tiles[:, :1, 1, 1]
        seen = stripes.abs().mean(dim=(1, 2, 3))[:, None]
        return {"colour": tiles[:, :1], "embedding": self.strength * seen + noise * 1e-3}

    def start(self, weights):
        return Seeing(-1.0) if self.started else None

    def untrained(self, seed):
        assert seed in (3, 4)
        return Seeing(0.0)


def probe(root, slides, **changed):
    settings = SETTINGS | changed
    clusters, index = root / "clusters" / "fold0.json", root / "probes" / "fold0.json"
    if not clusters.exists():
        commit(clusters, shard("train_deepcluster", slides), lambda folder: {"k": 2})
    probe_networks(
        [root / "tiles" / "all.json"],
        root / "splits.tsv",
        clusters,
        index,
        shard=shard("probe_networks", slides, **settings),
        fold=0,
        **settings,
        weights=None,
        device="cpu",
        batch=4,
        threads=1,
    )
    return index.with_suffix("")


@pytest.fixture
def seeing(monkeypatch):
    def replace(network):
        monkeypatch.setattr(script, "load_network", lambda folder: network)

    replace(Seeing())
    return replace


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    return root, write_tiles(root, STUDY)


@pytest.fixture
def study(tiled, tmp_path):
    shutil.copytree(tiled[0], tmp_path / "study")
    return tmp_path / "study", tiled[1]


def test_every_layer_of_every_network_is_probed(study, seeing):
    unit = probe(*study)
    facts = manifest(unit)["facts"]
    # one tile of a, b, e and f is bad; d has none, lost is quarantined
    assert facts.pop("trained_on") == ["a", "b", "d"]
    assert facts == {"probes": 8, "train_tiles": 5 + 8 + 2, "test_tiles": 4 + 3, "warning": None}
    group = open_group(unit / "scores.zarr")
    assert group.attrs["classes"] == CLASSES and group.attrs["fold"] == 0
    assert group.attrs["slides"] == ["e", "empty", "f"]
    networks = [("trained", None), ("start", None), ("random", 3), ("random", 4)]
    layers = [("colour", 1), ("embedding", 1)]
    assert group.attrs["probes"] == [[*n, *layer] for n in networks for layer in layers]
    assert group["slide"][:].tolist() == [0] * 4 + [2] * 3
    assert group["row"][:].tolist() == [0, 2, 3, 4, 0, 2, 3]
    trained = group["probability1"][:]
    assert trained.shape == (7, 2) and trained.dtype == np.float32
    assert trained[:4, 1].max() < 0.5 < trained[4:, 1].min()


def test_the_table_is_of_the_stored_scores(study, seeing):
    unit = probe(*study)
    rows = read_table(unit / "probes.tsv")
    group = open_group(unit / "scores.zarr")
    labels = np.array([0] * 4 + [1] * 3)
    for index, row in enumerate(rows):
        scores = group[f"probability{index}"][:]
        assert float(row["tile_auroc"]) == pytest.approx(auroc(scores, labels), abs=1e-5)
        means = scores[:4, 1].mean(), scores[4:, 1].mean()
        assert float(row["slide_auroc"]) == (means[1] > means[0])
    assert [row["network"] for row in rows[::2]] == ["trained", "start", "random", "random"]
    assert [row["seed"] for row in rows[::2]] == ["", "", "3", "4"]
    assert rows[1]["tile_auroc"] == "1" and float(rows[5]["tile_auroc"]) < 1


def test_a_network_that_started_from_nothing_has_no_start(study, seeing):
    seeing(Seeing(started=False))
    rows = read_table(probe(*study) / "probes.tsv")
    assert {row["network"] for row in rows} == {"trained", "random"} and len(rows) == 6


def test_the_same_seed_gives_the_same_bytes(study, seeing):
    files = [manifest(probe(*study, max_tiles=7))["files"]]
    shutil.rmtree(study[0] / "probes")
    files.append(manifest(probe(*study, max_tiles=7))["files"])
    assert files[0] == files[1]
    assert manifest(study[0] / "probes" / "fold0")["facts"]["train_tiles"] == 7


def test_labels_of_test_slides_do_not_touch_the_scores(study, seeing):
    root, _ = study
    before = open_group(probe(*study) / "scores.zarr")["probability1"][:]
    text = (root / "splits.tsv").read_text()
    (root / "splits.tsv").write_text(text.replace("p-e\tplain", "p-e\tstriped"))
    unit = probe(*study)
    assert np.array_equal(open_group(unit / "scores.zarr")["probability1"][:], before)
    assert read_table(unit / "probes.tsv")[1]["tile_auroc"] == ""  # one class alone is left


def test_slides_without_a_label_take_no_part(study, seeing):
    root, _ = study
    text = (root / "splits.tsv").read_text()
    text = text.replace("p-e\tplain", "p-e\t").replace("p-b\tstriped", "p-b\t")
    (root / "splits.tsv").write_text(text)
    unit = probe(*study)
    assert open_group(unit / "scores.zarr").attrs["slides"] == ["empty", "f"]
    facts = manifest(unit)["facts"]
    assert (facts["train_tiles"], facts["test_tiles"]) == (5 + 2, 3)


def test_a_class_without_training_tiles_leaves_no_probe(study, seeing, caplog):
    root, _ = study
    text = (root / "splits.tsv").read_text()
    for slide in "bd":
        text = text.replace(f"p-{slide}\tstriped\ttrain", f"p-{slide}\tstriped\tval")
    (root / "splits.tsv").write_text(text)
    unit = probe(*study)
    assert "Fold 0 has no probe, because there is no training tile of class striped" in caplog.text
    facts = manifest(unit)["facts"]
    assert facts["probes"] == 0 and facts["warning"] in caplog.text
    assert read_table(unit / "probes.tsv") == []
    assert open_group(unit / "scores.zarr")["slide"].shape == (7,)


def test_a_fold_without_tiles_to_test_has_no_score(study, seeing):
    root, _ = study
    text = (root / "splits.tsv").read_text()
    for slide, label in (("e", "plain"), ("f", "striped")):
        text = text.replace(f"p-{slide}\t{label}\ttest", f"p-{slide}\t{label}\tval")
    (root / "splits.tsv").write_text(text)
    unit = probe(*study)
    assert open_group(unit / "scores.zarr")["probability0"].shape == (0, 2)
    assert {row["tile_auroc"] for row in read_table(unit / "probes.tsv")} == {""}


def test_a_network_of_other_tiles_is_refused(study, seeing):
    network = Seeing()
    network.tile_px = 64
    seeing(network)
    with pytest.raises(ValueError, match=r"network of fold 0 takes tiles of 64 px.*have 32 px"):
        probe(*study)


def squeezenet(seed):
    backbone = build_backbone("squeezenet1_1", checkpoint="random", weights=None, seed=seed)
    return ClusterNetwork(backbone, tile_px=TILE_PX, mpp=1.0, checkpoint="random")


def autoencoder(seed):
    return Autoencoder(4, 16, tile_px=TILE_PX, mpp=1.0).untrained(seed)


@pytest.mark.parametrize("build", [squeezenet, autoencoder])
def test_networks_as_they_are_saved(study, build):
    """Never trained, so that the random network of the same seed knows as much."""
    root, slides = study
    clusters = root / "clusters" / "fold0.json"
    commit(
        clusters, shard("train", slides, start=build.__name__), lambda unit: build(3).save(unit, {})
    )
    rows = read_table(probe(root, slides, random_starts=1) / "probes.tsv")
    layers = [row["layer"] for row in rows if row["network"] == "trained"]
    assert len(layers) > 2 and len(rows) == 2 * len(layers)
    for first, second in zip(rows, rows[len(layers) :], strict=False):
        assert first["tile_auroc"] == second["tile_auroc"] and second["seed"] == "3"
    assert float(rows[0]["tile_auroc"]) > 0.9
