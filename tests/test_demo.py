"""The embedded cohort: its sheet, its files and whether it is worth learning from."""

import csv
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from demo import draw_cohort
from demo.cohort import MASK_MPP, MPP, PATIENTS, SITES, SPECIMENS, Specimen
from demo.noise import smooth_noise
from demo.stain import Stain
from demo.tissue import plan_tissue
from tests.synthetic import make_cohort, write_slide
from workflow.lib.cohort.sheet import Slide, read_sheet
from workflow.lib.cohort.splits import split_patients

SHEET = Path(__file__).parents[1] / "config/slides.tsv"
CLASSES = ["normal", "tumour"]
SMALL = (1000, 1104)


def rows_of(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def read_level(path: Path, level: int = 0) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        size = slide.level_dimensions[level]
        return np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))


def stained(pixels: np.ndarray) -> np.ndarray:
    """Where there is colour: tissue or ink."""
    return np.ptp(pixels.astype(np.int16), axis=-1) > 25


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# --- the sheet ----------------------------------------------------------------------------------


def test_the_sheet_with_points_differs_by_them_alone():
    """A point in each class on every tumour slide that can be used, and a file for each."""
    pointed = rows_of(SHEET.with_name("slides-points.tsv"))
    files = {row["slide"]: row.pop("points") for row in pointed}
    assert pointed == rows_of(SHEET)
    given = {slide: file for slide, file in files.items() if file}
    assert given == {row["slide"]: f"points/{row['slide']}.tsv" for row in rows_of(SHEET)
                     if row["label"] == "tumour" and row["mpp"] == "" and row["mask"]}  # fmt: skip
    for file in given.values():
        assert {row["class"] for row in rows_of(SHEET.parent / file)} == set(CLASSES)


def test_the_sheet_says_what_is_drawn():
    folder = "../data/demo"
    assert rows_of(SHEET) == [
        {
            "slide": specimen.slide,
            "path": f"{folder}/slides/{specimen.slide}.tif",
            "patient": specimen.patient,
            "label": specimen.label,
            "site": specimen.site,
            "mpp": "",
            "mask": f"{folder}/masks/{specimen.slide}.png" if specimen.usable else "",
        }
        for specimen in SPECIMENS
    ]


def test_only_slides_with_tumour_are_labelled_so():
    for specimen in SPECIMENS:
        assert (specimen.tumour_share > 0) == (specimen.label == "tumour")
        assert specimen.patient in PATIENTS and specimen.site in SITES


def test_every_kind_of_slide_is_there():
    usable = [s for s in SPECIMENS if s.usable]
    assert len({s.patient for s in usable if s.label == "normal"}) >= 4
    assert len({s.patient for s in usable if s.label == "tumour"}) >= 4
    assert {s.site for s in usable if s.label == "normal"} == set(SITES)
    assert {s.site for s in usable if s.label == "tumour"} == set(SITES)
    assert sum(s.ink is not None for s in usable) == 1
    assert sum(s.pieces is None for s in SPECIMENS) == 1
    assert sum(s.truncated for s in SPECIMENS) == 1
    assert sum(not s.scaled for s in SPECIMENS) == 1


@pytest.mark.parametrize("only_usable", [True, False])
def test_three_folds_hold_both_classes_in_every_part(only_usable):
    slides = [
        Slide(slide=s.slide, path=None, patient=s.patient, label=s.label, site=s.site)
        for s in SPECIMENS
        if s.usable or not only_usable
    ]
    usable = {s.slide for s in SPECIMENS if s.usable}
    for seed in range(5):
        placed = split_patients(slides, folds=3, val_fraction=0.25, group_by="patient", seed=seed)
        for fold in range(3):
            for split in ("train", "val", "test"):
                labels = {
                    row.label
                    for row in placed
                    if (row.fold, row.split) == (fold, split) and row.slide in usable
                }
                assert labels == set(CLASSES), f"seed {seed}, fold {fold}, {split}"


