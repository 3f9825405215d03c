"""Explanations of a study on disk: of tested tiles only, chosen without labels, drawn to files."""

import shutil

import numpy as np
import pytest
import zarr
from PIL import Image

from tests.scripts import cohort
from tests.scripts.conftest import COMPUTE
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import open_group
from workflow.scripts.explain_tiles import explain_tiles

PAGES = ["activations.png", "class0.png", "class1.png", "filters.png"]


def explain(study, **changes):
    """The folder of the explanations of fold 0."""
    settings = {"cam_scale": "softmax", "most_certain": 1, "least_certain": 1, "named": []}
    settings |= {"occlusion_px": 64, "channels": 2, "tiles_per_channel": 2, "max_tiles": 10}
    settings |= {"seed": 0} | changes
    index = study.root / "explanations" / "fold0.json"
    explain_tiles(
        [study.tiles],
        study.splits,
        study.classifier,
        [study.cams],
        index,
        shard=cohort.shard("explain_tiles", **settings),
        fold=0,
        **settings,
        **COMPUTE,
    )
    return index.with_suffix("")


def probabilities(study, slide):
    logits = open_group(study.cams.parent / slide / "cams.zarr")["logits"][:].astype(float)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def explained(finished, tmp_path_factory):
    study = finished.copy(tmp_path_factory.mktemp("explained") / "study")
    return study, explain(study, named=["p3:4", "n3:70,10"])


def test_the_tiles_are_of_tested_slides_and_the_surest_of_their_class(explained):
    study, folder = explained
    tested = {slide: probabilities(study, slide) for slide in ("n3", "p3")}
    rows = read_table(folder / "tiles.tsv")
    assert {row["slide"] for row in rows} <= set(tested)
    for row in rows:
        own = tested[row["slide"]][int(row["tile"])]
        of = int(own.argmax())
        assert row["class"] == cohort.CLASSES[of]
        assert row["label"] == cohort.label(row["slide"])
        assert float(row["probability"]) == pytest.approx(own[of], rel=1e-4)
        assert (int(row["x"]), int(row["y"])) == (int(row["tile"]) * cohort.TILE_PX, 0)
        called = np.concatenate([p[p.argmax(axis=1) == of, of] for p in tested.values()])
        if row["why"] == "most certain":
            assert own[of] == called.max()
        if row["why"] == "least certain":
            assert own[of] == called.min()
    shown = {(row["slide"], row["tile"]) for row in rows}
    assert len(shown) == len(rows) and {("p3", "4"), ("n3", "1")} <= shown


def test_a_page_per_class_and_two_of_the_network_are_written(explained):
    _, folder = explained
    assert sorted(file.name for file in folder.glob("*.png")) == PAGES
    facts, rows = manifest(folder)["facts"], read_table(folder / "tiles.tsv")
    assert (facts["classes"], facts["explained"]) == (cohort.CLASSES, len(rows))
    # the unreadable tile is of a training slide, and the slide without tiles is tested
    assert (facts["n_tiles"], facts["n_slides"], facts["channels"]) == (10, 3, 2)
    pages = [np.asarray(Image.open(folder / f"class{of}.png")) for of in (0, 1)]
    heights = [sum(row["class"] == name for row in rows) for name in cohort.CLASSES]
    for page, count in zip(pages, heights, strict=True):
        assert page.shape[0] > 190 * count
    assert sum(page.shape[0] > 250 for page in pages) == sum(count > 0 for count in heights)


def test_labels_choose_nothing_and_the_same_bytes_come_again(explained, tmp_path):
    study, folder = explained
    copy = study.copy(tmp_path / "copy")
    shutil.rmtree(copy.root / "explanations")
    again = explain(copy, named=["p3:4", "n3:70,10"])
    assert manifest(again)["files"] == manifest(folder)["files"]
    rows = read_table(copy.splits)
    swapped = {"normal": "tumour", "tumour": "normal"}
    write_table(copy.splits, rows[0], [row | {"label": swapped[row["label"]]} for row in rows])
    other = read_table(explain(copy, named=["p3:4", "n3:70,10"]) / "tiles.tsv")
    before = read_table(folder / "tiles.tsv")
    assert [row | {"label": swapped[row["label"]]} for row in other] == before


def test_a_slide_that_no_fold_tests_is_refused(study):
    with pytest.raises(ValueError, match=r"named: p1 is tested in no fold, so that every"):
        explain(study, named=["p1:0"])


def test_a_named_tile_that_is_not_there_is_refused(study):
    with pytest.raises(ValueError, match=r"named: p3 has 5 tiles.* none is number 5"):
        explain(study, named=["p3:5"])


def test_a_named_tile_that_cannot_be_read_is_said_and_left_out(study, caplog):
    open_bad(study, "p3", 2)
    folder = explain(study, most_certain=0, least_certain=0, named=["p3:2", "p3:3"])
    assert [row["tile"] for row in read_table(folder / "tiles.tsv")] == ["3"]
    assert "Tile 2 of p3 cannot be read and is not explained." in caplog.text


def test_a_named_slide_that_was_put_aside_is_said(study, caplog):
    rows = read_table(study.splits)
    write_table(study.splits, rows[0], [row | {"split": "test"} for row in rows])
    folder = explain(study, most_certain=0, least_certain=0, named=["quarantined:0", "n1:0"])
    assert [row["slide"] for row in read_table(folder / "tiles.tsv")] == ["n1"]
    assert "quarantined was put aside, so that no tile of it is explained." in caplog.text


def open_bad(study, slide, tile):
    """Mark a tile of a store as one that could not be read."""
    group = zarr.open_group(str(study.tiles.parent / slide / "tiles.zarr"), mode="r+")
    bad = group["bad"][:]
    bad[tile] = 1
    group["bad"][:] = bad


def test_tiles_of_another_size_are_refused_with_the_slide_named(study):
    folder = study.classifier.with_suffix("")
    record = (folder / "model.json").read_text()
    (folder / "model.json").write_text(record.replace('"tile_px": 64', '"tile_px": 224'))
    with pytest.raises(ValueError, match=r"resnet18 \(empty\) takes tiles of 224 px, .* have 64"):
        explain(study)


def test_without_a_tile_there_are_sentences(study):
    rows = [row | {"split": "val"} for row in read_table(study.splits) if row["slide"] != "empty"]
    empty = [row for row in read_table(study.splits) if row["slide"] == "empty"]
    write_table(study.splits, rows[0], rows + empty)
    folder = explain(study)
    facts = manifest(folder)["facts"]
    assert (facts["explained"], facts["n_tiles"], facts["channels"]) == (0, 0, 0)
    assert read_table(folder / "tiles.tsv") == []
    assert np.asarray(Image.open(folder / "class0.png")).shape[0] < 150
