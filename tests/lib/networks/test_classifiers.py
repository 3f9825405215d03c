"""Classifiers: their evidence adds up to their decision, and what is saved comes back."""

import json

import pytest
import torch

from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.heads import HEADS

CLASSES = ["normal", "tumour", "stroma"]
SETTINGS = {"lse": {"sharpness": 10}, "wildcat": {"maps": 2, "share": 0.3, "alpha": 0.5}}


def classifier(name="resnet18", pooling="gap", stride=None):
    torch.manual_seed(0)
    backbone = build_backbone(name, checkpoint="random", weights=None, seed=0)
    if stride:
        backbone.dilate(stride)
    head = {"pooling": pooling, "settings": SETTINGS.get(pooling)}
    return Classifier(backbone, CLASSES, tile_px=64, mpp=0.5, **head).eval()


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
@torch.no_grad()
def test_the_mean_of_the_cam_is_the_logit(name):
    model, tiles = classifier(name), torch.rand(3, 3, 96, 96)
    cam = model.cam(tiles)
    assert cam.shape[:2] == (3, 3) and cam.shape[2] > 1
    assert torch.allclose(cam.mean(dim=(2, 3)), model.logits(tiles), atol=1e-5)
    assert torch.equal(model(tiles), model.logits(tiles))


@pytest.mark.parametrize("pooling", HEADS)
@torch.no_grad()
def test_cams_and_logits_are_what_the_head_makes_of_the_last_map(pooling):
    model, tiles = classifier("squeezenet1_1", pooling), torch.rand(2, 3, 96, 96)
    features = model.backbone(tiles)
    assert torch.equal(model.cam(tiles), model.head.evidence(features))
    assert torch.equal(model.cam_of(features), model.cam(tiles))
    assert torch.equal(model.logits(tiles), model.head.logits(features))
    assert torch.equal(model.logits_of(features), model.logits(tiles))


@pytest.mark.parametrize("stride", [None, 8])
@pytest.mark.parametrize("pooling", HEADS)
@torch.no_grad()
def test_its_head_and_stride_come_back(tmp_path, pooling, stride):
    model, tiles = classifier("squeezenet1_1", pooling, stride), torch.rand(2, 3, 64, 64)
    model.save(tmp_path, {})
    loaded = Classifier.load(tmp_path)
    assert torch.equal(loaded.logits(tiles), model.logits(tiles))
    assert torch.equal(loaded.cam(tiles), model.cam(tiles))
    assert loaded.pooling == pooling and loaded.backbone.stride == stride
    assert loaded.settings == SETTINGS.get(pooling, {})


@pytest.mark.parametrize(
    ("name", "stride", "side"),
    [
        ("resnet18", None, 96 // 32),
        ("resnet18", 8, 96 // 8),
        ("squeezenet1_1", None, 96 // 16 - 1),  # it does not pad
        ("squeezenet1_1", 8, 96 // 8 - 1),
        pytest.param("vgg16", None, 96 // 32, marks=pytest.mark.slow),
        pytest.param("vgg16", 16, 96 // 16 - 1, marks=pytest.mark.slow),
        pytest.param("resnet50", None, 96 // 32, marks=pytest.mark.slow),
        pytest.param("resnet50", 16, 96 // 16, marks=pytest.mark.slow),
        pytest.param("inception_v3", None, 1, marks=pytest.mark.slow),  # nor does it
    ],
)
def test_published_backbones_learn_are_saved_and_localise(tmp_path, name, stride, side):
    model, tiles = classifier(name, stride=stride).train(), torch.rand(4, 3, 96, 96)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(model(tiles), torch.tensor([0, 1, 2, 1])).backward()
    optimiser.step()
    moved = [not torch.equal(p, before[key]) for key, p in model.named_parameters()]
    assert sum(moved) > 0.9 * len(moved)
    model.eval().save(tmp_path, {})
    loaded = Classifier.load(tmp_path)
    with torch.no_grad():
        cam = loaded.cam(tiles)
        assert torch.equal(cam, model.cam(tiles)) and cam.isfinite().all()
        assert torch.allclose(cam.mean(dim=(2, 3)), loaded.logits(tiles), rtol=1e-4, atol=1e-4)
    assert cam.shape == (4, 3, side, side)
    assert loaded.backbone.strides[-1] == (stride or (16 if name == "squeezenet1_1" else 32))


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


def test_a_classifier_from_before_there_was_a_choice_sees_colours_and_takes_their_mean(tmp_path):
    classifier("squeezenet1_1").save(tmp_path, {})
    record = json.loads((tmp_path / "model.json").read_text())
    assert record.pop("channels") == "rgb"
    assert (record.pop("pooling"), record.pop("head"), record.pop("stride")) == ("gap", {}, None)
    (tmp_path / "model.json").write_text(json.dumps(record))
    loaded = Classifier.load(tmp_path)
    assert loaded.backbone.sees == "rgb" and loaded.backbone.strides == [2, 4, 8, 16]
    assert loaded.pooling == "gap"


def test_a_saved_gap_head_is_named_as_it_always_was():
    model = classifier("squeezenet1_1")
    names = [name for name in model.state_dict() if not name.startswith("backbone.")]
    assert names == ["head.weight", "head.bias"]
