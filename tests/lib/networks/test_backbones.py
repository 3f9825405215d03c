"""Backbones: the pyramid is what torchvision computes on the way, normalisation included."""

from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from workflow.lib.networks import checkpoints
from workflow.lib.networks.backbones import (
    FAMILIES,
    FROM_GOOGLE,
    Backbone,
    build_backbone,
    supported,
)
from workflow.lib.tiles.channels import STATISTICS, Channels

ONE_OF_EACH = [
    "alexnet",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg11",
    "convnext_tiny",
]


def reference(name):
    """torchvision's own model."""
    settings = {"init_weights": True} if name in FROM_GOOGLE else {}
    torch.manual_seed(0)
    return models.get_model(name, weights=None, **settings).eval()


def tiles(count=2, side=96, seed=1):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def from_reference(name, model, **settings):
    backbone = Backbone(name, **settings)
    checkpoints.load(
        backbone.trunk,
        model.state_dict(),
        source=name,
        heads={"fc", "classifier", "AuxLogits", "aux1", "aux2"},
    )
    return backbone.eval()


def seen_by(module, run):
    """What `module` is given while `run` runs, averaged over locations."""
    seen = []
    handle = module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        run()
    handle.remove()
    return seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]


def close(found, expected):
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_deepest_map_is_what_torchvision_pools(name):
    model, x = reference(name), tiles()
    backbone = from_reference(name, model)
    normal = (x - torch.tensor(backbone.mean).view(3, 1, 1)) / torch.tensor(backbone.std).view(
        3, 1, 1
    )
    pools = getattr(model, "avgpool", None) or getattr(model, "classifier", None) or model.fc
    expected = seen_by(pools, lambda: model(normal))
    with torch.no_grad():
        assert close(backbone(x).mean(dim=(2, 3)), expected)
        assert not close(backbone(normal).mean(dim=(2, 3)), expected)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_pyramid_has_the_channels_and_strides_it_says(name):
    backbone, side = Backbone(name).eval(), 128
    with torch.no_grad():
        maps = backbone.pyramid(tiles(1, side))
    assert [m.shape[1] for m in maps] == backbone.channels
    assert backbone.strides == sorted(set(backbone.strides))
    assert set(backbone.strides) <= {2, 4, 8, 16, 32} and backbone.strides[-1] >= 16
    for found, stride in zip(maps, backbone.strides, strict=True):
        assert found.shape[2] == found.shape[3]
        assert 0.5 <= found.shape[2] * stride / side <= 1


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "inception_v3"])
def test_the_published_backbones_have_all_five_strides(name):
    assert Backbone(name).strides == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_no_later_block_writes_into_a_map_of_the_pyramid(name):
    """In-place activations would; then the decoder's skips would not be what they seem."""
    backbone, x, copies = Backbone(name).eval(), tiles(1), []
    for index, block in enumerate(backbone._blocks()):
        if index in backbone.taps:
            block.register_forward_hook(lambda _m, _i, output: copies.append(output.clone()))
    with torch.no_grad():
        maps = backbone.pyramid(x)
    assert all(torch.equal(m, c) for m, c in zip(maps, copies, strict=True))


def test_building_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build_backbone("squeezenet1_1", checkpoint="random", weights=None, seed=0)
    assert torch.equal(torch.rand(4), expected)


def test_random_weights_are_those_of_the_seed():
    def first(seed):
        made = build_backbone("resnet18", checkpoint="random", weights=None, seed=seed)
        return made.trunk.conv1.weight

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


def test_probing_leaves_the_weights_and_the_mode_alone():
    backbone = Backbone("resnet18")
    assert all(module.training for module in backbone.modules())
    assert all(tensor.device.type == "cpu" for tensor in backbone.state_dict().values())
    assert int(backbone.trunk.bn1.num_batches_tracked) == 0


@pytest.mark.parametrize("with_head", [True, False])
def test_a_checkpoint_fits_with_and_without_its_head(tmp_path, with_head):
    state = reference("squeezenet1_1").state_dict()
    if not with_head:
        state = {k: v for k, v in state.items() if k.startswith("features.")}
    save_file(state, tmp_path / "squeezenet1_1-imagenet.safetensors")
    made = build_backbone("squeezenet1_1", checkpoint="imagenet", weights=tmp_path, seed=0)
    assert torch.equal(made.trunk.features[0].weight, state["features.0.weight"])


