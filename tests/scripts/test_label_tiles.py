"""train_aggregator, score_bags, label_tiles: from labels of slides to those of tiles."""

import json
import shutil

import numpy as np
import pytest

from tests.scripts.bagged import ATTRS, CLASSES, SLIDES, build, label, learn, planted, score
from tests.scripts.killing import kill
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest
from workflow.lib.measures.label_metrics import ranking
from workflow.lib.networks.aggregators import Aggregator
from workflow.lib.tiles.bags import open_bag
from workflow.lib.tiles.stores import open_group


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    slides = build(root)
    learn(root, slides)
    score(root, slides)
    return root, slides


@pytest.fixture
def study(scored, tmp_path):
    """A copy that a test may change."""
    root, slides = scored
    shutil.copytree(root, tmp_path / "study")
    return tmp_path / "study", slides


def labels_of(folder, slide):
    return open_group(folder / slide / "tile_labels.zarr")["labels"][:].tolist()


def test_an_aggregator_is_what_the_contract_says(scored):
    root, _ = scored
    unit = root / "aggregators" / "fold0"
    found = manifest(unit)
    assert set(found["files"]) == {"model.safetensors", "model.json", "curves.tsv"}
    assert (found["facts"]["train_slides"], found["facts"]["val_slides"]) == (4, 2)
    assert found["facts"]["trained_on"] == ["n1", "n2", "t1", "t2"]  # empty has nothing to teach
    assert found["facts"]["chosen_on"] == ["n3", "t3"]
    record = json.loads((unit / "model.json").read_text())
    assert record["classes"] == CLASSES and record["made_by"] == ATTRS and record["dim"] == 6
    assert Aggregator.load(unit).hidden == 8
    curves = read_table(unit / "curves.tsv")
    assert list(curves[0]) == ["epoch", "split", "loss", "accuracy", "auroc", "lr"]
    assert sorted(p.name for p in unit.parent.iterdir()) == ["fold0", "fold0.json"]  # no work


def test_a_killed_aggregator_goes_on_where_it_was(study, monkeypatch):
    root, slides = study
    file = root / "aggregators" / "fold0" / "model.safetensors"
    expected = file.read_bytes()
    shutil.rmtree(root / "aggregators")
    kill(monkeypatch, lambda: learn(root, slides))
    assert (root / "aggregators" / ".fold0.work" / "checkpoint.pt").is_file()
    learn(root, slides)
    assert file.read_bytes() == expected


def test_the_test_slides_teach_nothing(study):
    root, slides = study
    before = (root / "aggregators" / "fold0" / "manifest.json").read_bytes()
    for name in ("n4", "t4", "one"):
        shutil.rmtree(root / "features" / name)
    learn(root, slides)
    assert (root / "aggregators" / "fold0" / "manifest.json").read_bytes() == before


def test_a_class_without_a_training_slide_is_a_sentence(study):
    root, slides = study
    rows = [row for row in read_table(root / "splits.tsv") if row["slide"] not in ("t1", "t2")]
    write_table(root / "splits.tsv", rows[0], rows)
    with pytest.raises(ValueError, match="Fold 0 has no training tile of class tumour.*verdicts"):
        learn(root, slides, epochs=2)


def test_evidence_is_of_every_slide_and_points_at_planted_tiles(scored):
    root, _ = scored
    folder = root / "bag_scores" / "fold0"
    for name, (kind, _, count) in SLIDES.items():
        if count < 1:
            continue
        group, facts = (
            open_group(folder / name / "bag_scores.zarr"),
            manifest(folder / name)["facts"],
        )
        attention, evidence, bad = (group[part][:] for part in ("attention", "evidence", "bad"))
        assert attention.shape == (count,) and evidence.shape == (count, 2)
        assert attention.sum() == pytest.approx(1, abs=1e-5)
        assert not attention[bad].any() and not evidence[bad].any()
        logits = evidence[~bad].mean(axis=0)
        odds = np.exp(logits) / np.exp(logits).sum()
        assert facts["pooled"] == pytest.approx(odds, abs=1e-5)
        assert facts["predicted"] == CLASSES[int(odds.argmax())] and facts["tiles"] == count
        if kind == "tumour" and count > 1:
            truth = planted(name)
            found = ranking(evidence[~bad, 1], truth[~bad], np.ones((1, count - bad.sum())))
            assert found[0][0] > 0.9
    assert manifest(folder / "empty")["verdict"] == "ok_empty"
    assert manifest(folder / "empty")["facts"] == {"tiles": 0, "pooled": None, "predicted": None}
    assert manifest(folder / "lost")["verdict"] == "E_TILE"


def test_top_tiles_point_at_planted_tiles_and_label_them_too(tmp_path):
    slides = build(tmp_path)
    learn(tmp_path, slides, pooling="top_k", top_tiles=2)
    group = open_group(score(tmp_path, slides) / "t1" / "bag_scores.zarr")
    assert sorted(group["attention"][:][group["attention"][:] > 0]) == [0.5, 0.5]
    found = labels_of(label(tmp_path, slides), "t1")
    assert [i for i, of in enumerate(found) if of == 1] == [0, 2, 3]  # those that are planted
    assert Aggregator.load(tmp_path / "aggregators" / "fold0").top_tiles == 2


def test_features_of_another_encoder_are_refused(study):
    root, slides = study
    file = root / "aggregators" / "fold0" / "model.json"
    changed = json.loads(file.read_text()) | {"made_by": ATTRS | {"encoder": "vgg16"}}
    file.write_text(json.dumps(changed))
    shutil.rmtree(root / "bag_scores")
    with pytest.raises(RuntimeError, match="made up.*aggregator of fold 0 was trained on"):
        score(root, slides)


def test_tiles_of_a_slide_are_labelled_by_evidence(study):
    root, slides = study
    folder = label(root, slides)
    made = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert made == ["empty", "lost", "n1", "n2", "n3", "t1", "t2", "t3"]  # no test slide
    assert labels_of(folder, "n2") == [0, -1, 0, 0, 0, 0, 0, 0, 0]
    # t1: of eleven good tiles a quarter, three, which are all of the planted ones, and two
    found, facts = labels_of(folder, "t1"), manifest(folder / "t1")["facts"]
    assert [i for i, of in enumerate(found) if of == 1] == [0, 2, 3]
    assert found.count(0) == 2 and found.count(-1) == 7
    assert facts == {"tiles": 12, "labelled": {"normal": 2, "tumour": 3}}
    assert manifest(folder / "empty")["verdict"] == "ok_empty"
    bag = open_bag(root / "tiles", {"t1": 1, "n2": 0, "lost": 0}, None, folder)
    assert bag.label.tolist() == [0] * 8 + [of for of in found if of >= 0]


def test_bag_scores_of_another_fold_are_refused(study):
    root, slides = study
    file = root / "bag_scores" / "fold0" / "t1" / "bag_scores.zarr" / "zarr.json"
    assert '"fold": 0' in file.read_text()
    file.write_text(file.read_text().replace('"fold": 0', '"fold": 1'))
    with pytest.raises(RuntimeError, match="t1 has bag scores of fold 1.*but fold 0"):
        label(root, slides)
