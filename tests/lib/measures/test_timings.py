"""What a method costs, from records of jobs: the whole way of an image or nothing."""

import pytest

from workflow.lib.measures.timings import Cost, measure

TESTED = {"a": "0", "b": "0", "c.1": "1"}


def record(rule, key, device=None, **seconds):
    named = {unit.replace("_", "."): took for unit, took in seconds.items()}
    return {"rule": rule, "key": key, "device": device, "unit_seconds": named}


RECORDS = [
    record("make_cams", "cam.fold0.shard-1", "cpu", a=1.0, b=2.0, c_1=64.0),
    record("make_cams", "cam.fold1.shard-1", "cpu", a=64.0, b=64.0),
    record("make_cams", "cam.fold1.c.1", "cpu", c_1=8.0),  # a shard of its own
    record("make_cams", "layercam.fold0.shard-1", "cpu", a=64.0),
    record("refine_masks", "none.fold0.shard-1", "cpu", a=0.5, b=0.5),
    record("refine_masks", "none.fold1.c.1", "cuda", c_1=0.5),
    record("refine_masks", "negev.fold0.shard-1", "cuda", a=0.125, b=0.25),
    record("stitch_heatmap", "none.shard-1", a=0.25, b=0.25),
    record("stitch_heatmap", "none.c.1", c_1=0.25),
    record("stitch_heatmap", "negev.shard-1", a=1.0, b=1.0, c_1=1.0),
    record("train_classifier", "fold0", fold0=100.0),
    record("train_classifier", "fold1", fold1=200.0),
    record("train_negev", "fold0", fold0=30.0),
    record("train_svm", "fold0", fold0=6.0),
    record("train_svm", "fold1", fold1=8.0),
    {"rule": "refine_masks", "key": "svm.fold0.shard-1", "device": "cpu"},  # of an older release
]


def cost(method, records=RECORDS, cam="cam", mixed=()):
    return measure(records, TESTED, cams={method: cam}, mixed=mixed)[method]


def test_an_image_goes_through_the_cam_of_its_fold_refinement_and_stitching():
    """a: 1 + 0.5 + 0.25, b: 2 + 0.5 + 0.25, c.1, in fold 1: 8 + 0.5 + 0.25; the median is b's."""
    found = cost("none")
    assert (found.seconds, found.images) == (2.75, 3)
    assert found.devices == ("cpu", "cuda")


def test_a_method_that_looks_at_the_tiles_alone_needs_no_cam():
    """a: 0.125 + 1, b: 0.25 + 1; c.1 was never refined in a job that left a record."""
    assert cost("negev") == Cost(1.1875, 2, None, ("cuda",))


def test_a_decoder_mixed_with_its_evidence_needs_that_too():
    """a: 1 + 0.125 + 1, b: 2 + 0.25 + 1."""
    assert cost("negev", mixed=["negev"]).seconds == (2.125 + 3.25) / 2


def test_glands_are_mapped_before_they_are_cut():
    cut = record("make_cams", "glands.fold0.shard-1", "cpu", a=1.0, b=2.0)
    assert cost("none", [*RECORDS, cut], cam="glands").images == 0
    mapped = record("map_glands", "shard-1", a=4.0, b=8.0)
    assert cost("none", [*RECORDS, cut, mapped], cam="glands").seconds == (5.75 + 10.75) / 2


def test_training_is_the_mean_of_folds_classifier_and_decoder():
    assert cost("none").training == 150.0
    assert cost("svm").training == 7.0  # and nothing of the classifier
    assert cost("negev").training is None  # of one fold it is not known
    known = [*RECORDS, record("train_negev", "fold1", fold1=50.0)]
    assert cost("negev", known).training == 150.0 + 40.0


@pytest.mark.parametrize("missing", ["make_cams", "refine_masks", "stitch_heatmap"])
def test_what_was_not_measured_is_not_guessed(missing):
    records = [one for one in RECORDS if one["rule"] != missing]
    found = cost("none", records)
    assert (found.seconds, found.images, found.devices) == (None, 0, ())
    assert found.training == 150.0


def test_of_a_cam_beside_the_first_its_own_map_counts():
    assert cost("layercam", cam="layercam").images == 0
    more = [
        record("refine_masks", "layercam.fold0.shard-1", "cpu", a=1.0),
        record("stitch_heatmap", "layercam.shard-1", a=1.0),
    ]
    assert cost("layercam", [*RECORDS, *more], cam="layercam").seconds == 66.0


def test_no_record_and_no_tested_slide_at_all():
    assert measure([], TESTED, cams={"none": "cam"}) == {"none": Cost()}
    assert measure(RECORDS, {}, cams={"none": "cam"}) == {"none": Cost()}