# --- the file format ----------------------------------------------------------------------------


def soft_colours(shape: tuple[int, int]) -> np.ndarray:
    """Pixels of all hues without sharp edges, which JPEG keeps."""
    rng = np.random.default_rng(3)
    planes = [128 + 60 * smooth_noise(shape, 90, rng) for _ in range(3)]
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("subsampling", [(2, 2), (1, 1)])
def test_jpeg_slides_show_the_colours_that_were_written(tmp_path, subsampling):
    pixels = soft_colours((600, 700))
    write_slide(tmp_path / "a.tif", pixels, mpp=0.5, subsampling=subsampling)
    off = np.abs(read_level(tmp_path / "a.tif").astype(int) - pixels)
    assert off.mean() < 1.2
    assert off.max() < 16


def test_slides_without_compression_are_lossless(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (301, 517, 3), np.uint8)
    write_slide(tmp_path / "a.tif", pixels, mpp=0.5, tile_px=128, compression=None)
    np.testing.assert_array_equal(read_level(tmp_path / "a.tif"), pixels)


def test_openslide_sees_every_level_and_the_mpp(tmp_path):
    write_slide(tmp_path / "a.tif", soft_colours((1027, 1301)), mpp=0.2525)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_dimensions == ((1301, 1027), (651, 514), (326, 257), (163, 129))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.2525, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.2525, rel=1e-6)
    shrunk = cv2.resize(soft_colours((1027, 1301)), (326, 257), interpolation=cv2.INTER_AREA)
    assert np.abs(read_level(tmp_path / "a.tif", 2).astype(int) - shrunk).mean() < 2


def test_a_slide_may_have_one_level_and_no_mpp(tmp_path):
    write_slide(tmp_path / "a.tif", soft_colours((600, 600)), mpp=None, pyramid=False)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.level_count == 1
        assert "openslide.mpp-x" not in slide.properties


