"""Overlays of a study on disk: one per heatmap, the colours where the mark is."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.scripts.stitched import DISC_PX0, MPP0, SIZE_PX0, Study
from workflow.lib.jobs.units import manifest
from workflow.lib.maps.overlays import legend


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A stitched and drawn study, shared by all tests: do not change it."""
    study = Study(tmp_path_factory.mktemp("study")).build()
    study.stitch()
    study.draw()
    return study


def overlay_of(study, slide):
    with Image.open(study.overlays.parent / slide / "overlay.jpg") as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("slide", sorted(DISC_PX0))
def test_the_mark_is_drawn_where_it_is(finished, slide):
    picture = overlay_of(finished, slide)[:397]  # 701 / 905 of 512
    marked = picture[..., 1] - picture[..., 2] > 20  # green or yellow; the tissue is pink, purple
    centre = np.argwhere(marked).mean(axis=0) + 0.5
    np.testing.assert_allclose(centre * SIZE_PX0[1] / 512, DISC_PX0[slide][0], atol=5)


def test_size_and_legend(finished):
    facts = manifest(finished.overlays.parent / "a")["facts"]
    picture = overlay_of(finished, "a")
    um_per_px = SIZE_PX0[1] * MPP0 / 512
    strip = legend(512, um_per_px=um_per_px, name="tumour", quantity="probability")
    assert picture.shape == (397 + len(strip), 512, 3) == (facts["height_px"], facts["width_px"], 3)
    assert facts["um_per_px"] == pytest.approx(um_per_px)
    assert np.abs(picture[397:] - strip).mean() < 3


def test_the_legend_of_evidence_does_not_say_probability(tmp_path):
    study = Study(tmp_path, facts={"class": "tumour", "quantity": "evidence"}).build()
    study.stitch()
    study.draw()
    strips = {
        quantity: legend(512, um_per_px=SIZE_PX0[1] * MPP0 / 512, name="tumour", quantity=quantity)
        for quantity in ("evidence", "probability")
    }
    drawn = overlay_of(study, "a")[397:]
    assert np.abs(drawn - strips["evidence"]).mean() < 3
    assert np.abs(drawn - strips["evidence"]).mean() < np.abs(drawn - strips["probability"]).mean()


def test_every_heatmap_has_one_and_verdicts_are_kept(finished):
    units = json.loads(finished.overlays.read_text())["units"]
    assert sorted(units) == ["a", "b", "bare", "c", "quarantined"]
    assert manifest(finished.overlays.parent / "quarantined")["verdict"] == "E_MPP"


def test_an_empty_heatmap_shows_the_slide(finished):
    picture = overlay_of(finished, "bare")[:397]
    pink = picture[180:220, 220:280]
    np.testing.assert_allclose(pink.mean(axis=(0, 1)), (226, 160, 200), atol=4)


def test_a_small_slide_is_drawn_large_enough_for_words(finished):
    finished.draw(max_side_px=4000)
    assert overlay_of(finished, "a").shape[1] == 640
