"""What makes cams: every method on one classifier, over views, with its logits untouched."""

import numpy as np
import pytest
import torch

from tests.lib import located
from tests.lib.located import SIDE, TILES
from workflow.lib.evidence.cam_makers import CamMaker
from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.evidence.cams import CamTally, upsample
from workflow.lib.evidence.gradient_cams import smooth_grad_cam_pp

CPU = torch.device("cpu")
OF_THE_CLASSIFIER = [cam for cam in CAMS if cam != "glands"]
SETTINGS = {"seed": 0, "smooth_samples": 2, "smooth_noise": 0.1, "score_channels": 3}


@pytest.fixture(scope="module")
def model():
    return located.make_classifier()


@pytest.fixture(scope="module")
def shared(model):
    return located.share_evidence(model)


@torch.inference_mode()
def made(model, cam, tiles=TILES, **settings):
    """Maps and logits by a maker, as inference runs it."""
    maker = CamMaker(model, cam, **(SETTINGS | settings))
    return maker.split(maker(tiles).numpy(), maker.shape(SIDE, CPU))


@pytest.mark.parametrize("cam", OF_THE_CLASSIFIER)
def test_every_method_gives_all_classes_and_the_logits_of_the_classifier(model, cam):
    maps, logits = made(model, cam)
    size = (16, 16) if cam == "grabcut" else tuple(model.cam(TILES).shape[2:])
    assert maps.shape == (3, 2, *size) and np.isfinite(maps).all()
    assert maps.std() > 0
    assert np.array_equal(logits, model.logits(TILES).detach().numpy())
    if cam != "cam":
        assert maps.min() >= 0
    if cam == "grabcut":
        assert set(np.unique(maps)) == {0, 1}


def test_glands_are_as_given_for_every_class(model):
    glands = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    rows = CamMaker(model, "glands")(TILES, glands).numpy()
    maps, logits = CamMaker.split(rows, (2, 5, 5))
    assert np.array_equal(maps[:, 0], glands) and np.array_equal(maps[:, 1], glands)
    assert np.array_equal(logits, model.logits(TILES).detach().numpy())


def test_logits_are_not_the_mean_of_the_cam_where_the_head_takes_another(shared):
    maximal = located.make_classifier(pooling="max")
    for given in ({}, {"evidence": shared, "consistency": 0.7}):
        maps, logits = made(maximal, "cam", **given)
        assert np.array_equal(logits, maximal.logits(TILES).detach().numpy())
        assert logits != pytest.approx(maps.mean(axis=(2, 3)), abs=1e-3)


@pytest.mark.parametrize("cam", OF_THE_CLASSIFIER)
def test_neither_batch_nor_order_matter(model, cam):
    together, _ = made(model, cam)
    for index in (2, 0):
        alone, _ = made(model, cam, TILES[[index]])
        assert alone[0] == pytest.approx(together[index], rel=1e-4, abs=1e-5)


def test_the_cam_is_the_classifiers_and_grad_cam_the_same_without_bias(model):
    cams = model.cam(TILES).detach().numpy()
    assert np.array_equal(made(model, "cam")[0], cams)
    bias = model.head.bias.detach().numpy()[:, None, None]
    plain = np.maximum(cams - bias, 0)
    assert made(model, "gradcam")[0] == pytest.approx(plain, abs=1e-5)
    assert made(model, "xgradcam")[0] == pytest.approx(plain, abs=1e-5)
    assert made(model, "layercam")[0] != pytest.approx(plain, abs=1e-3)


def test_the_noise_is_of_the_seed_and_as_strong_as_said(model, monkeypatch):
    seen = []

    def watch(features, noisy, head):
        seen.append(noisy)
        return smooth_grad_cam_pp(features, noisy, head)

    shown = []
    backbone = type(model.backbone).forward
    monkeypatch.setattr("workflow.lib.evidence.cam_makers.smooth_grad_cam_pp", watch)
    monkeypatch.setattr(
        type(model.backbone), "forward", lambda self, x: shown.append(x) or backbone(self, x)
    )
    for seed in (0, 0, 1):
        made(model, "smooth_gradcam_pp", seed=seed, smooth_samples=3, smooth_noise=0.2)
    assert [len(noisy) for noisy in seen] == [3, 3, 3]
    noise = [tiles - TILES for tiles in shown]
    assert len(noise) == 9  # the plain tiles go through the backbone once, with the pyramid
    assert noise[0].std().item() == pytest.approx(0.2, rel=0.05)
    assert torch.equal(shown[0], shown[3]) and not torch.equal(shown[0], shown[6])
    assert not torch.equal(shown[0], shown[1])
    assert torch.allclose(noise[0][0], noise[0][2], atol=1e-6)


