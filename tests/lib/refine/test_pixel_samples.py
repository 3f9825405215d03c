"""Pixels that are drawn: of both classes alike, evenly over slides, each as likely as any other."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.scripts import cohort
from workflow.lib.refine.pixel_features import describe_pixels
from workflow.lib.refine.pixel_samples import describe_places, draw_pixels, draw_places
from workflow.lib.refine.shares import share_out
from workflow.lib.tiles.stores import Tiles


def test_pixels_of_a_class_are_drawn_once_and_from_all_tiles():
    truths = [(row, np.eye(6) == 1) for row in (3, 5)]
    background, foreground = draw_pixels(truths, 20, np.random.default_rng(0))
    assert len(background) == 20 and len(foreground) == 12  # all that there are
    assert {tuple(place) for place in foreground} == {(r, k, k) for r in (3, 5) for k in range(6)}
    assert len({tuple(place) for place in background}) == 20
    assert all(y != x for _, y, x in background) and set(background[:, 0]) == {3, 5}


def test_every_pixel_is_as_likely_as_any_other():
    rng, seen = np.random.default_rng(0), np.zeros((2, 2, 2))
    for _ in range(400):
        places, _ = draw_pixels([(row, np.zeros((2, 2), bool)) for row in (0, 1)], 2, rng)
        seen[tuple(places.T)] += 1
        assert len(places) == 2
    assert seen.min() > 60 and seen.max() < 140  # 100 expected


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 200))
def test_shares_are_even_as_far_as_slides_have_pixels(there, total):
    given_ = share_out(there, total)
    assert all(share <= has for share, has in zip(given_, there, strict=True))
    assert sum(given_) == min(total, sum(there))
    short = [s for s, has in zip(given_, there, strict=True) if s < has]
    assert not short or max(given_) - min(short) <= 1


def test_a_study_gives_pixels_with_their_truth_and_whose_they_are(tmp_path):
    cohort.build(tmp_path)
    made_of = cohort.masked("train_svm", tmp_path, {"p1": 255, "p2": 7})
    masks = {slide.slide: slide.mask for slide in made_of.slides if slide.slide in ("n1", "p1")}
    (tmp_path / "p2.png").write_bytes(b"no image")
    masks["p2"] = tmp_path / "p2.png"
    drawn, sentences = draw_places(tmp_path / "tiles", masks, 80, np.random.default_rng(0))
    assert sentences[0].startswith("p2 is left out where pixels are learnt: p2.png is not a read")
    counts = {slide: [len(places) for places in both] for slide, both in drawn.items()}
    assert counts == {"n1": [20, 0], "p1": [20, 40]}
    half = cohort.TILE_PX // 2
    assert all(y < half and x < half for _, y, x in drawn["p1"][1])
    assert cohort.UNREADABLE["p1"] not in np.concatenate(drawn["p1"])[:, 0]
    settings = {"illumination_px": 0, "device": torch.device("cpu")}
    pixels = describe_places(tmp_path / "tiles", drawn, {"n1": "A", "p1": "B"}, **settings)
    assert pixels.features.shape == (80, 24) and pixels.truth.sum() == 40
    assert set(pixels.patients[pixels.truth]) == {"B"}
    assert (pixels.patients == "A").sum() == 20
    assert len(np.unique(pixels.tiles)) == 9  # five of n1, four of p1
    store = Tiles(tmp_path / "tiles" / "p1" / "tiles.zarr")
    row, y, x = sorted(map(tuple, np.concatenate(drawn["p1"])))[0]
    tile = torch.from_numpy(store.pixels(row)).permute(2, 0, 1)[None] / 255
    expected = describe_pixels(tile, illumination_px=0)[0, :, y, x]
    assert (pixels.features == expected).all(dim=1).any()
