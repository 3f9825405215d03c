"""A study by numbers: what is listed, and tiles of every layer by hand-computed values."""

import gzip
import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.viewed import SQUARE, make_viewed
from workflow.lib.cohort.sheet import read_slides
from workflow.lib.report.colours import OKABE_ITO, probability_colours
from workflow.lib.report.montage import cluster_colours
from workflow.lib.slides.slides import open_reader
from workflow.lib.viewer.studies import ViewedStudy


@pytest.fixture(scope="module")
def viewed(tmp_path_factory):
    results, sheet = make_viewed(tmp_path_factory.mktemp("viewed"))
    study = ViewedStudy(results, read_slides(sheet, labelled=True))
    yield study
    study.close()


def decode(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def tile(study, title, level, row, column, slide=1, group=None):
    layers = study.describe_slide(slide)["layers"]
    number = next(
        n
        for n, about in enumerate(layers)
        if about["title"] == title and group in (None, about["group"])
    )
    return decode(study.layer_tile(slide, number, level, row, column))


def test_what_the_page_is_told(viewed):
    rows = viewed.describe()["slides"]
    assert [row["slide"] for row in rows] == ["s01", "s02"] and rows[1]["label"] == "tumour"
    about = viewed.describe_slide(1)
    assert (about["height"], about["width"], about["mpp"]) == (1024, 1024, 0.5)
    assert about["tiles"] == {"width": 1024, "height": 1024, "first": 9, "last": 10, "step": 1}
    assert about["fault"] == ""
    named = [(layer["group"], layer["title"]) for layer in about["layers"]]
    assert named == [
        ("tissue", "tissue"),
        ("maps", "clusters (kmeans)"),
        ("truth", "truth"),
        ("heatmaps", "CAM, unrefined"),
        ("polygons", "CAM, unrefined"),
        ("raw cams", "LayerCAM"),
    ]
    assert [layer["ramp"] for layer in about["layers"]] == [None] * 3 + ["tumour", None, "tumour"]
    assert [layer["title"] for layer in viewed.describe_slide(0)["layers"]] == ["tissue", "truth"]


def test_tiles_of_the_slide_are_its_pixels(viewed):
    shown = decode(viewed.slide_tile(1, 10, 1, 0))[..., :3]
    with open_reader(viewed.slides[1].path) as reader:
        pixels = reader.read((511, 0), (513, 513))
    assert shown.shape == (513, 513, 3) and abs(shown.astype(int) - pixels).mean() < 3
    assert decode(viewed.slide_tile(1, 9, 0, 0)).shape == (512, 512, 4)
    assert decode(viewed.small_picture(1)).shape == (96, 96, 4)


def test_tissue_is_the_left_half(viewed):
    shown = tile(viewed, "tissue", 9, 0, 0)
    assert (shown[:, :256] == (*OKABE_ITO[2], 255)).all() and (shown[:, 256:, 3] == 0).all()


def test_clusters_are_squares_of_256_px0(viewed):
    """Layer pixels are 16 level-0 px wide: a tile is 16 of them, and tile n is in cluster n % 3."""
    about = viewed.describe_slide(1)["layers"][1]
    assert about["tiles"]["step"] == 16 and [name for name, _ in about["legend"]] == ["0", "1", "2"]
    shown = tile(viewed, "clusters (kmeans)", 6, 0, 0)
    colours = np.array(cluster_colours(3))
    wanted = colours[np.arange(16) % 3].reshape(4, 4, 3).repeat(16, 0).repeat(16, 1)
    assert (shown[..., :3] == wanted).all() and (shown[..., 3] == 255).all()


def test_heatmaps_and_raw_evidence_are_coloured_by_probability(viewed):
    shown = tile(viewed, "CAM, unrefined", 8, 0, 0, group="heatmaps")
    assert shown[0, 0].tolist() == [*probability_colours(np.array(1.0)).tolist(), 255]
    half = probability_colours(np.array(128 / 255)).tolist()
    assert shown[255, 0, :3].tolist() == half
    # 3 lies midway between the lowest evidence, 2, and the highest, 4.
    assert (tile(viewed, "LayerCAM", 4, 0, 0)[..., :3] == half).all()


def test_polygons_are_those_of_the_study(viewed):
    shapes = json.loads(gzip.decompress(viewed.shapes(1, 4)))
    assert shapes["features"][0]["geometry"]["coordinates"] == [SQUARE]


def test_the_truth_is_outlined(viewed):
    features = json.loads(gzip.decompress(viewed.shapes(1, 2)))["features"]
    mask = cv2.imread(str(viewed.slides[1].mask), cv2.IMREAD_GRAYSCALE) > 0
    drawn = np.zeros((1024, 1024), np.uint8)
    rings = [np.array(f["geometry"]["coordinates"][0]).astype(np.int32) for f in features]
    cv2.fillPoly(drawn, rings, 1)
    assert abs(drawn.mean() - mask.mean()) < 0.01 * mask.mean() + 0.002
    assert json.loads(gzip.decompress(viewed.shapes(0, 1)))["features"] == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.describe_slide(2),
        lambda s: s.small_picture(2),
        lambda s: s.slide_tile(1, 11, 0, 0),
        lambda s: s.layer_tile(1, 6, 0, 0, 0),
        lambda s: s.layer_tile(1, 4, 0, 0, 0),
        lambda s: s.shapes(1, 0),
    ],
)
def test_what_there_is_not(viewed, ask):
    with pytest.raises(LookupError, match=r"there (is|are) no|has no"):
        ask(viewed)


def test_a_slide_in_object_storage_is_shown_by_its_thumbnail(tmp_path):
    results, sheet = make_viewed(tmp_path)
    sheet.write_text(sheet.read_text().replace("slides/s02.tif", "s3://cohort/s02.tif"))
    study = ViewedStudy(results, read_slides(sheet, labelled=True))
    said = "s02.tif is in object storage. Only its thumbnail is shown."
    assert study.describe_slide(1)["fault"] == said
    assert decode(study.slide_tile(1, 9, 0, 0)).shape[2] == 4


def test_a_slide_that_is_gone_is_shown_by_its_thumbnail(tmp_path):
    results, sheet = make_viewed(tmp_path)
    study = ViewedStudy(results, read_slides(sheet, labelled=True))
    study.slides[1].path.unlink()
    (results / "assignments/kmeans/fold0/s02/manifest.json").write_text("{")
    about = study.describe_slide(1)
    assert "s02.tif: the file cannot be read" in about["fault"]
    assert "Only its thumbnail is shown." in about["fault"]
    assert "clusters cannot be shown" in about["fault"]
    assert [layer["title"] for layer in about["layers"]][:2] == ["tissue", "truth"]
    shown = decode(study.slide_tile(1, 9, 0, 0))[..., :3]
    thumbnail = cv2.imread(str(results / "tissue/s02/thumbnail.jpg"))[..., ::-1]
    reduced = cv2.resize(shown, (256, 256), interpolation=cv2.INTER_AREA)
    assert abs(reduced.astype(int) - thumbnail).mean() < 6
