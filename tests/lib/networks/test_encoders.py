"""Encoders: one interface for torchvision, timm and the hub; the right numbers, or a sentence."""

import csv
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from workflow.lib.networks import timm_encoders
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.encoders import Encoder, build_encoder, extract
from workflow.lib.networks.forward import Forward

CPU = torch.device("cpu")
SHARED = Path(__file__).parents[3] / "../shared/data"
RANDOM = {"checkpoint": "random", "weights": None, "seed": 0}


def pixels(count, side=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def features(encoder, tiles, *, precision="fp32", batch=4):
    made = Forward(encoder, engine="eager", precision=precision, batch=batch, device=CPU)
    found = extract(made, lambda i: tiles[list(i)], len(tiles))
    return np.concatenate([np.empty((0, encoder.dim), np.float32), *found])


def test_a_torchvision_encoder_is_the_mean_of_the_deepest_map():
    encoder = build_encoder("squeezenet1_1", **RANDOM)
    backbone = build_backbone("squeezenet1_1", **RANDOM).eval()
    x = torch.rand(2, 3, 64, 64)
    assert encoder.dim == 512 and encoder.tile_px is None and encoder.mpp is None
    with torch.no_grad():
        assert torch.equal(encoder(x), backbone(x).mean(dim=(2, 3)))
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())


def test_bytes_and_shares_of_one_are_the_same_tile():
    encoder, tiles = build_encoder("resnet18", **RANDOM), torch.from_numpy(pixels(2))
    tiles = tiles.permute(0, 3, 1, 2)
    assert torch.equal(encoder(tiles), encoder(tiles.float() / 255))


@pytest.mark.parametrize(
    ("name", "side", "fixed"), [("resnet10t", 64, None), ("vit_tiny_patch16_224", 224, 224)]
)
def test_a_timm_encoder_is_timms_model_on_normalised_tiles(name, side, fixed):
    encoder = build_encoder(name, **RANDOM)
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0).eval()
    config = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        expected = model((x - mean) / std)
        assert torch.allclose(encoder(x), expected, atol=1e-5)
    assert encoder.tile_px == fixed and encoder.dim == expected.shape[1]


def test_tokens_become_the_class_token_beside_the_mean_of_the_patches():
    """As Virchow2 asks: tokens 1 to 4 are registers and count for nothing."""
    tokens = torch.zeros(1, 7, 2)
    tokens[0, 0] = torch.tensor([1.0, 2.0])
    tokens[0, 1:5] = 99.0
    tokens[0, 5:] = torch.tensor([[2.0, 4.0], [4.0, 8.0]])
    body = nn.Sequential()
    body.forward = lambda _tiles: tokens
    encoder = Encoder("virchow2", body, dim=4, prefix=5)
    assert encoder(torch.zeros(1, 3, 8, 8)).tolist() == [[1.0, 2.0, 3.0, 6.0]]


def test_a_hub_encoder_is_loaded_the_way_its_authors_say(monkeypatch):
    """UNI2-h is a ViT that its name alone does not describe; here it is a small stand-in."""
    asked = {}

    def create(name, *, pretrained, num_classes, **settings):
        asked.update(settings, name=name, pretrained=pretrained)
        return original("vit_tiny_patch16_224", num_classes=num_classes, reg_tokens=4)

    original = timm.create_model
    monkeypatch.setattr(timm_encoders.timm, "create_model", create)
    made = build_encoder("hf-hub:MahmoodLab/UNI2-h", checkpoint="hub", weights=None, seed=0)
    assert asked["name"] == "hf-hub:MahmoodLab/UNI2-h" and asked["pretrained"] is True
    assert asked["embed_dim"] == 1536 and asked["reg_tokens"] == 8
    assert asked["mlp_layer"] is timm.layers.SwiGLUPacked
    assert (made.tile_px, made.mpp, made.prefix) == (224, 0.5, 5)


@pytest.mark.parametrize("name", sorted(timm_encoders.HUB))
def test_the_settings_of_hub_encoders_are_settings_that_timm_takes(name):
    settings, _ = timm_encoders.HUB[name]
    small = settings | {"embed_dim": 96, "depth": 1, "num_heads": 2, "dynamic_img_size": False}
    small = {k: v for k, v in small.items() if k not in ("img_size", "patch_size")}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **small)
    assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 96)


def test_an_encoder_out_of_reach_is_a_sentence_with_the_remedy(monkeypatch):
    def create(name, **_settings):
        raise FileNotFoundError("An error happened while trying to locate the file on the Hub")

    monkeypatch.setattr(timm_encoders.timm, "create_model", create)
    with pytest.raises(ConnectionError, match="E_WEIGHTS: .*model cannot be fetched.*HF_TOKEN"):
        build_encoder("hf-hub:owner/model", checkpoint="hub", weights=None, seed=0)


