"""train_classifier on what was learnt without labels: the network of the fold, and its clusters."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests.scripts.classified import SETTINGS, SLIDES, learn
from tests.scripts.killing import kill
from tests.scripts.tile_study import TILE_PX, shard, write_tiles
from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.jobs.shard import commit, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.stores import create_group, write_rows

QUICK = {"epochs": 2, "learning_rate": 1e-3}


def write_network(root, seed=0, channels="sobel"):
    """The unit of a DeepCluster network that `seed` stands for; its index."""
    made = build_backbone(
        SETTINGS["backbone"], checkpoint="random", weights=None, seed=seed + 7, channels=channels
    )
    network = ClusterNetwork(made, tile_px=TILE_PX, mpp=1.0, checkpoint="random")

    def work(unit):
        network.save(unit, {"k": 4})
        return {"k": 4}

    index = root / "clusters" / "deepcluster" / "fold0.json"
    commit(index, shard("train_deepcluster", [], seed=seed, channels=channels), work)
    return index


def write_assignments(root, slides, k=3):
    """A cluster for every tile, bad ones included, of all slides that are not quarantined."""

    def work(slide, unit):
        ids = np.arange(SLIDES[slide.slide][2], dtype=np.int32) % k
        write_rows(create_group(unit / "assignments.zarr"), "assignments", ids)
        return {"tiles": len(ids), "k": k}

    index = root / "assignments" / "deepcluster" / "fold0" / "all.json"
    visit(index, shard("assign_clusters", slides, k=k), work, upstream=[root / "tiles"])
    return index


def weights(unit):
    return (unit / "model.safetensors").read_bytes()


def recipe(unit):
    return manifest(unit)["recipe"]


def learn_from(root, slides, network, **changed):
    return learn(root, slides, network=network, checkpoint="deepcluster", **QUICK | changed)


@pytest.fixture
def study(tmp_path):
    return tmp_path, write_tiles(tmp_path, SLIDES)


@pytest.mark.parametrize("channels", ["sobel", "hed"])
def test_a_frozen_start_is_exactly_what_was_learnt_without_labels(study, channels):
    root, slides = study
    network = write_network(root, channels=channels)
    unit = learn_from(root, slides, network, backbone_learning_rate_factor=0.0)
    learnt = ClusterNetwork.load(network.with_suffix("")).backbone
    found = Classifier.load(unit)
    expected, own = learnt.state_dict(), found.backbone.state_dict()
    assert expected.keys() == own.keys()
    assert all(torch.equal(own[name], expected[name]) for name in own)
    assert found.backbone.sees == channels
    assert (found.backbone.mean, found.backbone.std) == (learnt.mean, learnt.std)
    record = json.loads((unit / "model.json").read_text())
    assert (record["checkpoint"], record["channels"]) == ("deepcluster", channels)
    tiles = torch.rand(2, 3, TILE_PX, TILE_PX)
    with torch.no_grad():
        features = learnt(tiles).mean(dim=(2, 3))
        assert torch.allclose(found.logits(tiles), found.head(features), atol=1e-5)


@pytest.mark.parametrize("pooling", ["gap", "attention"])
def test_a_start_can_be_dilated_and_pooled_otherwise(study, pooling):
    root, slides = study
    network = write_network(root)
    settings = {"stride": 8, "pooling": pooling, "backbone_learning_rate_factor": 0.0}
    found = Classifier.load(learn_from(root, slides, network, **settings))
    learnt = ClusterNetwork.load(network.with_suffix("")).backbone
    expected, own = learnt.state_dict(), found.backbone.state_dict()
    assert expected.keys() == own.keys()
    assert all(torch.equal(own[name], expected[name]) for name in own)
    assert found.backbone.strides == [2, 4, 8] and learnt.strides == [2, 4, 8, 16]
    assert found.pooling == pooling and found.backbone.sees == "sobel"
    tiles = torch.rand(2, 3, TILE_PX, TILE_PX)
    with torch.no_grad():
        features = learnt.dilate(8)(tiles)
        assert torch.equal(found.logits(tiles), found.head.logits(features))


def test_a_start_that_goes_on_learning_leaves_where_it_began(study):
    root, slides = study
    network = write_network(root)
    unit = learn_from(root, slides, network, backbone_learning_rate_factor=1.0)
    learnt = ClusterNetwork.load(network.with_suffix("")).backbone.state_dict()
    found = Classifier.load(unit).backbone.state_dict()
    assert not any(torch.equal(found[name], learnt[name]) for name in found if "weight" in name)


def test_another_network_makes_another_classifier_and_the_same_none(study):
    root, slides = study
    network = write_network(root)
    unit = learn_from(root, slides, network)
    before = recipe(unit), weights(unit), (unit / "model.safetensors").stat().st_mtime_ns
    learn_from(root, slides, network)
    assert (unit / "model.safetensors").stat().st_mtime_ns == before[2]
    write_network(root, seed=1)
    learn_from(root, slides, network)
    assert recipe(unit) != before[0] and weights(unit) != before[1]


def test_a_killed_training_does_not_go_on_with_another_network(study, monkeypatch):
    """The settings are the same: only the unit says that it is another start."""
    root, slides = study
    network = write_network(root)
    kill(monkeypatch, lambda: learn_from(root, slides, network))
    write_network(root, seed=1)
    mixed = weights(learn_from(root, slides, network))
    shutil.rmtree(root / "classifiers")
    assert weights(learn_from(root, slides, network)) == mixed
    shutil.rmtree(root / "classifiers")
    kill(monkeypatch, lambda: learn_from(root, slides, network))
    assert weights(learn_from(root, slides, network)) == mixed  # and with its own it does


def learn_balanced(root, slides, assignments, **changed):
    changed = QUICK | {"balance": "clusters"} | changed
    return learn(root, slides, assignments=[assignments], **changed)


def test_draws_are_balanced_by_the_clusters_of_the_fold(study):
    root, slides = study
    assignments = write_assignments(root, slides)
    balanced = weights(learn_balanced(root, slides, assignments))
    facts = manifest(root / "classifiers" / "fold0")["facts"]
    assert (facts["train_tiles"], facts["val_tiles"]) == (11 + 8, 4 + 5)
    before = recipe(root / "classifiers" / "fold0")
    assert weights(learn(root, slides, **QUICK)) != balanced
    write_assignments(root, slides, k=2)
    other = learn_balanced(root, slides, assignments)
    assert recipe(other) != before and weights(other) != balanced


def test_a_killed_training_does_not_go_on_with_other_clusters(study, monkeypatch):
    root, slides = study
    assignments = write_assignments(root, slides)
    kill(monkeypatch, lambda: learn_balanced(root, slides, assignments))
    write_assignments(root, slides, k=2)
    mixed = weights(learn_balanced(root, slides, assignments))
    shutil.rmtree(root / "classifiers")
    assert weights(learn_balanced(root, slides, assignments)) == mixed


def test_the_clusters_of_test_slides_play_no_part(study):
    root, slides = study
    assignments = write_assignments(root, slides)
    before = recipe(learn_balanced(root, slides, assignments))
    for slide, (_, split, _) in SLIDES.items():
        if split == "test":
            shutil.rmtree(assignments.parent / slide)
            shutil.rmtree(root / "tiles" / slide)
    assert recipe(learn_balanced(root, slides, assignments)) == before
    shutil.rmtree(root / "classifiers")
    assert recipe(learn_balanced(root, slides, assignments)) == before


def test_the_network_of_another_method_is_refused(study):
    root, slides = study
    network = write_network(root)
    file = network.with_suffix("") / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"kind": "dcec"}))
    with pytest.raises(ValueError, match="holds a 'dcec', not a backbone that DeepCluster trained"):
        learn_from(root, slides, network)


def test_deepcluster_without_its_network_is_not_imagenet(study):
    with pytest.raises(ValueError, match="the network that train_deepcluster learnt in the fold"):
        learn_from(*study, None)