def test_the_weights_of_another_backbone_are_refused(tmp_path):
    save_file(reference("resnet18").state_dict(), tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match="mine.safetensors do not fit"):
        build_backbone("squeezenet1_1", checkpoint="mine", weights=tmp_path, seed=0)


def test_torchvisions_old_densenet_names_are_understood(tmp_path):
    model = reference("densenet121")
    old = {
        k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in k else k: v
        for k, v in model.state_dict().items()
    }
    torch.save(old, tmp_path / "densenet121-imagenet.pth")
    made = build_backbone("densenet121", checkpoint="imagenet", weights=tmp_path, seed=0)
    with torch.no_grad():
        assert torch.equal(made.eval()(tiles(1)), from_reference("densenet121", model)(tiles(1)))


def test_googles_weights_are_normalised_as_torchvision_does(tmp_path):
    """torchvision re-normalises ImageNet-normalised input inside these two models."""
    torch.manual_seed(0)
    model = models.inception_v3(weights=None, transform_input=True, init_weights=True).eval()
    torch.save(model.state_dict(), tmp_path / "inception_v3-imagenet.pth")
    made = build_backbone("inception_v3", checkpoint="imagenet", weights=tmp_path, seed=0).eval()
    x = tiles(1, 128)
    imagenet = models.Inception_V3_Weights.IMAGENET1K_V1.transforms()
    normal = (x - torch.tensor(imagenet.mean).view(3, 1, 1)) / torch.tensor(imagenet.std).view(
        3, 1, 1
    )
    expected = seen_by(model.avgpool, lambda: model(normal))
    with torch.no_grad():
        assert close(made(x).mean(dim=(2, 3)), expected)


def test_the_card_of_a_checkpoint_says_how_to_normalise(tmp_path):
    save_file(reference("squeezenet1_1").state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text('{"mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.1]}')
    made = build_backbone("squeezenet1_1", checkpoint="mine", weights=tmp_path, seed=0)
    assert made.mean == [0.7, 0.6, 0.7] and made.std == [0.2, 0.2, 0.1]
    assert made.normalise(torch.full((1, 3, 1, 1), 0.8)).flatten().tolist() == pytest.approx(
        [0.5, 1.0, 1.0], abs=1e-6
    )


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "no_such_net", "maxvit_t"])
def test_a_name_without_a_pyramid_is_an_error_that_says_what_works(name):
    with pytest.raises(ValueError, match=f"{name} has no feature pyramid.*resnet50"):
        build_backbone(name, checkpoint="random", weights=None, seed=0)


def test_every_family_has_a_member():
    assert all(any(name.startswith(family) for name in supported()) for family in FAMILIES)


def test_without_a_network_the_error_names_the_file_to_put_where(tmp_path, monkeypatch):
    def no_network(*_arguments, **_settings):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(ConnectionError, match=r"no route.*resnet50-.*\.pth.*resnet50-imagenet.pth"):
        build_backbone("resnet50", checkpoint="imagenet", weights=tmp_path, seed=0)


def test_torchvisions_download_is_used_when_the_folder_has_none(monkeypatch):
    state = reference("resnet18").state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_a, **_k: state)
    made = build_backbone("resnet18", checkpoint="imagenet", weights=None, seed=0)
    assert torch.equal(made.trunk.conv1.weight, state["conv1.weight"])


def test_the_hub_is_no_place_for_torchvisions_networks():
    with pytest.raises(ValueError, match="hub.*does not serve"):
        build_backbone("resnet18", checkpoint="hub", weights=None, seed=0)


@pytest.mark.parametrize("kind", ["sobel", "hed"])
@torch.no_grad()
def test_what_a_backbone_sees_comes_before_its_normalisation(kind):
    made = build_backbone(
        "squeezenet1_1", checkpoint="random", weights=None, seed=0, channels=kind
    ).eval()
    plain = build_backbone("squeezenet1_1", checkpoint="random", weights=None, seed=0).eval()
    assert (plain.sees, made.sees) == ("rgb", kind)
    assert (tuple(made.mean), tuple(made.std)) == STATISTICS[kind]
    x = tiles()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in STATISTICS[kind])
    normal = (Channels(kind)(x) - mean) / std
    first = plain.trunk.features[0]  # the weights of the seed are the same whatever it sees
    seen = seen_by(made.trunk.features[0], lambda: made(x))
    assert torch.allclose(seen, normal.mean(dim=(2, 3)), atol=1e-5)
    assert torch.equal(first.weight, made.trunk.features[0].weight)
    assert made.state_dict().keys() == plain.state_dict().keys()
