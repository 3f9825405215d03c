"""Settings that each are fine and contradict each other, and the sentence for it."""

import pytest

from tests.configs import cases, damaged, edited, schema
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config, check_marks, check_named

CONTRADICTIONS = cases("contradictions")


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=lambda case: case["fault"])
def test_check_refuses(case):
    config = damaged(case)
    assert schema_faults(config, schema()) == []
    assert case["sentence"] in check_config(config)


def test_the_margin_of_a_unet_that_is_not_trained_contradicts_nothing():
    config = edited(train_unet__context_px=128, refine_masks__methods=["none", "negev"])
    assert config["tile_slide"]["tile_px"] == 128
    assert check_config(config) == []


def test_check_lists_all_contradictions():
    config = edited(
        labels__negative="x", tile_slide__stride_px=999, make_pseudo_masks__background=1
    )
    assert len(check_config(config)) == 3


def test_methods_that_learn_from_marks_need_a_slide_that_has_some():
    methods = ["none", "unet", "negev", "points"]
    masks, points = check_marks(methods, masked=False, pointed=False)
    assert masks.startswith("refine_masks.methods: unet learns from pixel masks, and no slide of")
    assert points == (
        "refine_masks.methods: points learns from points, and no slide of the sheet has any; give "
        "some in its column points, or leave the method out"
    )
    assert check_marks(methods, masked=True, pointed=False) == [points]
    assert check_marks(methods, masked=True, pointed=True) == []
    assert check_marks(["none", "negev"], masked=False, pointed=False) == []


def test_tiles_to_explain_are_of_slides_of_the_sheet():
    named = ["a:0", "b.1:20,30", "A:0", "a:b:7"]
    assert check_named(named, ["a", "b.1"]) == [
        f"explain_tiles.named: {tile} is of no slide of the sheet; write slide:number or slide:x,y"
        for tile in ("A:0", "a:b:7")
    ]
