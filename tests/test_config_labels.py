"""What a config may not say of labels, and the sentence that it is refused with."""

import pytest

from tests.configs import edited, schema
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config

CONTRADICTIONS = {
    "slides without labels": (
        edited(labels__level="slide", labels__classes=[], labels__negative=None),
        "labels.level: slide says which tiles show a label, but labels.classes names none; write "
        "image for a study without labels",
    ),
    "marks without a negative class": (
        edited(labels__level="annotation", labels__negative=None),
        "labels.negative: at level annotation, tiles that nobody marked need a class; name the "
        "negative one",
    ),
    "permuted labels beside masks that are not": (
        edited(labels__level="annotation", labels__permute=True),
        "labels.permute: at level annotation masks teach which tile shows what, and they stay what "
        "they are, so that labels are not without meaning; use level image or slide",
    ),
    "more than all tiles": (
        edited(label_tiles__top_share=0.5, label_tiles__bottom_share=0.6),
        "label_tiles.top_share: 0.5 and bottom_share, 0.6, are more than the whole slide; use at "
        "most 1 together",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_labels_that_contradict_each_other(name):
    config, said = CONTRADICTIONS[name]
    assert schema_faults(config, schema()) == [] and check_config(config) == [said]


def test_a_level_is_one_of_three():
    assert schema_faults(edited(labels__level="tile"), schema()) == [
        "labels.level: 'tile' is not known; use one of ['image', 'slide', 'annotation']"
    ]
    for level in ("image", "slide", "annotation"):
        assert check_config(edited(labels__level=level)) == []


def test_slides_may_be_bags_without_a_negative_class():
    assert check_config(edited(labels__level="slide", labels__negative=None)) == []
    assert check_config(edited(label_tiles__top_share=0.5, label_tiles__bottom_share=0.5)) == []
