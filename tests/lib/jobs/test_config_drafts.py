"""First configs: tiles that fit the slides, and text that is a config."""

import pytest
import yaml

from tests.configs import defaults, schema
from workflow.lib.jobs.config_drafts import UNKNOWN_MPP, Shape, choose_tiles, config_text
from workflow.lib.jobs.configuration import merge, schema_faults
from workflow.lib.jobs.contradictions import check_config

WHOLE = Shape(40_000, 60_000, 0.25)
CROP = Shape(522, 775, 0.62005)
PATCH = Shape(256, 256, 0.243)


@pytest.mark.parametrize(
    ("shapes", "mpp", "tile_px"),
    [
        ([WHOLE], 0.5, 224),
        ([WHOLE, WHOLE, Shape(700, 1152, 28.97)], 0.5, 224),  # one overview decides nothing
        ([CROP], 0.62005, 224),  # never finer than the slides
        ([Shape(1024, 1024, 0.5)], 0.5, 224),
        ([PATCH], 0.243, 224),  # 62 um: no tile of 224 x 0.5 um fits
        ([Shape(200, 300, 0.25)], 0.25, 192),
        ([Shape(40, 40, 0.25)], 0.25, 64),  # the least that is worth a tile
        ([WHOLE, Shape(40_000, 60_000, None)], 0.5, 224),
    ],
)
def test_tiles_suit_most_of_the_slides(shapes, mpp, tile_px):
    assert choose_tiles(shapes)[:2] == (mpp, tile_px)


def test_without_a_pixel_size_the_choice_is_left_open():
    assert choose_tiles([Shape(256, 256, None)]) == (0.5, 224, UNKNOWN_MPP)
    assert choose_tiles([]) == (0.5, 224, UNKNOWN_MPP)


@pytest.mark.parametrize("shapes", [[WHOLE], [CROP], [PATCH], []])
@pytest.mark.parametrize("study", ["mine", "2024", "no", "1e4"])
def test_the_text_is_a_config_that_stands(shapes, study):
    text = config_text(study, "studies/a b/s.tsv", "c.yaml", shapes, ["normal", "no", "1 (a)"])
    own = yaml.safe_load(text)
    assert own["study"] == study and own["slides"] == "studies/a b/s.tsv"
    assert own["labels"]["classes"] == ["normal", "no", "1 (a)"]
    config = merge(defaults(), own)
    assert schema_faults(config, schema()) == [] and check_config(config) == []
    assert max(map(len, text.splitlines())) <= 100


def test_labels_of_whole_slides_are_those_of_slides():
    levels = [
        yaml.safe_load(config_text("s", "s.tsv", "c", shapes, ["a", "b"]))["labels"]["level"]
        for shapes in ([WHOLE, WHOLE, CROP], [CROP, CROP, WHOLE])
    ]
    assert levels == ["slide", "image"]


def test_classes_that_nobody_named_stop_the_run_with_a_remedy():
    config = merge(defaults(), yaml.safe_load(config_text("s", "s.tsv", "c", [WHOLE], [])))
    assert schema_faults(config, schema()) == []
    (fault,) = check_config(config)
    assert "'FILL_IN' alone" in fault and "name two classes, or none" in fault
