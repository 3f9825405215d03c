import logging
from pathlib import Path

import pytest

from tests.lib.mutators import aperio, empty, good, rename
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.units import manifest
from workflow.scripts.check_slide import check_slide

SETTINGS = {
    "check_timeout_s": 60.0,
    "check_memory_mb": 2048,
    "max_side_px0": 500_000,
    "mpp_min": 0.05,
    "mpp_max": 20.0,
    "max_bad_tiles": 0.001,
    "allow_fluorescence": False,
}


def shard_of(*slides: Slide) -> Shard:
    recipe = {"rule": "check_slide", "settings": SETTINGS, "slides": {}}
    return Shard("all", list(slides), recipe)


def test_one_bad_slide_is_named_and_the_others_are_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    slides = {}
    for name in ("plain", "broken", "renamed", "nompp"):
        (tmp_path / name).mkdir()
        slides[name] = good(tmp_path / name / "slide.tif", mpp=None if name == "nompp" else 0.5)
    empty(slides["broken"])
    slides["renamed"] = rename(aperio(slides["renamed"]), name="slide.png")
    index = tmp_path / "checks" / "all.json"
    shard = shard_of(
        *(
            Slide(slide=name, path=path, patient=name, mpp=0.4 if name == "nompp" else None)
            for name, path in slides.items()
        )
    )

    check_slide(index, shard=shard, scratch=None, **SETTINGS)

    found = {name: manifest(index.parent / name) for name in slides}
    assert {name: each["verdict"] for name, each in found.items()} == {
        "plain": "ok",
        "broken": "E_EMPTY",
        "renamed": "ok",
        "nompp": "ok",
    }
    assert found["plain"]["facts"]["levels"][1] == {"width": 210, "height": 150, "downsample": 2}
    assert found["nompp"]["facts"]["mpp_source"] == "sheet"
    assert found["broken"]["sentence"] == "slide.tif: the file is empty (0 bytes)."
    assert "broken is put aside. The file holds no bytes: copy the slide again" in caplog.text
    assert "renamed: The content is aperio, whatever the name slide.png says." in caplog.text
    assert "plain: 420 x 300 px at 0.5 um, levels: 4." in caplog.text
