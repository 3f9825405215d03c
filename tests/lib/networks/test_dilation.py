"""Dilation: the map of a network with strides is every other location of the one without."""

import copy
import functools

import pytest
import torch
from torch import nn
from torchvision import models

from workflow.lib.networks import checkpoints
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.dilation import DILATABLE

# (backbone, stride): shift. Locations of the old map are [shift::factor] of the new one, because
# a pooling that is padded to keep the size of the map sees its pixels around its middle.
QUICK = {
    ("resnet18", 16): 0,
    ("resnet18", 8): 0,
    ("vgg11", 8): 1,
    ("squeezenet1_1", 8): 1,
    ("alexnet", 8): 2,
    ("mnasnet0_5", 8): 0,
    ("mobilenet_v2", 16): 0,
    ("regnet_x_400mf", 8): 0,
    ("shufflenet_v2_x0_5", 8): 0,
}
SLOW = {
    ("vgg16", 16): 0,
    ("vgg16_bn", 8): 1,
    ("resnet50", 8): 0,
    ("resnext50_32x4d", 8): 0,
    ("wide_resnet50_2", 16): 0,
}
CASES = [
    *(pytest.param(*case, shift, id=f"{case[0]}-{case[1]}") for case, shift in QUICK.items()),
    *(
        pytest.param(*case, shift, id=f"{case[0]}-{case[1]}", marks=pytest.mark.slow)
        for case, shift in SLOW.items()
    ),
]


def tiles(side=192, count=1):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@functools.cache
def backbone(name):
    """In evaluation, with statistics that training could have left; not to be changed."""
    torch.manual_seed(0)
    made = Backbone(name).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.1, 0.3)  # deep maps would fade else
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return made


def dilated(name, stride):
    return copy.deepcopy(backbone(name)).dilate(stride)


def close(found, expected):
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "stride", "shift"), CASES)
@torch.no_grad()
def test_the_old_map_is_in_the_new_one(name, stride, shift):
    strided, made = backbone(name), dilated(name, stride)
    old, new = strided(tiles()), made(tiles())
    factor = strided.strides[-1] // stride
    assert made.strides[-1] == stride and factor > 1
    assert new.shape[1] == old.shape[1] == made.channels[-1]
    assert 0.85 <= new.shape[2] * stride / 192 <= 1
    found = new[:, :, shift::factor, shift::factor][:, :, : old.shape[2], : old.shape[3]]
    assert found.shape == old.shape and close(found, old)
    moved = new[:, :, shift + 1 :: factor, shift::factor][:, :, : old.shape[2], : old.shape[3]]
    assert not close(moved, old[:, :, : moved.shape[2]])  # what is between is something else


@pytest.mark.parametrize(("name", "stride"), [("resnet18", 16), ("squeezenet1_1", 8)])
@torch.no_grad()
def test_odd_sides_agree_away_from_the_border(name, stride):
    shift = QUICK[name, stride]
    old, new = backbone(name)(tiles(203)), dilated(name, stride)(tiles(203))
    found = new[:, :, shift::2, shift::2]
    assert close(found[:, :, 1:4, 1:4], old[:, :, 1:4, 1:4])


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "replaced"), [(16, (0, 0, 1)), (8, (0, 1, 1))])
@torch.no_grad()
def test_a_resnet_is_torchvisions_with_its_strides_replaced(stride, replaced):
    torch.manual_seed(0)
    model = models.resnet50(weights=None, replace_stride_with_dilation=replaced).eval()
    made = Backbone("resnet50", (0, 0, 0), (1, 1, 1)).eval()
    checkpoints.load(made.trunk, model.state_dict(), source="torchvision", heads={"fc"})
    body = nn.Sequential(*list(model.children())[:-2])
    assert close(made.dilate(stride)(tiles(96)), body(tiles(96)))


@torch.no_grad()
def test_the_pyramid_of_a_dilated_backbone_has_one_map_per_stride():
    made = dilated("resnet18", 16)
    assert made.strides == [2, 4, 8, 16] and made.channels == [64, 64, 128, 512]
    maps = made.pyramid(tiles(64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 32, 32),
        (64, 16, 16),
        (128, 8, 8),
        (512, 4, 4),
    ]
    assert torch.equal(made(tiles(64)), maps[-1])


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
@torch.no_grad()
def test_what_was_dilated_twice_is_what_was_dilated_once(name):
    once, twice = dilated(name, 8), dilated(name, 16).dilate(8)
    assert torch.equal(once(tiles(96)), twice(tiles(96)))
    assert (once.taps, once.strides) == (twice.taps, twice.strides)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_a_stride_that_no_map_passes_changes_nothing(name):
    made = Backbone(name)
    before = str(made.trunk), made.taps, made.strides
    assert (str(made.dilate(32).trunk), made.taps, made.strides) == before


@pytest.mark.parametrize("training", [True, False])
def test_weights_statistics_and_mode_stay(training):
    made = Backbone("resnet18").train(training)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    made.dilate(8)
    assert all(module.training == training for module in made.modules())
    after = made.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks for module in made.modules())


@torch.no_grad()
def test_what_is_recorded_rebuilds_it():
    made = dilated("squeezenet1_1", 8)
    assert made.record()["stride"] == 8
    again = Backbone.rebuild(made.record()).eval()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again(tiles(64)), made(tiles(64)))
    assert (again.strides, again.channels, again.taps) == (made.strides, made.channels, made.taps)
    old = Backbone("squeezenet1_1").record()
    assert old.pop("stride") is None  # as recorded before there was a choice
    assert Backbone.rebuild(old).strides == [2, 4, 8, 16]


@pytest.mark.parametrize(
    "name",
    [
        "densenet121",
        "mobilenet_v3_small",
        "efficientnet_b0",
        pytest.param("inception_v3", marks=pytest.mark.slow),
        pytest.param("googlenet", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
    ],
)
def test_a_backbone_that_cannot_is_a_sentence_with_those_that_can(name):
    with pytest.raises(ValueError, match=f"{name} cannot have .* stride 8.*null.*resnet.*vgg"):
        Backbone(name).dilate(8)


def test_every_family_that_can_is_tried():
    tried = {name for name, _ in [*QUICK, *SLOW]}
    assert all(any(name.startswith(family) for name in tried) for family in DILATABLE)
