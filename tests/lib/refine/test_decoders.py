"""The decoder: what it adds, and that it leaves the classifier alone."""

import json

import pytest
import torch
from torch import nn

from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoders import CHANNELS, Decoder, load_decoder
from workflow.lib.refine.negev import negev_loss

SMALL = (16, 8, 8, 8, 8)


def classifier(name="resnet18"):
    torch.manual_seed(0)
    return Classifier(Backbone(name), ["normal", "tumour"], tile_px=64, mpp=1.0)


def tiles(count=2, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def snapshot(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_two_planes_for_every_pixel_and_their_softmax():
    decoder = Decoder(classifier(), SMALL).eval()
    logits, probability = decoder(tiles()), decoder.probability(tiles())
    assert logits.shape == (2, 2, 64, 64)
    assert probability.shape == (2, 64, 64)
    expected = logits[:, 1].exp() / (logits[:, 0].exp() + logits[:, 1].exp())
    assert torch.allclose(probability, expected, atol=1e-6)


def test_what_learns_on_a_processor_is_laid_out_as_it_is_fastest_and_says_the_same():
    decoder = Decoder(classifier(), SMALL).eval()
    expected, seen = decoder(tiles()), []
    placed = decoder.place(torch.device("cpu"))
    decoder.learnt["blocks"].register_forward_pre_hook(lambda _, given: seen.extend(given[0][1:]))
    assert torch.allclose(placed(tiles()), expected, atol=1e-5)
    kernels = [
        [p for p in part.parameters() if p.ndim == 4 and p.shape[2] > 1]
        for part in (decoder.learnt, decoder.classifier.backbone)
    ]
    assert all(kernel.is_contiguous() for kernel in kernels[0])
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels[1])
    assert len(seen) == 5 and all(features.is_contiguous() for features in seen)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("squeezenet1_1", 64),
        ("squeezenet1_1", 100),
        ("vgg11", 100),
        ("densenet121", 64),
        ("mobilenet_v3_small", 100),
    ],
)
def test_every_kind_of_backbone_and_odd_sides_give_full_resolution(name, side):
    decoder = Decoder(classifier(name), SMALL).eval()
    with torch.no_grad():
        assert decoder(tiles(1, side)).shape == (1, 2, side, side)
    assert len(decoder.channels) == len(decoder.classifier.backbone.channels)


@pytest.mark.parametrize(
    ("name", "stride", "maps"),
    [
        ("resnet18", 16, 4),
        ("resnet18", 8, 3),
        ("squeezenet1_1", 8, 3),
        pytest.param("vgg11", 8, 3, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("side", [64, 100])
def test_a_dilated_backbone_is_decoded_from_one_map_per_stride(tmp_path, name, stride, maps, side):
    frozen = classifier(name)
    frozen.backbone.dilate(stride)
    decoder = Decoder(frozen, SMALL).eval()
    with torch.no_grad():
        expected = decoder(tiles(1, side))
    assert expected.shape == (1, 2, side, side) and len(decoder.channels) == maps
    decoder.save(tmp_path, {}, trained_on="abc")
    (tmp_path / "c").mkdir()
    frozen.save(tmp_path / "c", {})
    again = load_decoder(tmp_path, Classifier.load(tmp_path / "c"), trained_on="abc")
    with torch.no_grad():
        assert torch.equal(again(tiles(1, side)), expected)


def test_the_published_channels_are_the_default():
    decoder = Decoder(classifier("squeezenet1_1"))
    assert CHANNELS == (256, 128, 64, 32, 16)
    assert decoder.channels == list(CHANNELS[: len(decoder.classifier.backbone.channels)])


def test_training_leaves_the_classifier_bitwise_as_it_was():
    """METHODS: encoder gradients None, batch-norm buffers unchanged, same logits afterwards."""
    frozen = classifier().eval()
    said, before = frozen.logits(tiles()), snapshot(frozen)
    decoder = Decoder(frozen, SMALL)
    optimiser = torch.optim.SGD(decoder.parameters(), lr=0.1)
    for _ in range(3):
        decoder.train()
        seeds = torch.randint(0, 2, (2, 64, 64))
        negative = torch.tensor([False, True])
        loss, *_ = negev_loss(decoder(tiles()), seeds, negative, seed_weight=1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(parameter.grad is None for parameter in frozen.parameters())
    assert all(parameter.grad is not None for parameter in decoder.learnt.parameters())
    after = frozen.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(frozen.logits(tiles()), said)


def test_the_classifier_stays_in_evaluation_whatever_the_mode():
    decoder = Decoder(classifier().train(), SMALL)
    for mode in (True, False):
        decoder.train(mode)
        assert not any(module.training for module in decoder.classifier.modules())
        assert all(module.training == mode for module in decoder.learnt.modules())


def test_saved_and_loaded_gives_the_same_probability(tmp_path):
    frozen = classifier()
    decoder = Decoder(frozen, SMALL).eval()
    for module in decoder.modules():  # statistics as training would leave them
        if isinstance(module, nn.BatchNorm2d) and module.num_features in SMALL:
            nn.init.uniform_(module.running_mean, -1, 1)
    decoder.save(tmp_path, {"method": "negev"}, trained_on="abc")
    record = json.loads((tmp_path / "model.json").read_text())
    assert record["method"] == "negev"
    assert record["channels"] == list(SMALL)
    loaded = load_decoder(tmp_path, frozen, trained_on="abc")
    assert not loaded.training
    assert torch.equal(loaded.probability(tiles()), decoder.probability(tiles()))


def test_the_file_holds_the_decoder_only(tmp_path):
    Decoder(classifier(), SMALL).save(tmp_path, {}, trained_on="abc")
    learnt = sum(t.numel() for t in Decoder(classifier(), SMALL).learnt.state_dict().values())
    assert (tmp_path / "model.safetensors").stat().st_size < 4 * learnt + 20_000


def test_a_damaged_file_is_named(tmp_path):
    Decoder(classifier(), SMALL).save(tmp_path, {}, trained_on="abc")
    file = tmp_path / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file .* damaged"):
        load_decoder(tmp_path, classifier(), trained_on="abc")


def test_another_classifier_is_refused(tmp_path):
    Decoder(classifier(), SMALL).save(tmp_path, {}, trained_on="abc")
    with pytest.raises(ValueError, match="trained on another classifier .* anew"):
        load_decoder(tmp_path, classifier(), trained_on="def")


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    Decoder(classifier(), SMALL).save(tmp_path, {}, trained_on="abc")
    frozen = classifier()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_decoder(tmp_path, frozen, trained_on="abc")
    assert torch.equal(torch.rand(1), expected)
