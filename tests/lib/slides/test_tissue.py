"""The tissue mask: what a pathologist would outline, and nothing on an empty slide."""

from pathlib import Path

import numpy as np
import pytest

from workflow.lib.slides.slides import open_reader
from workflow.lib.slides.tissue import mask_tissue

DATA = Path(__file__).parents[3] / "../shared/data"
SETTINGS = {
    "mask_mpp": 8.0,
    "min_area_um2": 10_000.0,
    "close_um": 40.0,
    "saturation_floor": 0.05,
}
GLASS, EOSIN, BLUE_INK, GREEN_INK = (244, 243, 246), (200, 110, 165), (40, 70, 180), (40, 140, 70)
Y, X = np.mgrid[:160, :200]


def glass(colour: tuple[int, int, int] = GLASS, noise: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = np.array(colour) + rng.normal(0, noise, (*Y.shape, 3))
    return picture.clip(0, 255).round().astype(np.uint8)


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return (Y - y) ** 2 + (X - x) ** 2 < radius**2


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return (mask & truth).sum() / (mask | truth).sum()


def test_tissue_on_glass_is_found_to_the_pixel():
    picture, truth = glass(), disc(80, 90, 50)
    picture[truth] = EOSIN

    mask = mask_tissue(picture, **SETTINGS)

    assert mask.shape == truth.shape
    assert mask.dtype == bool
    assert overlap(mask, truth) > 0.98


def test_a_small_biopsy_on_a_large_slide_is_found():
    picture, truth = glass(), disc(80, 90, 8)
    picture[truth] = EOSIN
    assert overlap(mask_tissue(picture, **SETTINGS), truth) > 0.9


@pytest.mark.parametrize("colour", [(255, 255, 255), GLASS, (236, 214, 226), (200, 200, 200)])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_an_empty_slide_has_no_tissue_however_it_is_tinted(colour, noise):
    assert not mask_tissue(glass(colour, noise), **SETTINGS).any()


def test_an_image_without_glass_is_tissue_all_over_lumens_included():
    picture = glass((190, 80, 160), 12.0)
    picture[disc(50, 50, 30)] = (120, 60, 150)
    picture[disc(100, 140, 6)] = (240, 232, 238)
    assert mask_tissue(picture, **SETTINGS).all()


def test_pale_stroma_counts_beside_a_strong_stain():
    picture, stroma, gland = glass(), disc(80, 90, 60), disc(80, 90, 40)
    picture[stroma] = (235, 190, 215)  # saturation 0.19
    picture[gland] = (110, 40, 120)
    assert overlap(mask_tissue(picture, **SETTINGS), stroma) > 0.97


def test_tinted_glass_beside_tissue_is_still_glass():
    picture, tissue = glass((236, 212, 225)), disc(80, 90, 50)  # saturation 0.10
    picture[tissue] = EOSIN
    assert overlap(mask_tissue(picture, **SETTINGS), tissue) > 0.97


def test_pale_tissue_of_many_shades_is_not_glass_beside_dark_glands():
    picture, gland = glass((240, 225, 234), 3.0), disc(80, 90, 40)
    picture[..., 1] -= (X // 6).astype(np.uint8)  # saturation 0.06 to 0.20
    picture[gland] = (110, 40, 120)
    assert mask_tissue(picture, **SETTINGS).mean() > 0.95


def test_pale_tissue_below_the_floor_is_glass():
    picture, truth = glass((250, 250, 250), 0), disc(80, 90, 50)
    picture[truth] = (240, 218, 230)  # saturation 0.09
    assert overlap(mask_tissue(picture, **SETTINGS), truth) > 0.95
    assert not mask_tissue(picture, **SETTINGS | {"saturation_floor": 0.12}).any()


def test_black_borders_and_padding_are_not_tissue():
    picture, truth = glass(), disc(80, 90, 40)
    picture[truth] = EOSIN
    picture[:, 180:] = (3, 0, 2)
    picture[:12] = 0
    mask = mask_tissue(picture, **SETTINGS)
    assert overlap(mask, truth) > 0.98
    assert not mask[:, 180:].any()
    assert not mask_tissue(np.zeros_like(picture), **SETTINGS).any()


@pytest.mark.parametrize("ink", [BLUE_INK, GREEN_INK, (30, 28, 34)])
def test_pen_strokes_are_not_tissue_with_their_pale_border(ink):
    picture, tissue = glass(), disc(80, 60, 40)
    picture[tissue] = EOSIN
    for width, share in ((9, 0.4), (6, 1.0)):  # a pale fringe around the stroke
        stroke = abs(X - 140 - 10 * np.sin(Y / 20)) < width
        picture[stroke] = np.array(ink) * share + np.array(GLASS) * (1 - share)
    mask = mask_tissue(picture, **SETTINGS)
    assert overlap(mask, tissue) > 0.97


def test_tissue_under_a_stroke_is_left_out_and_beside_it_kept():
    picture, tissue = glass(), disc(80, 90, 50)
    picture[tissue] = EOSIN
    stroke = abs(Y - 80) < 5
    picture[stroke] = GREEN_INK
    mask = mask_tissue(picture, **SETTINGS)
    assert not mask[stroke].any()
    assert overlap(mask, tissue & ~stroke) > 0.95


def test_dark_dab_nuclei_are_no_ink_and_pale_haematoxylin_is_no_pen():
    picture, tissue = glass(), disc(80, 90, 50)
    picture[tissue] = (165, 180, 205)
    rng = np.random.default_rng(1)
    nuclei = tissue & (rng.random(tissue.shape) < 0.08)
    picture[nuclei] = (35, 28, 30)
    assert overlap(mask_tissue(picture, **SETTINGS), tissue) > 0.97


def test_specks_are_dropped_and_small_holes_filled_by_area():
    picture = glass(noise=0)
    tissue, hole, slit = disc(80, 90, 60), disc(80, 90, 5), (abs(X - 60) < 2) & (abs(Y - 80) < 30)
    picture[tissue & ~hole & ~slit] = EOSIN
    picture[disc(20, 180, 5)] = EOSIN  # 5 px are 40 um: 5,000 um2
    picture[disc(140, 180, 10)] = EOSIN  # 20,000 um2
    mask = mask_tissue(picture, **SETTINGS)
    assert not mask[disc(20, 180, 6)].any()
    assert mask[disc(140, 180, 8)].all()
    assert mask[hole].all()
    assert mask[slit].all()  # 24 um wide: closed
    opened = mask_tissue(picture, **SETTINGS | {"close_um": 0.0, "min_area_um2": 1000.0})
    assert not opened[disc(80, 90, 4) | (slit & (abs(Y - 80) < 29))].any()
    assert opened[disc(20, 180, 4)].all()


def test_a_picture_smaller_than_the_smallest_piece_can_be_tissue():
    assert mask_tissue(np.full((8, 8, 3), EOSIN, np.uint8), **SETTINGS).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (2, 2, 3)])
