"""The U-Net: what of it learns, what it sees round a tile, and what it is saved as."""

import json

import pytest
import torch
from torch.nn import functional

from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.unets import UNet, load_unet

SMALL = (16, 8, 8, 8, 8)


def classifier():
    torch.manual_seed(0)
    return Classifier(Backbone("resnet18"), ["normal", "tumour"], tile_px=64, mpp=1.0).eval()


def unet(encoder="trained", context_px=0, source=None):
    torch.manual_seed(1)
    return UNet(source or classifier(), SMALL, encoder=encoder, context_px=context_px)


def tiles(count=1, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def snapshot(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module, before):
    return {name for name, tensor in module.state_dict().items() if not tensor.equal(before[name])}


def step(model):
    model.train()
    learning = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learning, lr=0.1)
    functional.cross_entropy(model(tiles(2)), torch.ones(2, 64, 64, dtype=torch.long)).backward()
    optimiser.step()


@pytest.mark.parametrize("context_px", [0, 5, 32])
def test_two_planes_for_every_pixel_whatever_the_margin(context_px):
    model = unet(context_px=context_px).eval()
    with torch.no_grad():
        assert model(tiles(2)).shape == (2, 2, 64, 64)
        assert model.probability(tiles(2)).shape == (2, 64, 64)


def test_a_margin_is_the_tile_mirrored():
    with_margin, without = unet(context_px=16).eval(), unet().eval()
    with torch.no_grad():
        expected = without(functional.pad(tiles(), (16,) * 4, mode="reflect"))
        assert torch.allclose(with_margin(tiles()), expected[..., 16:-16, 16:-16], atol=1e-5)
        assert not torch.allclose(with_margin(tiles()), without(tiles()), atol=1e-3)


def test_a_trained_encoder_learns_and_its_classifier_does_not():
    source = classifier()
    model, before = unet(source=source), snapshot(source)
    step(model)
    moved = changed(model.classifier, before)
    assert "backbone.trunk.conv1.weight" in moved
    assert "backbone.trunk.bn1.running_mean" in moved
    assert not {name for name in moved if name.startswith("head")}
    assert not changed(source, before)


def test_a_frozen_encoder_stays_bitwise_as_it_was():
    model = unet("frozen")
    before, learnt = snapshot(model.classifier), snapshot(model.learnt)
    step(model)
    assert not changed(model.classifier, before)
    assert changed(model.learnt, learnt)


@pytest.mark.parametrize("encoder", ["frozen", "trained"])
def test_saved_and_loaded_it_says_the_same(encoder, tmp_path):
    model = unet(encoder, context_px=8)
    step(model)
    model.eval().save(tmp_path, {"method": "unet"}, trained_on="abc")
    record = json.loads((tmp_path / "model.json").read_text())
    assert (record["method"], record["encoder"], record["context_px"]) == ("unet", encoder, 8)
    source = classifier()
    before = snapshot(source)
    loaded = load_unet(tmp_path, source, trained_on="abc")
    with torch.no_grad():
        assert torch.equal(loaded(tiles()), model(tiles()))
    assert not changed(source, before)


def test_another_classifier_is_refused(tmp_path):
    unet().save(tmp_path, {}, trained_on="a" * 64)
    with pytest.raises(ValueError, match=r"was trained on another classifier \(aaaaaaaaaaaa, not"):
        load_unet(tmp_path, classifier(), trained_on="b" * 64)
