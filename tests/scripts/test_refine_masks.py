"""Refined masks of a study on disk: what the cam says, what the decoder says."""

import json

import numpy as np
import pytest
import torch

from tests.scripts import cohort
from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.evidence.cams import slide_evidence, upsample
from workflow.lib.jobs.shard import commit
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoders import Decoder
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.stores import Tiles, open_group

SETTINGS = {
    "morphology": {"open_um": 0, "min_object_um2": 300, "max_hole_um2": 300},
    "crf": {
        "position_um": 9.0,
        "colour": 20.0,
        "bilateral_weight": 1.0,
        "smooth_um": 2.0,
        "smooth_weight": 1.0,
        "iterations": 3,
    },
}


def give_decoder(study):
    """A decoder that was not trained, but whose answers are not constant either."""
    trained = study.classifier.with_suffix("")
    torch.manual_seed(1)
    model = Decoder(Classifier.load(trained), (8, 8, 8, 8, 8)).eval()
    torch.nn.init.normal_(model.learnt["head"].weight, std=5.0)
    index = study.root / "decoders" / "negev" / "fold0.json"
    recipe = manifest(trained)["recipe"]
    commit(
        index,
        cohort.shard("train_negev"),
        lambda folder: {"masks": model.save(folder, {}, trained_on=recipe) or []},
        upstream=[study.splits],
    )
    return index, model


def refine(study, method, decoder=None, **settings):
    cams = study.cams_by(method) if method in CAMS else study.cams
    return study.refine(method, decoder, cams=cams, **settings)


def probability(folder, slide):
    return open_group(folder / slide / "refined.zarr")["probability"][:]


def test_method_none_is_the_scaled_and_upsampled_cam(study):
    folder = refine(study, "none")
    group = open_group(study.cams.parent / "p3" / "cams.zarr")
    seen = manifest(study.cams.parent / "p3")["facts"]
    cam = slide_evidence(group["cams"][:], cohort.CLASSES, seen, scale="minmax")
    found = probability(folder, "p3")
    assert found.dtype == np.uint16
    assert found / 65535 == pytest.approx(upsample(cam, cohort.TILE_PX).numpy(), abs=1e-5)
    stored = dict(open_group(folder / "p3" / "refined.zarr").attrs)
    assert stored == {"downsample": 1, "method": "none", "fold": 0}


def test_method_negev_is_the_probability_of_the_decoder(study):
    decoder, model = give_decoder(study)
    folder = refine(study, "negev", decoder)
    store = Tiles(study.tiles.parent / "n3" / "tiles.zarr")
    with torch.no_grad():
        expected = model.probability(to_input(store.batch(range(5)), torch.device("cpu"))).numpy()
    found = probability(folder, "n3") / 65535
    assert found == pytest.approx(expected, abs=1e-4)
    assert found.std() > 0.01


def test_a_decoder_is_mixed_with_its_evidence_by_the_share(study):
    decoder, _ = give_decoder(study)
    learnt = probability(refine(study, "negev", decoder), "p3") / 65535
    evidence = probability(refine(study, "none"), "p3") / 65535
    folder = refine(study, "negev", decoder, evidence_share=0.25)
    assert probability(folder, "p3") / 65535 == pytest.approx(
        0.75 * learnt + 0.25 * evidence, abs=1e-4
    )
    assert manifest(folder / "p3")["facts"]["quantity"] == "evidence"
    softly = refine(study, "negev", decoder, evidence_share=0.25, cam_scale="softmax")
    assert manifest(softly / "p3")["facts"]["quantity"] == "probability"


@pytest.mark.parametrize("method", ["morphology", "crf"])
def test_methods_that_are_not_learnt_change_the_cam(study, method):
    folder = refine(study, method, **{method: SETTINGS[method]})
    found, cam = probability(folder, "p3") / 65535, probability(refine(study, "none"), "p3") / 65535
    assert found.shape == cam.shape and not np.array_equal(found, cam)
    assert np.corrcoef(found.ravel(), cam.ravel())[0, 1] > 0.5
    assert manifest(folder / "p3")["facts"]["quantity"] == "evidence"
    assert manifest(folder / "p3")["facts"]["masks"] == []