def test_the_backbone_runs_once_where_gradients_are_of_the_head(model, monkeypatch):
    calls = []
    pyramid = type(model.backbone).pyramid
    monkeypatch.setattr(
        type(model.backbone), "pyramid", lambda self, x: calls.append(len(x)) or pyramid(self, x)
    )
    for cam, passes in (("cam", 1), ("gradcam", 1), ("gradcam_pp", 1), ("xgradcam", 1),
                        ("layercam", 1), ("smooth_gradcam_pp", 3), ("scorecam", 4)):  # fmt: skip
        maker = CamMaker(model, cam, **SETTINGS)
        calls.clear()
        with torch.inference_mode():
            maker(TILES)
        assert calls == [3] * passes, cam


@pytest.mark.parametrize("cam", ["cam", "layercam"])
def test_flips_are_averaged_where_they_were_turned_back(model, cam):
    plain, _ = made(model, cam)
    mirrored, _ = made(model, cam, TILES.flip(3))
    both, logits = made(model, cam, flips=True)
    assert both == pytest.approx((plain + mirrored[..., ::-1]) / 2, abs=1e-6)
    assert both != pytest.approx(plain, abs=1e-4)
    assert made(model, cam, TILES.flip(3), flips=True)[0][..., ::-1] == pytest.approx(
        both, abs=1e-6
    )
    assert np.array_equal(logits, model.logits(TILES).detach().numpy())


def test_scales_are_averaged_at_the_resolution_of_the_plain_map(model):
    plain, _ = made(model, "cam")
    twice = torch.nn.functional.interpolate(TILES, scale_factor=2, mode="bilinear")
    finer = model.cam(twice).detach()
    assert finer.shape[2] > plain.shape[2]
    shrunk = torch.nn.functional.interpolate(
        finer, plain.shape[2:], mode="bilinear", antialias=True
    )
    found, _ = made(model, "cam", scales=[1.0, 2.0])
    assert found == pytest.approx((plain + shrunk.numpy()) / 2, abs=1e-5)
    alone, logits = made(model, "cam", scales=[2.0])
    assert alone == pytest.approx(shrunk.numpy(), abs=1e-5)
    assert np.array_equal(logits, model.logits(TILES).detach().numpy())


def test_a_flat_tile_has_maps_of_one_size_at_all_scales(model):
    """Gradients shrink with the number of locations; maps do not, so that they can be averaged."""
    flat = torch.full((1, 3, SIDE, SIDE), 0.7)
    one = made(model, "gradcam", flat)[0].max()
    two = made(model, "gradcam", flat, scales=[2.0])[0].max()
    assert 0.5 < two / one < 2


def test_grabcut_averages_saliency_and_cuts_once(model):
    found, _ = made(model, "grabcut", scales=[0.5, 1.0], flips=True)
    assert found.shape == (3, 2, 16, 16) and set(np.unique(found)) <= {0, 1}


def test_a_method_that_is_none_is_refused(model):
    with pytest.raises(
        ValueError, match="'eigencam' is no method of make_cams; there are cam, grad"
    ):
        made(model, "eigencam")


@pytest.mark.parametrize("views", [{}, {"flips": True, "scales": [1.0, 1.5]}])
def test_consistency_is_mixed_in_after_the_views_and_leaves_the_logits_alone(model, shared, views):
    cams, logits = made(model, "cam", **views)
    corrected, again = made(model, "cam", evidence=shared, consistency=0.7, **views)
    assert np.array_equal(again, logits)
    maps = model.pyramid(TILES)[2].detach()
    assert corrected.shape == (3, 2, *maps.shape[2:]) and corrected.shape != cams.shape
    own = [upsample(torch.from_numpy(cams[:, index]), corrected.shape[2]) for index in (0, 1)]
    expected = 0.3 * np.stack(own, axis=1) + 0.7 * shared.of(maps).numpy()
    assert corrected == pytest.approx(expected, abs=1e-5)
    assert corrected.mean(axis=(2, 3)) != pytest.approx(logits, abs=1e-3)


@pytest.mark.parametrize("cam", ["cam", "gradcam", "layercam"])
def test_a_tile_that_is_not_finite_is_named_with_its_number(model, cam):
    tiles = TILES.clone()
    tiles[1] = torch.nan
    found = made(model, cam, tiles)
    with pytest.raises(ValueError, match="evidence in tile 41 is not a finite number"):
        list(CamTally(43, 2).watch([(slice(40, 43), *found)]))