def test_the_same_pixels_give_the_same_bytes_and_leave_nothing_else(tmp_path):
    pixels = soft_colours((600, 600))
    write_slide(tmp_path / "one/a.tif", pixels, mpp=0.5)
    write_slide(tmp_path / "two/a.tif", pixels, mpp=0.5)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["a.tif"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        write_slide(tmp_path / "a.tif", soft_colours((600, 600)), mpp=0.5, tile_px=100)
    assert list(tmp_path.iterdir()) == []


def test_pixels_that_are_no_rgb_image_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.tif: pixels are \(9, 9\) float64; give"):
        write_slide(tmp_path / "a.tif", np.zeros((9, 9)), mpp=0.5)
    with pytest.raises(ValueError, match=r"a\.tif: compression is 'lzw'; give 'jpeg' or None"):
        write_slide(tmp_path / "a.tif", np.zeros((9, 9, 3), np.uint8), mpp=0.5, compression="lzw")


# --- the drawing --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """One small slide of each kind."""
    folder = tmp_path_factory.mktemp("demo")
    kinds = [
        Specimen("tumour", "p06", "tumour", "north", "block", SMALL, 0.5, 0.5),
        Specimen("normal", "p02", "normal", "south", "pair", SMALL, 0.5, ink="green"),
        Specimen("blank", "p01", "normal", "north", None, SMALL),
        Specimen("truncated", "p04", "normal", "south", "cores", SMALL, truncated=True),
        Specimen("unscaled", "p09", "tumour", "north", "block", SMALL, 0.5, 0.5, scaled=False),
    ]
    for specimen in kinds:
        draw_cohort.draw_slide(folder, specimen)
    return folder


def test_nothing_but_slides_and_truth_is_written(small):
    slides = ["blank", "normal", "truncated", "tumour", "unscaled"]
    assert list(digests(small)) == [
        "masks/normal.png",
        "masks/tumour.png",
        *(f"slides/{slide}.tif" for slide in slides),
    ]


@pytest.mark.parametrize("slide", ["tumour", "normal", "blank", "unscaled"])
def test_openslide_reads_the_whole_slides(small, slide):
    with openslide.OpenSlide(small / f"slides/{slide}.tif") as source:
        assert source.properties["openslide.vendor"] == "generic-tiff"
        assert source.level_dimensions == ((1104, 1000), (552, 500), (276, 250), (138, 125))
        mpp = source.properties.get("openslide.mpp-x")
        assert mpp is None if slide == "unscaled" else float(mpp) == pytest.approx(MPP)


def test_the_truncated_file_cannot_be_used(small):
    with pytest.raises(openslide.OpenSlideError):
        read_level(small / "slides/truncated.tif")


def test_tissue_is_pink_and_purple_on_white(small):
    pixels = read_level(small / "slides/tumour.tif")
    tissue = stained(pixels)
    assert 0.25 < tissue.mean() < 0.6
    red, green, blue = pixels[tissue].mean(axis=0)
    assert red > green + 30 and blue > green + 20
    assert pixels[~cv2.dilate(tissue.astype(np.uint8), np.ones((41, 41))).astype(bool)].min() > 30
    assert np.median(pixels[~tissue]) > 225


def test_blank_glass_holds_no_tissue(small):
    assert stained(read_level(small / "slides/blank.tif")).mean() < 0.001


def test_the_pen_left_its_colour(small):
    pixels = read_level(small / "slides/normal.tif").astype(int)
    green = (pixels[..., 1] > pixels[..., 0] + 40) & (pixels[..., 1] > pixels[..., 2] + 15)
    assert 0.005 < green.mean() < 0.2


def test_the_truth_covers_the_tumour_and_nothing_else(small):
    truth = cv2.imread(str(small / "masks/tumour.png"), cv2.IMREAD_UNCHANGED)
    assert truth.dtype == np.uint8 and set(np.unique(truth)) == {0, 1}
    assert truth.shape == tuple(side * MPP / MASK_MPP for side in SMALL)
    tissue = stained(read_level(small / "slides/tumour.tif", 2))
    assert 0.3 < truth.sum() / tissue.sum() < 0.8
    # Lumina are not stained, but little of the truth is bare glass.
    assert tissue[truth > 0].mean() > 0.75
    assert not cv2.imread(str(small / "masks/normal.png"), cv2.IMREAD_UNCHANGED).any()


def test_drawing_again_gives_the_same_bytes(small, tmp_path):
    specimen = Specimen("tumour", "p06", "tumour", "north", "block", SMALL, 0.5, 0.5)
    files = draw_cohort.draw_slide(tmp_path, specimen)
    whole = digests(small)
    assert files == {name: whole[name] for name in ("slides/tumour.tif", "masks/tumour.png")}


@pytest.mark.parametrize("pieces", ["block", "pair", "cores"])
@pytest.mark.parametrize("seed", range(3))
def test_the_plan_keeps_its_shares_and_its_distance_from_the_border(pieces, seed):
    rng = np.random.default_rng(seed)
    plan = plan_tissue((2000, 2400), rng, pieces=pieces, area=0.35, tumour_share=0.5)
    assert plan.tissue.mean() == pytest.approx(0.35, abs=0.01)
    assert plan.tumour.sum() / plan.tissue.sum() == pytest.approx(0.5, abs=0.01)
    assert not (plan.tumour & ~plan.tissue).any()
    frame = np.ones_like(plan.tissue)
    frame[3:-3, 3:-3] = False
    assert not plan.tissue[frame].any()


def test_stains_follow_beer_and_lambert():
    dye, counter = Stain(1.0, 0.0, haematoxylin=2.0, eosin=1.0).transmission()
    np.testing.assert_allclose(dye[100], np.exp([-1.40, -1.32, -0.56]), rtol=1e-6)
    np.testing.assert_allclose(counter[50], np.exp([-0.12, -0.41, -0.26]), rtol=1e-6)
    np.testing.assert_allclose([dye[0], counter[0]], 1)


# --- drawing only what is missing ---------------------------------------------------------------


def test_a_second_run_draws_only_what_is_missing(tmp_path, monkeypatch):
    specimens = [
        Specimen(name, "p01", "normal", "north", None, (304, 304)) for name in ("a", "b", "c")
    ]
    assert draw_cohort.draw_cohort(tmp_path, specimens) == ["a", "b", "c"]
    first = digests(tmp_path)
    assert draw_cohort.draw_cohort(tmp_path, specimens) == []
    assert digests(tmp_path) == first

    os.truncate(tmp_path / "slides/b.tif", 1000)
    (tmp_path / "slides/c.tif").unlink()
    assert draw_cohort.draw_cohort(tmp_path, specimens) == ["b", "c"]
    assert digests(tmp_path) == first

    monkeypatch.setattr(draw_cohort, "drawing_code", lambda: "another drawing")
    assert draw_cohort.draw_cohort(tmp_path, specimens) == ["a", "b", "c"]


# --- small cohorts for tests --------------------------------------------------------------------


def test_a_synthetic_cohort_is_a_cohort(tmp_path):
    sheet = make_cohort(tmp_path, slides=4, side_px=512, patients=2)
    slides = read_sheet(sheet, classes=CLASSES, labels_needed=True)
    assert [(s.slide, s.patient, s.label) for s in slides] == [
        ("s01", "p01", "normal"),
        ("s02", "p02", "tumour"),
        ("s03", "p01", "normal"),
        ("s04", "p02", "tumour"),
    ]
    for slide in slides:
        with openslide.OpenSlide(slide.path) as source:
            assert source.dimensions == (512, 512)
            assert float(source.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        truth = cv2.imread(str(slide.mask), cv2.IMREAD_UNCHANGED)
        assert truth.shape == (128, 128)
        assert truth.any() == (slide.label == "tumour")


def test_the_same_seed_gives_the_same_synthetic_cohort(tmp_path):
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        make_cohort(tmp_path / folder, slides=2, side_px=256, seed=seed)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    other = digests(tmp_path / "three")
    assert all(
        digests(tmp_path / "one")[f"slides/{s}.tif"] != other[f"slides/{s}.tif"]
        for s in ("s01", "s02")
    )


# --- the whole cohort ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    draw_cohort.draw_cohort(folder, SPECIMENS)
    return folder


@pytest.mark.slow
def test_the_cohort_is_the_size_it_should_be(whole):
    assert sum(file.stat().st_size for file in whole.rglob("*.*")) < 60e6


@pytest.mark.slow
def test_colour_does_not_give_the_class_away(whole):
    colours, labels, patients = [], [], []
    for specimen in (s for s in SPECIMENS if s.usable):
        pixels = read_level(whole / f"slides/{specimen.slide}.tif", 1)
        truth = cv2.imread(str(whole / f"masks/{specimen.slide}.png"), cv2.IMREAD_UNCHANGED)
        tissue, tiles = stained(pixels), 0
        for y in range(0, pixels.shape[0] - 127, 128):
            for x in range(0, pixels.shape[1] - 127, 128):
                if tissue[y : y + 128, x : x + 128].mean() < 0.25:
                    continue
                tiles += 1
                colours.append(pixels[y : y + 128, x : x + 128].mean(axis=(0, 1)))
                labels.append(truth[y // 2 : y // 2 + 64, x // 2 : x // 2 + 64].mean() > 0.5)
                patients.append(specimen.patient)
        assert 40 <= tiles <= 90, specimen.slide
    guess = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression()),
        np.array(colours),
        labels,
        groups=patients,
        cv=LeaveOneGroupOut(),
        method="predict_proba",
    )
    assert 0.2 < np.mean(labels) < 0.5
    assert roc_auc_score(labels, guess[:, 1]) < 0.8
