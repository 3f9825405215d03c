"""IRNet: its two branches on any backbone, and that it leaves the classifier alone."""

import json

import pytest
import torch

from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.affinities import pair_losses
from workflow.lib.refine.irn import IRNet, load_irn


def network(name="squeezenet1_1"):
    torch.manual_seed(0)
    model = Classifier(Backbone(name), ["normal", "tumour"], tile_px=64, mpp=1.0)
    return IRNet(model).eval()


def tiles(count=2, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["squeezenet1_1", "alexnet", "resnet18"])
@pytest.mark.parametrize(("side", "grid"), [(64, 16), (70, 18)])
def test_every_kind_of_backbone_and_odd_sides_give_maps_at_stride_4(name, side, grid):
    with torch.no_grad():
        logits, displacement = network(name)(tiles(1, side))
    assert logits.shape == (1, grid, grid)
    assert displacement.shape == (1, 2, grid, grid)
    assert logits.std() > 0 and displacement.std() > 0


def test_branches_have_the_published_widths_where_there_are_five_maps():
    learnt = network("resnet18").learnt
    assert [look[0].out_channels for look in learnt["boundary"].each] == [32] * 5
    assert learnt["boundary"].head.in_channels == 160
    displacement = learnt["displacement"]
    assert [look[0].out_channels for look in displacement.each] == [64, 128, 256, 256, 256]
    assert displacement.meet[0].in_channels == 768
    assert displacement.merge[0].in_channels == 448


def test_training_leaves_the_classifier_bitwise_as_it_was():
    model = network("resnet18")
    before = {name: tensor.clone() for name, tensor in model.classifier.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    labels = torch.randint(0, 2, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    model.train()
    sum(pair_losses(*model(tiles()), labels, 3).values()).backward()
    optimiser.step()
    assert not any(module.training for module in model.classifier.modules())
    assert all(parameter.grad is None for parameter in model.classifier.parameters())
    assert all(parameter.grad.any() for parameter in model.learnt.parameters())
    after = model.classifier.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_mean_is_taken_off_every_displacement():
    model = network()
    with torch.no_grad():
        before = model(tiles())[1]
        model.learnt["displacement"].mean.copy_(torch.tensor([1.5, -2.0]))
        after = model(tiles())[1]
    assert before[:, 0] - after[:, 0] == pytest.approx(torch.full((2, 16, 16), 1.5), abs=1e-5)
    assert before[:, 1] - after[:, 1] == pytest.approx(torch.full((2, 16, 16), -2.0), abs=1e-5)


def test_saved_and_loaded_says_the_same(tmp_path):
    model = network()
    model.learnt["displacement"].mean.fill_(3.0)
    model.save(tmp_path, {"method": "irn"}, trained_on="abc")
    assert json.loads((tmp_path / "model.json").read_text())["method"] == "irn"
    learnt = sum(tensor.numel() for tensor in model.learnt.state_dict().values())
    assert (tmp_path / "model.safetensors").stat().st_size < 4 * learnt + 20_000
    loaded = load_irn(tmp_path, model.classifier, trained_on="abc")
    with torch.no_grad():
        for found, expected in zip(loaded(tiles()), model(tiles()), strict=True):
            assert torch.equal(found, expected)


def test_another_classifier_and_a_damaged_file_are_refused(tmp_path):
    model = network()
    model.save(tmp_path, {}, trained_on="abc")
    with pytest.raises(ValueError, match="trained on another classifier .* anew"):
        load_irn(tmp_path, model.classifier, trained_on="def")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file .* damaged"):
        load_irn(tmp_path, model.classifier, trained_on="abc")
