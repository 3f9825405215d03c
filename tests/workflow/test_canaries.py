"""The search for canaries finds them wherever a study could carry them; else it proves nothing."""

import base64
import gzip

import cv2
import h5py
import numpy as np
import openslide
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from tests.synthetic import make_cohort
from tests.workflow.canaries import GREEN, MARK, WORD, find, plant
from workflow.lib.tiles.stores import create_group, write_rows

LETTERS = np.frombuffer(f"{MARK}-patient".encode(), np.uint8)


def png_text(file):
    said = PngImagePlugin.PngInfo()
    said.add_text("Comment", MARK, zip=True)
    Image.new("RGB", (64, 64)).save(file, pnginfo=said)


def green(file):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:30, 20:30] = GREEN[::-1]
    cv2.imwrite(str(file), picture)


def page(file, draw):
    draw(file.with_name("x.png"))
    text = base64.b64encode(file.with_name("x.png").read_bytes()).decode()
    file.with_name("x.png").unlink()
    file.write_text(f'<img src="data:image/png;base64,{text}">')


def hdf5(file):
    with h5py.File(file, "w") as opened:
        opened.create_dataset("a/words", data=[f"{MARK} {i}" for i in range(99)], compression=9)


def hdf5_attribute(file):
    with h5py.File(file, "w") as opened:
        opened.create_dataset("a", data=[1]).attrs["said"] = np.array(MARK, dtype="S99")


def record(file):
    folder = file.parent / ".snakemake/metadata"
    folder.mkdir(parents=True)
    (folder / base64.urlsafe_b64encode(f"results/{MARK}".encode()).decode()).touch()


HIDDEN = {
    "text": lambda file: file.write_text(f"<b>{MARK}</b>"),
    "name of a file": lambda file: file.with_name(f"{MARK}.png").touch(),
    "UTF-16": lambda file: file.write_text(MARK, encoding="utf-16-le"),
    "date of a scan": lambda file: file.write_text("DateTime 1999:09:09 09:09:09"),
    "gzip": lambda file: file.write_bytes(gzip.compress(MARK.encode() * 50)),
    "npz": lambda file: np.savez_compressed(file.with_suffix(".npz"), a=np.tile(LETTERS, 50)),
    "PNG": lambda file: png_text(file.with_suffix(".png")),
    "picture in a page": lambda file: page(file, png_text),
    "HDF5": hdf5,
    "attribute of HDF5": hdf5_attribute,
    "Parquet": lambda file: pq.write_table(
        pa.table({"a": [f"{MARK} {i}" for i in range(9)]}), file
    ),
    "attribute of a store": lambda file: create_group(file, {"user": MARK}),
    "record of Snakemake": record,
    "label, PNG": lambda file: green(file.with_suffix(".png")),
    "label, JPEG": lambda file: green(file.with_suffix(".jpg")),
    "label, WebP": lambda file: green(file.with_suffix(".webp")),
    "label in a page": lambda file: page(file, green),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_canary_is_found(tmp_path, where):
    HIDDEN[where](tmp_path / "x")
    assert find(tmp_path)


def test_arrays_are_unpacked(tmp_path):
    write_rows(create_group(tmp_path / "x"), "a", np.tile(LETTERS, 50))
    assert "x/a/zarr.json holds a canary" in find(tmp_path)


def test_what_holds_none_is_left_alone(tmp_path):
    make_cohort(tmp_path, slides=2, side_px=300)
    write_rows(create_group(tmp_path / "x.zarr"), "a", LETTERS[::-1])
    assert find(tmp_path) == []


def test_slides_carry_what_must_not_leave_them(tmp_path):
    make_cohort(tmp_path, slides=2, side_px=600)
    plant(tmp_path / "slides")
    with openslide.OpenSlide(tmp_path / "slides/s01.tif") as slide:
        assert set(slide.associated_images) == {"thumbnail", "label", "macro"}
        assert slide.properties["aperio.User"] == WORD["operator"]
        assert slide.properties["openslide.mpp-x"] == "0.5"
        assert slide.associated_images["label"].getpixel((50, 30))[:3] == GREEN
    with openslide.OpenSlide(tmp_path / "slides/s02.tif") as slide:
        assert slide.properties["tiff.ImageDescription"] == WORD["patient"]
        assert slide.properties["openslide.vendor"] == "generic-tiff"
    assert find(tmp_path) == [f"slides/s0{number}.tif holds a canary" for number in (1, 2)]
