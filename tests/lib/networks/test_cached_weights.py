"""Weights that are here: in the weights folder, in torch's cache, in that of the hub."""

import pytest
import torch
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

from workflow.lib.networks import cached_weights
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.cached_weights import fetch_command, find_weights


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches; adds files to them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(cached_weights.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))

    def add(name):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return str(file)

    return add


@pytest.mark.parametrize("checkpoint", ["random", "deepcluster"])
def test_some_starts_need_no_file(caches, checkpoint):
    assert find_weights("resnet18", checkpoint, None) == "no file needed"


def test_the_weights_folder_comes_first_and_then_the_cache_of_torch(caches, tmp_path):
    assert find_weights("resnet18", "imagenet", None) is None
    caches("torch/hub/checkpoints/resnet18-f37072fd.pth.partial")  # a download that was stopped
    caches("torch/hub/checkpoints/resnet180-f37072fd.pth")
    assert find_weights("resnet18", "imagenet", None) is None
    cached = caches("torch/hub/checkpoints/resnet18-f37072fd.pth")
    assert find_weights("resnet18", "imagenet", None) == cached
    own = caches("weights/resnet18-imagenet.safetensors")
    assert find_weights("resnet18", "imagenet", tmp_path / "weights") == own
    long = caches("torch/hub/checkpoints/efficientnet_b0_rwightman-7f5810bc.pth")
    assert find_weights("efficientnet_b0", "imagenet", None) == long


def test_the_cache_of_torch_is_where_its_documentation_has_it(caches, tmp_path, monkeypatch):
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = caches("torch/hub/checkpoints/resnet18-f37072fd.pth")
    assert find_weights("resnet18", "imagenet", None) == cached


@pytest.mark.parametrize(
    ("encoder", "folder", "other"),
    [
        ("hf-hub:owner/model@main", "models--owner--model", "models--owner--model-large"),
        (
            "vit_small_patch16_224",
            "models--timm--vit_small_patch16_224.augreg_in1k",
            "models--timm--vit_small_patch16_224_dino.lvd142m",
        ),
    ],
)
def test_hub_encoders_are_looked_for_in_the_cache_of_the_hub(caches, encoder, folder, other):
    caches(f"hf/{folder}/snapshots/1234/config.json")
    caches(f"hf/{other}/snapshots/1234/model.safetensors")
    assert find_weights(encoder, "hub", None) is None
    cached = caches(f"hf/{folder}/snapshots/1234/model.safetensors")
    assert find_weights(encoder, "hub", None) == cached


def test_a_named_file_that_is_not_there_is_an_error(caches, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint 'uni'"):
        find_weights("resnet18", "uni", tmp_path)


def test_commands_fetch_what_was_looked_for():
    assert fetch_command("resnet18", "imagenet") == (
        "python -c 'from torchvision import models; "
        'models.get_model("resnet18", weights="IMAGENET1K_V1")\''
    )
    assert 'timm.create_model("hf-hub:a/b", pretrained=True)' in fetch_command("hf-hub:a/b", "hub")


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_what_lies_in_the_cache_of_torch_is_not_run(caches, tmp_path):
    """torchvision opens it, without looking at its hash: anybody's pickle may lie there."""
    name = SqueezeNet1_1_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    cached = caches(f"torch/hub/checkpoints/{name}")
    torch.save({"features.0.weight": Evil(tmp_path / "pwned")}, cached)
    with pytest.raises(ValueError, match=f"never executed here; remove {name} from torch's cache"):
        build_backbone("squeezenet1_1", checkpoint="imagenet", weights=None, seed=0)
    assert not (tmp_path / "pwned").exists()
    state = squeezenet1_1(weights=None).state_dict()
    torch.save(state, cached)
    made = build_backbone("squeezenet1_1", checkpoint="imagenet", weights=None, seed=0)
    assert torch.equal(made.trunk.features[0].weight, state["features.0.weight"])
