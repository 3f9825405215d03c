"""Classifiers: their evidence adds up to their decision, and what is saved comes back."""

import json

import pytest
import torch

from workflow.lib.backbones import build_backbone
from workflow.lib.classifiers import Classifier

CLASSES = ["normal", "tumour", "stroma"]


def classifier(name="resnet18"):
    torch.manual_seed(0)
    backbone = build_backbone(name, checkpoint="random", weights=None, seed=0)
    return Classifier(backbone, CLASSES, tile_px=64, mpp=0.5).eval()


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
@torch.no_grad()
def test_the_mean_of_the_cam_is_the_logit(name):
    model, tiles = classifier(name), torch.rand(3, 3, 96, 96)
    cam = model.cam(tiles)
    assert cam.shape[:2] == (3, 3) and cam.shape[2] > 1
    assert torch.allclose(cam.mean(dim=(2, 3)), model.logits(tiles), atol=1e-5)
    assert torch.equal(model(tiles), model.logits(tiles))


@torch.no_grad()
def test_the_cam_is_the_head_at_each_location():
    """By hand, with the features of one location."""
    model, tiles = classifier(), torch.rand(1, 3, 64, 64)
    features = model.pyramid(tiles)[-1][0, :, 1, 0]
    expected = model.head.weight @ features + model.head.bias
    assert torch.allclose(model.cam(tiles)[0, :, 1, 0], expected, atol=1e-5)


@torch.no_grad()
def test_what_is_saved_comes_back(tmp_path):
    model, tiles = classifier(), torch.rand(2, 3, 64, 64)
    model.save(tmp_path, {"best_epoch": 3, "chosen_by": "luck", "checkpoint": "random"})
    torch.manual_seed(1)
    expected_draw = torch.rand(1)
    torch.manual_seed(1)
    loaded = Classifier.load(tmp_path)
    assert torch.equal(torch.rand(1), expected_draw)
    assert torch.equal(loaded.logits(tiles), model.logits(tiles)) and not loaded.training
    assert (loaded.classes, loaded.tile_px, loaded.mpp) == (CLASSES, 64, 0.5)
    record = json.loads((tmp_path / "model.json").read_text())
    assert set(record) >= {
        "backbone",
        "checkpoint",
        "classes",
        "tile_px",
        "mpp",
        "mean",
        "std",
        "best_epoch",
        "chosen_by",
    }
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    loaded.save(tmp_path, {"best_epoch": 3, "chosen_by": "luck", "checkpoint": "random"})
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_damaged_weights_are_not_used(tmp_path, harm):
    classifier().save(tmp_path, {})
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-1] ^= 64
    (tmp_path / "model.safetensors").write_bytes(content if harm == "flip" else content[:-9])
    with pytest.raises(ValueError, match="model.safetensors.*delete its folder and run again"):
        Classifier.load(tmp_path)


@torch.no_grad()
def test_what_it_sees_comes_back(tmp_path):
    tiles = torch.rand(2, 3, 64, 64)
    backbone = build_backbone(
        "squeezenet1_1", checkpoint="random", weights=None, seed=0, channels="sobel"
    )
    model = Classifier(backbone, CLASSES, tile_px=64, mpp=0.5).eval()
    model.save(tmp_path, {})
    loaded = Classifier.load(tmp_path)
    assert loaded.backbone.sees == "sobel"
    assert torch.equal(loaded.logits(tiles), model.logits(tiles))


def test_a_classifier_from_before_there_was_a_choice_sees_colours(tmp_path):
    classifier("squeezenet1_1").save(tmp_path, {})
    record = json.loads((tmp_path / "model.json").read_text())
    assert record.pop("channels") == "rgb"
    (tmp_path / "model.json").write_text(json.dumps(record))
    assert Classifier.load(tmp_path).backbone.sees == "rgb"
