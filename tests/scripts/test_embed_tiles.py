"""embed_tiles: a row per tile from the network that a fold learnt, and clusters fit to them."""

import numpy as np
import pytest
import torch

from tests.scripts.tile_study import shard, write_tiles
from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.jobs.shard import commit
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.tiles.stores import Tiles, open_group
from workflow.scripts import embed_tiles as script
from workflow.scripts.assign_clusters import assign_clusters
from workflow.scripts.embed_tiles import embed_tiles

SETTINGS = {"fold": 0, "device": "cpu", "batch": 2, "threads": 1}
STUDY = {"a": ("plain", "train", 3), "b": ("striped", "test", 0), "c": ("plain", "train", -1)}


def network():
    backbone = build_backbone("resnet18", checkpoint="random", weights=None, seed=0, channels="hed")
    return ClusterNetwork(backbone, tile_px=32, mpp=1.0, checkpoint="random").eval()


def write_clusters(root, slides):
    def work(folder):
        record = network().save(folder, {})
        rng = np.random.default_rng(0)
        arrays = {"mean": np.zeros(512), "components": rng.normal(0, 1, (2, 512))}
        arrays |= {"scale": np.ones(2), "centroids": np.eye(2)}
        arrays = {name: values.astype(np.float32) for name, values in arrays.items()}
        np.savez(folder / "clusters.npz", **arrays)
        made_by = {"encoder": "deepcluster:resnet18", "checkpoint": record["sha256"]}
        return {"k": 2, "made_by": made_by | {"mpp": 1.0, "tile_px": 32}}

    index = root / "clusters" / "deepcluster" / "fold0.json"
    commit(index, shard("train_deepcluster", slides), work)
    return index


def embed(root, slides, clusters, precision="fp32"):
    index = root / "embeddings" / "deepcluster" / "fold0" / "all.json"
    job = shard("embed_tiles", slides, precision=precision)
    tiles = root / "tiles" / "all.json"
    embed_tiles(tiles, clusters, index, shard=job, precision=precision, **SETTINGS)
    return index


@pytest.fixture
def study(tmp_path):
    slides = write_tiles(tmp_path, STUDY)
    return tmp_path, slides, write_clusters(tmp_path, slides)


def test_features_are_those_of_the_network(study):
    root, slides, clusters = study
    index = embed(root, slides, clusters)
    group = open_group(index.parent / "a" / "features.zarr")
    tiles = Tiles(root / "tiles" / "a" / "tiles.zarr")
    with torch.no_grad():
        x = torch.from_numpy(tiles.batch([0, 1, 2])).permute(0, 3, 1, 2) / 255
        expected = network().embed(x).numpy()
    assert group["features"].dtype == np.float32
    assert np.allclose(group["features"][:], expected, atol=1e-4)
    assert group["bad"][:].tolist() == tiles.bad.tolist() == [False, True, False]
    assert dict(group.attrs) == manifest(clusters.with_suffix(""))["facts"]["made_by"]
    facts = manifest(index.parent / "a")["facts"]
    assert facts == {"tiles": 3, "dim": 512, "precision": "fp32"}


def test_clusters_can_be_assigned(study):
    """The features say who made them in the words of the clusters."""
    root, slides, clusters = study
    features = embed(root, slides, clusters)
    index = root / "assignments" / "deepcluster" / "fold0" / "all.json"
    assign_clusters(features, clusters, index, shard=shard("assign_clusters", slides), fold=0)
    assert set(open_group(index.parent / "a" / "assignments.zarr")["assignments"][:]) <= {0, 1}


def test_a_slide_without_tiles_has_features_of_the_right_width(study):
    index = embed(*study)
    assert open_group(index.parent / "b" / "features.zarr")["features"].shape == (0, 512)
    assert manifest(index.parent / "b")["verdict"] == "ok_empty"


def test_a_quarantined_slide_keeps_its_verdict(study):
    index = embed(*study)
    assert manifest(index.parent / "c")["verdict"] == "E_TILE"
    assert not (index.parent / "c" / "features.zarr").exists()


def test_the_network_is_loaded_once_and_only_when_needed(study, monkeypatch):
    loads, load = [], script.load_network
    monkeypatch.setattr(script, "load_network", lambda unit: loads.append(unit) or load(unit))
    embed(*study)
    embed(*study)
    assert len(loads) == 1


def test_tiles_of_another_size_are_refused(study, tmp_path):
    _, _, clusters = study
    slides = write_tiles(tmp_path / "other", {"a": ("plain", "train", 3)}, mpp=0.5)
    with pytest.raises(
        RuntimeError, match="a: E_FIT: The network of fold 0 was trained at 1 um.*have 0.5"
    ):
        embed(tmp_path / "other", slides, clusters)


def test_features_that_are_no_numbers_name_the_slide(study, monkeypatch):
    def broken(_unit):
        made = network()
        made.embed = lambda tiles: torch.full((len(tiles), 512), torch.nan)
        return made

    monkeypatch.setattr(script, "load_network", broken)
    with pytest.raises(RuntimeError, match="a: E_NUMBER: the features of tile 0 are not finite"):
        embed(*study)
