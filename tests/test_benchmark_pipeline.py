"""The benchmark of growing slides: the slides are those it says, and its numbers hang together."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks import growing_slides, peer, pipeline
from tests.lib.mutators import good
from workflow.lib.slides.slides import open_reader
from workflow.lib.slides.tiled_tiffs import read_directly

FILE = Path(pipeline.__file__)


def test_a_slide_is_its_block_repeated_at_every_level(tmp_path):
    block = np.zeros((2048, 2048, 3), np.uint8)
    block[:1024, :1024], block[1024:] = (210, 120, 170), (90, 60, 140)
    growing_slides.write_slide(tmp_path / "slide.tif", block, 4000)
    with open_reader(tmp_path / "slide.tif", through=read_directly) as reader:
        assert reader.backend == "libjpeg-turbo" and reader.mpp == pytest.approx(growing_slides.MPP)
        sides = [(level.height, level.width) for level in reader.levels]
        assert sides == [(4000, 4000), (1000, 1000), (250, 250)]
        wanted = np.tile(block[::16, ::16], (2, 2, 1))[:250, :250]
        for level, step in ((0, 16), (1, 4), (2, 1)):
            found = reader.read((0, 0), sides[level], level)[::step, ::step]
            apart = abs(found.astype(int) - wanted)
            assert np.median(apart, (0, 1)).max() <= 3 and apart.mean() < 3


def test_half_of_what_is_drawn_is_tissue():
    coloured = np.ptp(growing_slides.draw_block().astype(int), axis=2) > 40
    assert 0.45 < coloured.mean() < 0.55


def test_slopes_are_by_area():
    cost, ways = pipeline.Cost, (*pipeline.STAGES, pipeline.WHOLE, pipeline.PEER)
    found = {(stage, side): [cost(3.0, 2.0, 300.0)] for stage in ways for side in (100, 200)}
    found |= {("tiles", 100): 5, ("tiles", 200): 20}
    found["tile_slide", 200] = [cost(9.0, 16.0, 350.0), cost(8.0, 17.0, 400), cost(9.5, 12.0, 1)]
    found[pipeline.PEER, 100] = [cost(6.0, 8.0, 900.0)]
    rows = {row[:2]: row[2:] for row in pipeline.rows(found, [100, 200])}
    assert rows["tile_slide", "100"] == ("5", "3.00", "", "2.00", "", "", "300", "", "")
    seconds = ("9.00", "8.00-9.50", "16.00", "12.00-17.00")
    assert rows["tile_slide", "200"] == ("20", *seconds, "1.50", "400", "", "")  # 8 = 4^1.5
    assert rows["make_cams", "200"] == ("20", "3.00", "", "2.00", "", "0.00", "300", "", "")
    assert rows[pipeline.WHOLE, "100"][-2:] == ("2.00", "4.00")
    assert rows[pipeline.PEER, "100"][-2:] == ("", "")


def test_what_leads_to_features_is_added_up_round_by_round():
    first, second = (
        [pipeline.Cost(1, 2, 30), pipeline.Cost(3, 4, 10)],
        [pipeline.Cost(5, 6, 20)] * 2,
    )
    assert pipeline.add(iter([first, second])) == [(6, 8, 30), (8, 10, 20)]


def test_the_peer_encodes_the_pixels_of_its_tiles(tmp_path):
    growing_slides.write_slide(tmp_path / "slide.tif", growing_slides.draw_block(), 2048)
    origins = np.array([[0, 0], [900, 1100], [1000, 256]])

    def encoder(tiles):
        return tiles.mean((2, 3))

    for px0, px in ((256, 128), (128, 128)):
        how = {"tile_px": px, "side_px0": px0, "batch": 2}
        found = peer.encode_slide(tmp_path / "slide.tif", origins, encoder, **how)
        peer.write_features(tmp_path / "f.h5", found, 3)
        with h5py.File(tmp_path / "f.h5") as written, open_reader(tmp_path / "slide.tif") as reader:
            wanted = [reader.read((y, x), (px0, px0)).mean((0, 1)) / 255 for y, x in origins]
            assert written["features"][:] == pytest.approx(np.array(wanted), abs=0.01)


def test_a_slide_that_is_too_small_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"a\.tif is smaller than 2,048 x 2,048 px"):
        growing_slides.read_block(good(tmp_path / "a.tif"))


def test_a_stage_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)check_slide ended with 1:.*study\.yaml"):
        pipeline.measure(tmp_path, "check_slide", 1)


@pytest.mark.slow
def test_every_stage_has_its_seconds_and_its_memory():
    command = [sys.executable, FILE, "--sides", "2048", "4096", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *lines = [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]
    assert tuple(head) == pipeline.HEAD
    ways = (*pipeline.STAGES, pipeline.WHOLE, pipeline.PEER)
    assert [line[:2] for line in lines] == [
        [way, side] for way in ways for side in ("2,048", "4,096")
    ]
    tiles = {int(line[2]) for line in lines}
    assert len(tiles) == 2 and 0 < 3 * min(tiles) < max(tiles) <= 16 * 16
    for line in lines:
        numbers = [float(cell.replace(",", "")) for cell in line[3:]]
        assert min(numbers[:2]) > 0 and max(numbers) > 50  # seconds, MB