def test_the_token_is_not_in_the_error(monkeypatch):
    def create(name, **_settings):
        raise OSError("401 Client Error")

    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setattr(timm_encoders.timm, "create_model", create)
    with pytest.raises(ConnectionError) as caught:
        build_encoder("hf-hub:owner/model", checkpoint="hub", weights=None, seed=0)
    assert "canary" not in str(caught.value)


def test_a_file_goes_into_a_timm_model_and_its_card_is_believed(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=64)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(
        '{"tile_px": 64, "mpp": 0.5, "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2]}'
    )
    encoder = build_encoder("vit_tiny_patch16_224", checkpoint="mine", weights=tmp_path, seed=0)
    assert (encoder.tile_px, encoder.mpp, encoder.dim) == (64, 0.5, 192)
    x = torch.rand(1, 3, 64, 64)
    normal = (x - torch.tensor([0.7, 0.6, 0.7]).view(3, 1, 1)) / 0.2
    model.reset_classifier(0)
    with torch.no_grad():
        assert torch.allclose(encoder(x), model.eval()(normal), atol=1e-5)


def test_a_file_goes_into_a_torchvision_backbone_and_its_card_is_believed(tmp_path):
    state = build_backbone("resnet18", checkpoint="random", weights=None, seed=5).trunk.state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text('{"tile_px": 64, "mpp": 0.25}')
    encoder = build_encoder("resnet18", checkpoint="mine", weights=tmp_path, seed=0)
    assert (encoder.tile_px, encoder.mpp) == (64, 0.25)
    assert torch.equal(encoder.body.trunk.conv1.weight, state["conv1.weight"])


def test_weights_of_another_timm_model_are_refused(tmp_path):
    save_file({"blocks.0.weight": torch.ones(2)}, tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match="mine.safetensors do not fit"):
        build_encoder("resnet10t", checkpoint="mine", weights=tmp_path, seed=0)


@pytest.mark.parametrize(
    ("name", "checkpoint", "said"),
    [
        ("no_such_encoder", "random", "no encoder 'no_such_encoder'.*hf-hub:owner/model"),
        ("resnet10t", "imagenet", "set checkpoint to hub"),
    ],
)
def test_what_cannot_be_built_says_what_can(name, checkpoint, said):
    with pytest.raises(ValueError, match=said):
        build_encoder(name, checkpoint=checkpoint, weights=None, seed=0)


def test_a_tile_of_another_size_is_refused():
    encoder = Encoder("small", nn.Identity(), dim=1, tile_px=32)
    with pytest.raises(ValueError, match="small takes tiles of 32 px, not 64 px"):
        encoder(torch.zeros(1, 3, 64, 64))


def test_features_do_not_depend_on_the_batch():
    encoder, tiles = build_encoder("resnet18", **RANDOM), pixels(5)
    assert np.allclose(
        features(encoder, tiles, batch=2), features(encoder, tiles, batch=5), atol=1e-5
    )


def test_no_tiles_give_no_features():
    encoder = build_encoder("resnet18", **RANDOM)
    made = Forward(encoder, engine="eager", precision="fp32", batch=2, device=CPU)
    assert list(extract(made, None, 0)) == []


def test_bf16_is_close_and_stored_as_float32():
    encoder, tiles = build_encoder("resnet18", **RANDOM), pixels(4)
    exact, rounded = features(encoder, tiles), features(encoder, tiles, precision="bf16")
    assert rounded.dtype == np.float32 and not np.array_equal(exact, rounded)
    assert np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()


def test_features_that_are_not_finite_name_the_tile():
    class Broken(nn.Module):
        def forward(self, tiles):
            found = tiles.mean(dim=(2, 3))
            return torch.where(found > 0.99, torch.nan, found)

    tiles = pixels(7)
    tiles[5] = 255
    with pytest.raises(ValueError, match="not finite .* tile 5;.*precision"):
        features(Encoder("broken", Broken(), dim=3), tiles, batch=3)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the GlaS images and ImageNet weights are not here")
def test_pretrained_features_tell_benign_from_malignant_glands():
    """GlaS, patients held out: 0.93 was measured for these weights before this code was written."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    encoder = build_encoder(
        "squeezenet1_1", checkpoint="imagenet", weights=SHARED / "encoders", seed=0
    )
    with (SHARED / "glas/slides.tsv").open() as sheet:
        rows = list(csv.DictReader(sheet, delimiter="\t"))
    found = []
    for row in rows:
        image = np.asarray(Image.open(SHARED / "glas" / row["path"]).convert("RGB"))
        with torch.no_grad():
            found.append(encoder(torch.tensor(image).permute(2, 0, 1)[None])[0].numpy())
    malignant = np.array([row["label"] == "malignant" for row in rows])
    scores = cross_val_predict(
        LogisticRegression(max_iter=3000, class_weight="balanced"),
        np.stack(found),
        malignant,
        groups=[row["patient"] for row in rows],
        cv=GroupKFold(5),
        method="predict_proba",
    )
    assert roc_auc_score(malignant, scores[:, 1]) == pytest.approx(0.93, abs=0.03)
