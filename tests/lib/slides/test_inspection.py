import json
from pathlib import Path

import pytest

from tests.lib.mutators import aperio, damage_tiles, drop_tiles, good
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides import inspection
from workflow.lib.slides.inspection import inspect_slide, too_many_bad

LIMITS = {
    "mpp": None,
    "sha256": None,
    "max_side_px0": 500_000,
    "mpp_min": 0.05,
    "mpp_max": 20.0,
    "max_bad_tiles": 0.001,
    "allow_fluorescence": False,
}


def test_facts_are_sizes_and_nothing_of_the_person(tmp_path: Path) -> None:
    facts = inspect_slide(aperio(good(tmp_path / "slide.tif")), **LIMITS)
    assert facts == {
        "width_px0": 420,
        "height_px0": 300,
        "mpp": 0.5,
        "mpp_source": "aperio",
        "vendor": "aperio",
        "backend": "openslide",
        "levels": [{"width": 420, "height": 300, "downsample": 1.0}],
        "warnings": [],
    }
    json.dumps(facts)


def test_the_hash_of_the_sheet_is_compared_in_any_case(tmp_path: Path) -> None:
    import hashlib

    slide = good(tmp_path / "slide.tif")
    right = hashlib.sha256(slide.read_bytes()).hexdigest()
    inspect_slide(slide, **LIMITS | {"sha256": right.upper()})
    with pytest.raises(Quarantine, match=f"E_HASH.*{right[:12]}"):
        inspect_slide(slide, **LIMITS | {"sha256": right[::-1]})


def test_a_slide_that_changes_meanwhile_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter([(1, 1, 1), (1, 2, 1)])
    monkeypatch.setattr(inspection, "stamp", lambda path: next(stamps))
    with pytest.raises(Quarantine, match="E_IO.*changed while it was read"):
        inspect_slide(good(tmp_path / "slide.tif"), **LIMITS)


@pytest.mark.parametrize(
    ("bad", "tiles", "share", "verdict"),
    [
        (0, 0, 0.0, False),
        (0, 130, 0.0, False),
        (1, 130, 0.0, False),  # one is always tolerated
        (2, 130, 0.001, True),
        (2, 2000, 0.001, False),  # 0.1% of 2000 are 2
        (3, 2000, 0.001, True),
        (1, 1, 0.5, True),  # but not when there is no other
        (7, 7, 1.0, True),
    ],
)
def test_how_many_bad_tiles_are_too_many(bad: int, tiles: int, share: float, verdict: bool) -> None:
    assert too_many_bad(bad, tiles, share) is verdict


class TestLargeSlidesOfOneLevel:
    """They are sampled, because a thumbnail would decode them whole."""

    @pytest.fixture(autouse=True)
    def _small_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inspection, "SURVEY_PX", 1000)
        monkeypatch.setattr(inspection, "SAMPLE_TILES", 20)

    def test_a_good_one_passes_without_a_survey(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workflow.lib.slides.slides.SlideReader.survey", None)
        facts = inspect_slide(good(tmp_path / "slide.tif", pyramid=False), **LIMITS)
        assert facts["warnings"] == []

    def test_damage_is_met(self, tmp_path: Path) -> None:
        slide = damage_tiles(good(tmp_path / "slide.tif", pyramid=False))
        with pytest.raises(Quarantine, match="E_TILE.*20 of 20 tried"):
            inspect_slide(slide, **LIMITS)

    def test_a_few_stored_tiles_are_found_before_it_is_called_empty(self, tmp_path: Path) -> None:
        slide = good(tmp_path / "slide.tif", pyramid=False)
        most = [tile for tile in range(35) if tile != 4]
        facts = inspect_slide(drop_tiles(slide, tiles=most), **LIMITS)
        assert "of the slide stores no pixels" in facts["warnings"][0]
        with pytest.raises(Quarantine, match="E_NO_PIXELS"):
            inspect_slide(drop_tiles(slide), **LIMITS)


def test_every_level_is_tried(tmp_path: Path) -> None:
    slide = good(tmp_path / "slide.tif")
    damage_tiles(damage_tiles(slide, level=1), level=2)
    with pytest.raises(Quarantine, match="E_TILE.*2 of 38 tried"):  # 35 and one of each level
        inspect_slide(slide, **LIMITS)
