"""The quality of pseudo-masks of a study on disk, against numbers worked out here."""

import json
import logging
import shutil

import numpy as np
import pytest
import zarr
from PIL import Image
from scipy.special import softmax
from scipy.stats import spearmanr

from tests.scripts import cohort
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import create_group, open_group, write_rows
from workflow.scripts import evaluate_pseudo_masks as script
from workflow.scripts.evaluate_pseudo_masks import evaluate_pseudo_masks

WARNING = "The classifier of fold 0 is too weak to localise from."


@pytest.fixture
def measured(study):
    """The study with tissue on its first two of five tiles, two clusters, and training curves."""

    def draw(slide, folder):
        mask = np.zeros((1, 5), np.uint8)
        mask[:, :2] = 255
        Image.fromarray(mask).save(folder / "tissue.png")

    def assign(slide, folder):
        count = 0 if slide.slide == "empty" else cohort.COUNT
        group = create_group(folder / "assignments.zarr")
        write_rows(group, "assignments", np.arange(count, dtype=np.int32) % 2)

    visit(study.root / "tissue/all.json", cohort.shard("mask_tissue"), draw)
    index = study.root / "assignments/kmeans/fold0/all.json"
    tiles = [study.root / "tiles"]
    visit(index, cohort.shard("assign_clusters"), assign, upstream=tiles)
    note(study, best_epoch=2, warning=None)
    rows = [
        {"epoch": epoch, "split": split, "auroc": auroc}
        for epoch, split, auroc in ((1, "val", 0.5), (2, "train", 0.9), (2, "val", 0.75))
    ]
    write_table(study.classifier.with_suffix("") / "curves.tsv", rows[0], rows)
    return study


def note(study, **facts):
    file = study.classifier.with_suffix("") / "manifest.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"facts": facts}))


def evaluate(study, negative="normal", compared=()):
    table = study.root / "pseudo_masks.tsv"
    evaluate_pseudo_masks(
        [study.tiles],
        [study.root / "tissue/all.json"],
        [study.root / "assignments/kmeans/fold0/all.json"],
        [study.classifier],
        [study.cams],
        [study.cams_by(cam) for cam in compared],
        [study.pseudo_masks],
        study.splits,
        table,
        shard=cohort.shard("evaluate_pseudo_masks"),
        classes=cohort.CLASSES,
        negative=negative,
        cam_scale="minmax",
    )
    return read_table(table)


def test_a_row_is_what_the_files_say(measured):
    (row,) = evaluate(measured)
    facts = manifest(measured.pseudo_masks.parent / "p1")["facts"]
    number = {key: float(text) for key, text in row.items() if text}
    assert (number["fold"], number["slides"]) == (0, 1)  # p1; the other one is quarantined
    for name, fact in (("foreground", "coverage_fg"), ("ignored", "ignored"), ("entropy",) * 2):
        assert number[name] == pytest.approx(facts[fact], rel=1e-5)
    good = np.arange(cohort.COUNT) != cohort.UNREADABLE["p1"]
    seen = manifest(measured.cams.parent / "p1")["facts"]
    cams = {
        name: open_group(measured.cams.parent / name / "cams.zarr")["cams"][:].astype(float)
        for name in ("p1", "n1", "p2", "n2")
    }
    raw = cams["p1"][good, 1]
    evidence = np.clip((raw - seen["low"]) / (seen["high"] - seen["low"]), 0, 1)
    assert number["spread"] == pytest.approx(evidence.std(), rel=1e-3)
    marked = evidence >= 0.6
    outside = np.repeat(~(np.arange(cohort.COUNT) < 2)[good], marked[0].size).reshape(marked.shape)
    assert number["outside_tissue"] == pytest.approx((marked & outside).sum() / marked.sum())
    assert number["outside_by_chance"] == pytest.approx(2 / 4)
    share = {
        name: softmax(maps[good] if name == "p1" else maps, axis=1)[:, 1].mean()
        for name, maps in cams.items()
    }
    assert number["contrast_train"] == pytest.approx(share["p1"] - share["n1"], abs=1e-5)
    assert number["contrast_val"] == pytest.approx(share["p2"] - share["n2"], abs=1e-5)
    assert number["classifier_auroc"] == 0.75