def test_downsampling_averages_areas(study):
    full = probability(refine(study, "none"), "p3").astype(np.float64)
    coarse = probability(refine(study, "none", downsample=4), "p3")
    blocks = full.reshape(cohort.COUNT, 16, 4, 16, 4).mean(axis=(2, 4))
    assert coarse == pytest.approx(blocks, abs=1)


def test_only_validation_and_test_slides_are_refined(study):
    folder = refine(study, "none")
    units = json.loads((folder / "all.json").read_text())["units"]
    assert sorted(units) == ["empty", "n2", "n3", "p2", "p3"]


@pytest.mark.parametrize("method", ["none", "negev"])
def test_a_slide_without_tiles_has_an_empty_mask_of_the_right_shape(study, method):
    decoder = give_decoder(study)[0] if method == "negev" else None
    folder = refine(study, method, decoder, downsample=2)
    assert probability(folder, "empty").shape == (0, 32, 32)
    assert manifest(folder / "empty")["verdict"] == "ok_empty"


@pytest.mark.parametrize("method", ["none", "negev"])
def test_a_tile_that_could_not_be_read_shows_nothing(study, method):
    text = study.splits.read_text()
    study.splits.write_text(text.replace("tumour\ttrain", "tumour\ttest"))
    study.make_cams()
    decoder = give_decoder(study)[0] if method == "negev" else None
    found = probability(refine(study, method, decoder), "p1")
    shown = found.reshape(cohort.COUNT, -1).any(axis=1)
    assert shown.tolist() == [k != cohort.UNREADABLE["p1"] for k in range(cohort.COUNT)]


def test_softmax_scale_is_the_share_of_the_class(study):
    found = probability(refine(study, "none", cam_scale="softmax"), "p3")
    cams = open_group(study.cams.parent / "p3" / "cams.zarr")["cams"][:].astype(np.float64)
    shares = np.exp(cams[:, 1]) / np.exp(cams).sum(axis=1)
    assert found[:, 0, 0] / 65535 == pytest.approx(shares[:, 0, 0], abs=1e-3)


@pytest.mark.parametrize("cam_scale", ["minmax", "softmax"])
def test_a_further_cam_is_scaled_over_the_slide_whatever_cams_are_scaled_by(study, cam_scale):
    study.make_cams("layercam")
    folder = refine(study, "layercam", cam_scale=cam_scale)
    maps = open_group(study.cams_by("layercam").parent / "p3" / "cams.zarr")["cams"][:, 1]
    low, high = maps.min(), maps.max()
    assert high > low
    expected = upsample(torch.from_numpy((maps - low) / (high - low)).float(), cohort.TILE_PX)
    assert probability(folder, "p3") / 65535 == pytest.approx(expected.numpy(), abs=2e-3)
    assert manifest(folder / "p3")["facts"]["quantity"] == "evidence"
    none = refine(study, "none", cam_scale="softmax")
    assert manifest(none / "p3")["facts"]["quantity"] == "probability"


def test_a_method_and_its_decoder_belong_together(study):
    with pytest.raises(ValueError, match="method layercam comes with a decoder"):
        refine(study, "layercam", give_decoder(study)[0])
    with pytest.raises(ValueError, match="method negev comes without a decoder"):
        refine(study, "negev")
    with pytest.raises(ValueError, match="method none comes with a decoder"):
        refine(study, "none", give_decoder(study)[0])


def test_the_edit_of_an_unused_decoder_leaves_method_none_alone(study):
    folder = refine(study, "none")
    before = manifest(folder / "p3")["recipe"]
    give_decoder(study)
    assert manifest(refine(study, "none") / "p3")["recipe"] == before
