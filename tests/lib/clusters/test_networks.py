"""Networks of clusters: they give what their backbone gives, and what is saved comes back."""

import json

import pytest
import torch
from safetensors.torch import save_file

from workflow.lib.clusters.cluster_networks import ClusterNetwork, load_backbone
from workflow.lib.clusters.networks import load_network
from workflow.lib.networks.backbones import Backbone, build_backbone

NAME = "shufflenet_v2_x0_5"


def network(channels="rgb", checkpoint="random", weights=None):
    backbone = build_backbone(
        NAME, checkpoint=checkpoint, weights=weights, seed=0, channels=channels
    )
    return ClusterNetwork(backbone, tile_px=64, mpp=0.5, checkpoint=checkpoint).eval()


def tiles(count=3):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def same(one, other):
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@torch.no_grad()
def test_features_are_the_mean_of_the_last_map():
    model = network()
    layers = model.layers(tiles())
    *_, (_, last) = layers.items()
    assert torch.equal(model.embed(tiles()), last.mean(dim=(2, 3)))
    assert torch.equal(model(tiles()), model.embed(tiles()))
    assert model.embed(tiles()).shape == (3, model.dim)


@torch.no_grad()
def test_layers_are_named_by_depth_and_stride():
    layers = network().layers(tiles())
    assert list(layers) == [
        "layer1 (stride 2)",
        "layer2 (stride 4)",
        "layer3 (stride 8)",
        "layer4 (stride 16)",
        "layer5 (stride 32)",
    ]
    for name, found in layers.items():
        assert found.shape[2] * int(name.split()[-1].rstrip(")")) == 64


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "vgg11"])
def test_the_first_filters_look_at_the_three_channels(name):
    backbone = Backbone(name)
    filters = ClusterNetwork(backbone, tile_px=64, mpp=1.0, checkpoint="random").first_filters()
    assert filters.shape[1] == 3 and filters.shape[2] == filters.shape[3]
    own = next(value for value in backbone.state_dict().values() if value.ndim == 4)
    assert torch.equal(filters, own) and not filters.requires_grad


def test_an_untrained_network_is_another_of_the_same_kind():
    model = network("hed")
    torch.manual_seed(5)
    draw = torch.rand(1)
    torch.manual_seed(5)
    one = model.untrained(3)
    assert torch.equal(torch.rand(1), draw)
    assert same(one, model.untrained(3)) and not same(one, model.untrained(4))
    assert not one.training and one.backbone.sees == "hed" and one.tile_px == 64
    assert (one.backbone.mean, one.backbone.std) == (model.backbone.mean, model.backbone.std)
    assert same(model.untrained(0), model)  # seed 0 is what it was built with


def test_there_is_no_start_where_it_was_random():
    assert network().start(None) is None


def test_the_start_is_the_checkpoint(tmp_path):
    save_file(Backbone(NAME).trunk.state_dict(), tmp_path / "mine.safetensors")
    model = network("sobel", "mine", tmp_path)
    begun = model.start(tmp_path)
    assert same(begun, model) and begun.backbone.sees == "sobel"
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert not same(model.start(tmp_path), model) and same(model.start(tmp_path), begun)


@pytest.mark.parametrize("channels", ["rgb", "sobel", "hed"])
@torch.no_grad()
def test_what_is_saved_comes_back(tmp_path, channels):
    model = network(channels)
    record = model.save(tmp_path, {"rounds": 3})
    assert record == json.loads((tmp_path / "model.json").read_text())
    assert (record["kind"], record["channels"], record["rounds"]) == ("deepcluster", channels, 3)
    torch.manual_seed(5)
    draw = torch.rand(1)
    torch.manual_seed(5)
    loaded = load_network(tmp_path)
    assert torch.equal(torch.rand(1), draw)
    assert torch.equal(loaded.embed(tiles()), model.embed(tiles())) and not loaded.training
    assert (loaded.tile_px, loaded.mpp, loaded.checkpoint) == (64, 0.5, "random")
    backbone = load_backbone(tmp_path)
    assert torch.equal(backbone(tiles()), model.backbone(tiles())) and not backbone.training


@torch.no_grad()
def test_what_it_sees_makes_a_difference():
    given = {}
    for kind in ("rgb", "sobel", "hed"):
        given[kind] = network(kind).layers(tiles())["layer1 (stride 2)"]
    assert not torch.allclose(given["rgb"], given["sobel"], atol=1e-3)
    assert not torch.allclose(given["sobel"], given["hed"], atol=1e-3)


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_damaged_weights_are_not_used(tmp_path, harm):
    network().save(tmp_path, {})
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-1] ^= 64
    (tmp_path / "model.safetensors").write_bytes(content if harm == "flip" else content[:-9])
    for load in (load_network, load_backbone):
        with pytest.raises(ValueError, match="model.safetensors.*delete its folder and run again"):
            load(tmp_path)


def test_clusters_without_a_network_are_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no network.*set cluster.method"):
        load_network(tmp_path)


def test_another_kind_of_network_is_a_sentence(tmp_path):
    (tmp_path / "model.json").write_text('{"kind": "other"}')
    with pytest.raises(ValueError, match="'other', which is no network of clusters"):
        load_network(tmp_path)
    with pytest.raises(ValueError, match="not a backbone that DeepCluster trained"):
        load_backbone(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match="None, which is no network of clusters"):
        load_network(tmp_path)
