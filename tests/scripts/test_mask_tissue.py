"""The rule writes a mask and its thumbnail per slide, or says why it cannot."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from tests.synthetic import write_slide
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.slides import open_reader
from workflow.scripts.mask_tissue import mask_tissue

SETTINGS = {"mask_mpp": 8.0, "min_area_um2": 5e3, "close_um": 20.0, "saturation_floor": 0.05}
EOSIN = (200, 110, 165)


def shard(rule, slides, settings):
    recipe = {"rule": rule, "settings": settings, "code": "", "versions": {}, "made_of": {}}
    return Shard("all", slides, recipe | {"slides": {slide.slide: None for slide in slides}})


def check(folder, slides, refused=()):
    """What check_slide leaves behind."""

    def work(slide, _folder):
        if slide.slide in refused:
            raise Quarantine("E_FORMAT", f"{slide.slide} is damaged.")
        with open_reader(slide.path, mpp=slide.mpp) as reader:
            return {
                "width_px0": reader.width_px0,
                "height_px0": reader.height_px0,
                "mpp": reader.mpp,
            }

    visit(folder / "checks/all.json", shard("check_slide", slides, {}), work)
    return folder / "checks/all.json"


@pytest.fixture
def slides(tmp_path):
    """A slide with tissue in one corner, of 1200 x 800 px at 1 um, and an empty one."""
    pixels = np.full((800, 1200, 3), 243, np.uint8)
    write_slide(tmp_path / "empty.tif", pixels, mpp=1.0)
    pixels[100:500, 200:600] = EOSIN
    write_slide(tmp_path / "square.tif", pixels, mpp=1.0)
    return [Slide(name, tmp_path / f"{name}.tif", f"p-{name}") for name in ("empty", "square")]


def run(tmp_path, slides, **changed):
    settings = SETTINGS | changed
    tissue = tmp_path / "tissue/all.json"
    mask_tissue(
        check(tmp_path, slides),
        tissue,
        shard=shard("mask_tissue", slides, settings),
        scratch=None,
        **settings,
    )
    return tissue.parent


def read(unit):
    return np.asarray(Image.open(unit / "tissue.png"))


def test_mask_and_thumbnail_show_the_same_square(tmp_path, slides):
    found = run(tmp_path, slides)
    mask = read(found / "square")
    thumbnail = np.asarray(Image.open(found / "square/thumbnail.jpg"))
    assert mask.shape == (100, 150)
    assert thumbnail.shape == (100, 150, 3)
    assert np.unique(mask).tolist() == [0, 255]
    expected = np.zeros((100, 150), bool)
    expected[12:63, 25:75] = True
    assert ((mask > 0) != expected).sum() <= 100  # half a pixel around it
    assert thumbnail[40, 40, 1] < 150 < thumbnail[90, 140, 1]


def test_facts_and_files(tmp_path, slides):
    found = manifest(run(tmp_path, slides) / "square")
    assert found["verdict"] == "ok"
    assert set(found["files"]) == {"tissue.png", "thumbnail.jpg"}
    assert found["facts"]["mask_mpp"] == 8.0
    assert found["facts"]["tissue_fraction"] == pytest.approx(1 / 6, abs=0.01)


def test_an_empty_slide_has_an_empty_mask(tmp_path, slides):
    found = run(tmp_path, slides)
    assert not read(found / "empty").any()
    assert manifest(found / "empty")["facts"]["tissue_fraction"] == 0


def test_a_slide_coarser_than_the_mask_is_not_enlarged(tmp_path, slides):
    found = run(tmp_path, slides, mask_mpp=0.5)
    assert read(found / "square").shape == (800, 1200)
    assert manifest(found / "square")["facts"]["mask_mpp"] == 1.0


def test_the_tissue_of_the_sheet_replaces_the_mask(tmp_path, slides):
    ring = [[0, 0], [600, 0], [600, 400], [0, 400], [0, 0]]
    drawn = tmp_path / "drawn.geojson"
    drawn.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    given = [Slide("empty", slides[0].path, "p", tissue=drawn)]
    mask = read(run(tmp_path, given) / "empty")
    expected = np.zeros((100, 150), np.uint8)
    expected[:50, :75] = 255
    assert np.array_equal(mask, expected)


def test_a_tissue_file_that_does_not_fit_puts_only_its_slide_aside(tmp_path, slides):
    Image.fromarray(np.ones((100, 100), np.uint8)).save(tmp_path / "other.png")
    given = [slides[1], Slide("wrong", slides[0].path, "p", tissue=tmp_path / "other.png")]
    found = run(tmp_path, given)
    assert manifest(found / "square")["verdict"] == "ok"
    wrong = manifest(found / "wrong")
    assert wrong["verdict"] == "E_MASK"
    assert "wrong: other.png is 100 x 100 px" in wrong["sentence"]


def test_a_quarantined_slide_keeps_its_verdict(tmp_path, slides):
    checks = check(tmp_path, slides, refused={"empty"})
    tissue = tmp_path / "tissue/all.json"
    mask_tissue(
        checks, tissue, shard=shard("mask_tissue", slides, SETTINGS), scratch=None, **SETTINGS
    )
    assert manifest(tissue.parent / "empty")["verdict"] == "E_FORMAT"
    assert manifest(tissue.parent / "square")["verdict"] == "ok"


def test_every_slide_gets_one_sentence(tmp_path, slides, caplog):
    with caplog.at_level(logging.INFO, logger="workflow.scripts.mask_tissue"):
        run(tmp_path, slides)
    assert len(caplog.messages) == 2
    assert caplog.messages[0] == "empty: 0.0% of it is tissue, found by its colour."


def test_the_same_slide_gives_the_same_bytes(tmp_path, slides):
    first, second = (run(tmp_path / name, slides) for name in "ab")
    for name in ("tissue.png", "thumbnail.jpg", "manifest.json"):
        assert (first / "square" / name).read_bytes() == (second / "square" / name).read_bytes()