def test_without_a_negative_class_every_training_slide_counts(measured):
    measured.make_pseudo_masks(negative=None)
    (row,) = evaluate(measured, negative=None)
    assert row["slides"] == "2"


def test_what_the_classifier_warned_of_is_said_again(measured, caplog):
    note(measured, best_epoch=2, warning=WARNING)
    with caplog.at_level(logging.WARNING):
        (row,) = evaluate(measured)
    assert row["warning"].startswith(WARNING) and WARNING in caplog.text


def test_a_fold_in_which_nothing_is_marked_is_warned_of(measured, caplog):
    file = measured.pseudo_masks.parent / "p1" / "manifest.json"
    record = json.loads(file.read_text())
    record["facts"]["coverage_fg"] = 0.0
    file.write_text(json.dumps(record))
    with caplog.at_level(logging.WARNING):
        (row,) = evaluate(measured)
    said = "In fold 0 the foreground of 1 of 1 training slides is outside of 0.1% to 90% (0.0%"
    assert said in row["warning"] and said in caplog.text
    assert row["unusual"] == "1"


def test_test_slides_take_no_part(measured):
    before = evaluate(measured)
    for name in ("n3", "p3"):
        file = measured.cams.parent / name / "manifest.json"
        file.write_text("torn")
    assert evaluate(measured) == before


def test_a_slide_is_read_a_shard_at_a_time_and_the_row_is_the_same(measured, monkeypatch):
    """Cams of every slide in shards of two tiles; five are a slide."""
    before = evaluate(measured)
    for name in ("p1", "n1", "p2", "n2"):
        unit = measured.cams.parent / name
        maps, attrs = (group := open_group(unit / "cams.zarr"))["cams"][:], dict(group.attrs)
        shutil.rmtree(unit / "cams.zarr")
        array = create_group(unit / "cams.zarr", attrs).create_array(
            "cams",
            shape=maps.shape,
            chunks=(1, *maps.shape[1:]),
            shards=(2, *maps.shape[1:]),
            dtype=maps.dtype,
        )
        array[:] = maps
    sizes = []

    def watched(maps, axis):
        sizes.append(len(maps))
        return softmax(maps, axis=axis)

    monkeypatch.setattr(script, "softmax", watched)
    (row,), (expected,) = evaluate(measured), before
    assert max(sizes) == 2 and sum(sizes) == 4 * cohort.COUNT - 1  # one tile cannot be read
    assert row.keys() == expected.keys()
    for name, text in expected.items():
        assert row[name] == text or float(row[name]) == pytest.approx(float(text), rel=1e-5)


def test_every_method_is_held_against_the_first(measured, caplog):
    """LayerCAM as it is, Grad-CAM made its opposite, on the one training slide with a finding."""
    for cam in ("layercam", "gradcam"):
        measured.make_cams(cam)
    good = np.arange(cohort.COUNT) != cohort.UNREADABLE["p1"]
    first = open_group(measured.cams.parent / "p1/cams.zarr")["cams"][:]
    unit = measured.cams_by("gradcam").parent / "p1"
    zarr.open_group(str(unit / "cams.zarr"), mode="r+")["cams"][:] = -first
    file = unit / "manifest.json"
    record = json.loads(file.read_text())
    ends = {"low": float((-first[good, 1]).min()), "high": float((-first[good, 1]).max())}
    file.write_text(json.dumps(record | {"facts": record["facts"] | ends}))
    with caplog.at_level(logging.WARNING):
        (row,) = evaluate(measured, compared=["layercam", "gradcam"])
    other = open_group(measured.cams_by("layercam").parent / "p1/cams.zarr")["cams"][good, 1]
    expected = spearmanr(first[good, 1].ravel(), other.ravel()).statistic
    assert float(row["rank_layercam"]) == pytest.approx(expected, rel=1e-4)
    assert float(row["rank_gradcam"]) == pytest.approx(-1)
    assert float(row["top_gradcam"]) == 0 < float(row["top_layercam"])
    assert "Grad-CAM -1.00" in row["warning"] and "Grad-CAM -1.00" in caplog.text
    assert "top_layercam" not in evaluate(measured)[0]