def test_tiny_thumbnails_work(shape):
    assert not mask_tissue(np.full(shape, 250, np.uint8), **SETTINGS).any()
    assert mask_tissue(np.full(shape, EOSIN, np.uint8), **SETTINGS).all()


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match=r"\(160, 200\)"):
        mask_tissue(glass()[..., 0], **SETTINGS)
    with pytest.raises(ValueError, match="float"):
        mask_tissue(glass() / 255.0, **SETTINGS)


@pytest.mark.parametrize(
    ("file", "mpp", "least", "most"),
    [
        ("slides/CMU-1-Small-Region.svs", None, 0.30, 0.40),
        ("slides/OS-1-detail.ome.tif", None, 1.0, 1.0),
        ("slides/OS-2-ndpi.ome.tif", None, 0.65, 0.85),
        ("slides/camelyon_jpeg.dcm", None, 0.17, 0.28),
        ("glas/images/train_1.png", 0.62, 0.99, 1.0),  # no glass at all
        ("glas/images/train_56.png", 0.62, 0.85, 1.0),  # pale stroma beside dark glands
        ("glas/images/train_67.png", 0.62, 0.30, 0.42),  # two thirds are glass
    ],
)
def test_real_slides(file, mpp, least, most):
    if not (DATA / file).is_file():
        pytest.skip(f"the real slide {file} is not here")
    with open_reader(DATA / file, mpp=mpp) as reader:
        side = max(reader.width_px0, reader.height_px0)
        thumbnail = reader.thumbnail(round(side * reader.mpp / SETTINGS["mask_mpp"]))
        found_mpp = reader.mpp * side / max(thumbnail.shape)
    mask = mask_tissue(thumbnail, **SETTINGS | {"mask_mpp": found_mpp})
    assert least <= mask.mean() <= most
