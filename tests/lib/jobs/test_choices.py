"""Epochs that masks are to choose where they cannot, and the sentence for it."""

import pytest

from tests.configs import defaults, edited
from workflow.lib.jobs.choices import check_choices, check_chosen

METHODS = ["none", "negev", "layercam", "unet"]


def test_labels_choose_by_default_and_nothing_is_wrong():
    config = defaults()
    for stage in ("train_classifier", "train_negev", "train_rpnet"):
        assert config[stage]["choose_by"] == "labels"
    assert check_choices(config, METHODS, masked=False) == []


@pytest.mark.parametrize("stage", ["train_classifier", "train_negev"])
def test_masks_that_no_slide_has_choose_nothing(stage):
    config = edited(**{f"{stage}__choose_by": "masks"})
    assert check_choices(config, METHODS, masked=True) == []
    assert check_choices(config, METHODS, masked=False) == [
        f"{stage}.choose_by: masks looks at pixel masks of validation slides, and no slide of the "
        "sheet has any; give some in its column mask, or set it to labels"
    ]


def test_only_stages_that_are_run_are_asked():
    config = edited(train_rpnet__choose_by="masks", train_unet__choose_by="validation_loss")
    assert check_choices(config, METHODS, masked=False) == []
    config = edited(train_classifier__choose_by="masks", labels__classes=[])
    assert check_choices(config, [], masked=False) == []


def test_masks_do_not_choose_where_labels_mean_nothing():
    config = edited(train_negev__choose_by="masks", labels__permute=True)
    (said,) = check_choices(config, METHODS, masked=True)
    assert said.startswith("train_negev.choose_by: masks stay what they are where labels.permute")


def test_a_chosen_slide_has_to_be_in_the_sheet():
    assert check_chosen(["s1", "s9"], {"s1": 1, "s2": 2}) == [
        "write_report.chosen: there is no slide s9 in the sheet; correct it or leave it out"
    ]
