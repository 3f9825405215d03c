"""What masks say of tiles: of every slide, those that are tested too."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.scripts.bagged import SLIDES, build, mark
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import open_group


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    return root, build(root)


def labels_of(folder, slide):
    return open_group(folder / slide / "tile_labels.zarr")["labels"][:].tolist()


def test_tiles_are_labelled_by_masks(study, caplog):
    root, slides = study
    folder = mark(root, slides)
    # of nine tiles the first three are marked, of which the second cannot be read
    assert labels_of(folder, "t4") == [1, -1, 1, 0, 0, 0, 0, 0, 0]
    assert labels_of(folder, "n1") == [0, -1, *[0] * 10]
    assert labels_of(folder, "one") == [1]
    assert "Nothing is learnt from the tiles of t2: it has no mask." in caplog.text
    assert labels_of(folder, "t2") == [-1] * 9
    used = {name: manifest(folder / name)["facts"].get("mask") for name in SLIDES}
    assert [name for name, mask in used.items() if mask] == ["t1", "t3", "t4", "one"]
    counted = manifest(folder / "t4")["facts"]["labelled"]
    assert counted == {"normal": 6, "tumour": 2}
    assert manifest(folder / "lost")["verdict"] == "E_TILE"


def test_a_mask_that_cannot_be_used_is_named(study, tmp_path, caplog):
    root, slides = shutil.copytree(study[0], tmp_path / "study"), study[1]
    shutil.rmtree(root / "tile_labels", ignore_errors=True)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    slides = [replace(s, mask=broken) if s.slide == "t1" else s for s in slides]
    folder = mark(root, slides)
    assert "Nothing is learnt from the tiles of t1: broken.png is not a readable" in caplog.text
    assert set(labels_of(folder, "t1")) == {-1}


def test_a_mask_that_marks_no_tile_is_named(study, tmp_path, caplog):
    root, slides = shutil.copytree(study[0], tmp_path / "study"), study[1]
    shutil.rmtree(root / "tile_labels", ignore_errors=True)
    other = tmp_path / "wrong-level.png"
    Image.fromarray(np.zeros((4, 48), np.uint8)).save(other)
    slides = [replace(s, mask=other) if s.slide == "t1" else s for s in slides]
    folder = mark(root, slides)
    said = [message for message in caplog.messages if "makes no tile" in message]
    assert said == [
        "t1: wrong-level.png makes no tile of it tumour; check that the mask is of this slide and"
        " in pixels of its full resolution, and that annotated_share is not more than it marks."
    ]
    assert labels_of(folder, "t1") == [-1 if bad else 0 for bad in np.arange(12) == 1]
