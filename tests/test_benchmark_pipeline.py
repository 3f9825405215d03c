"""The benchmark of growing slides: the slides are those it says, and its numbers hang together."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pipeline
from tests.lib.mutators import good
from workflow.lib.slides.slides import open_reader
from workflow.lib.slides.tiled_tiffs import read_directly

FILE = Path(pipeline.__file__)


def test_a_slide_is_its_block_repeated_at_every_level(tmp_path):
    block = np.zeros((2048, 2048, 3), np.uint8)
    block[:1024, :1024], block[1024:] = (210, 120, 170), (90, 60, 140)
    pipeline.write_slide(tmp_path / "slide.tif", block, 4000)
    with open_reader(tmp_path / "slide.tif", through=read_directly) as reader:
        assert reader.backend == "libjpeg-turbo" and reader.mpp == pytest.approx(pipeline.MPP)
        sides = [(level.height, level.width) for level in reader.levels]
        assert sides == [(4000, 4000), (1000, 1000), (250, 250)]
        wanted = np.tile(block[::16, ::16], (2, 2, 1))[:250, :250]
        for level, step in ((0, 16), (1, 4), (2, 1)):
            found = reader.read((0, 0), sides[level], level)[::step, ::step]
            apart = abs(found.astype(int) - wanted)
            assert np.median(apart, (0, 1)).max() <= 3 and apart.mean() < 3


def test_half_of_what_is_drawn_is_tissue():
    coloured = np.ptp(pipeline.draw_block().astype(int), axis=2) > 40
    assert 0.45 < coloured.mean() < 0.55


def test_slopes_are_by_area():
    found = {(stage, side): (2.0, 300.0) for stage in pipeline.STAGES for side in (100, 200)}
    found |= {("tiles", 100): 5, ("tiles", 200): 20, ("tile_slide", 200): (16.0, 400.0)}
    rows = {row[:2]: row[2:] for row in pipeline.rows(found, [100, 200])}
    assert rows["tile_slide", "100"] == ("5", "2.00", "", "300")
    assert rows["tile_slide", "200"] == ("20", "16.00", "1.50", "400")  # 8 = 4^1.5
    assert rows["make_cams", "200"] == ("20", "2.00", "0.00", "300")


def test_a_slide_that_is_too_small_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"a\.tif is smaller than 2,048 x 2,048 px"):
        pipeline.read_block(good(tmp_path / "a.tif"))


def test_a_stage_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)check_slide ended with 1:.*study\.yaml"):
        pipeline.measure(tmp_path, "check_slide", 1)


@pytest.mark.slow
def test_every_stage_has_its_seconds_and_its_memory():
    command = [sys.executable, FILE, "--sides", "2048", "4096"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *lines = [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]
    assert tuple(head) == pipeline.HEAD
    assert [line[:2] for line in lines] == [
        [stage, side] for stage in pipeline.STAGES for side in ("2,048", "4,096")
    ]
    tiles = {int(line[2]) for line in lines}
    assert len(tiles) == 2 and 0 < 3 * min(tiles) < max(tiles) <= 16 * 16
    for line in lines:
        assert float(line[3]) > 0 and float(line[-1].replace(",", "")) > 50
