"""train_classifier, classify_tiles: from labelled tiles to scores of slides never learnt from."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests.scripts.classified import SLIDES, learn
from tests.scripts.killing import kill
from tests.scripts.tile_study import CLASSES, shard, write_tiles
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks import resuming
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.stores import Tiles, open_group
from workflow.scripts.classify_tiles import classify_tiles


def classify(root, slides, **changed):
    """Anew: what stands there from another test is not taken for granted."""
    shutil.rmtree(root / "scores", ignore_errors=True)
    settings = {"pooling": "mean", "negative": "plain"} | changed
    index = root / "scores" / "fold0" / "all.json"
    classify_tiles(
        root / "tiles" / "all.json",
        root / "splits.tsv",
        root / "classifiers" / "fold0.json",
        index,
        shard=shard("classify_tiles", slides, **settings),
        fold=0,
        **settings,
        device="cpu",
        batch=3,
        threads=1,
    )
    return index.parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    slides = write_tiles(root, SLIDES)
    learn(root, slides)
    return root, slides


@pytest.fixture
def study(trained, tmp_path):
    """A copy that a test may change."""
    root, slides = trained
    shutil.copytree(root, tmp_path / "study")
    return tmp_path / "study", slides


def test_a_classifier_is_what_the_contract_says(trained):
    root, _ = trained
    unit = root / "classifiers" / "fold0"
    found = manifest(unit)
    assert set(found["files"]) == {"model.safetensors", "model.json", "curves.tsv"}
    # The second tile of each slide is bad and not learnt from.
    assert (found["facts"]["train_tiles"], found["facts"]["val_tiles"]) == (11 + 8, 4 + 5)
    assert found["facts"]["trained_on"] == ["a", "b", "empty"]
    assert found["facts"]["chosen_on"] == ["c", "d"]
    record = json.loads((unit / "model.json").read_text())
    assert record["classes"] == CLASSES and record["checkpoint"] == "random"
    assert (record["tile_px"], record["mpp"], record["backbone"]) == (32, 1.0, "squeezenet1_1")
    assert record["best_epoch"] == found["facts"]["best_epoch"]
    curves = read_table(unit / "curves.tsv")
    assert list(curves[0]) == ["epoch", "split", "loss", "accuracy", "auroc", "lr"]
    assert [(row["epoch"], row["split"]) for row in curves[:2]] == [("1", "train"), ("1", "val")]
    assert Classifier.load(unit).classes == CLASSES


@pytest.mark.parametrize("pooling", ["max", "lse", "wildcat", "attention"])
def test_pooling_and_stride_are_those_of_the_classifier(study, pooling):
    root, slides = study
    heads = {"lse": {"sharpness": 5}, "wildcat": {"maps": 3, "share": 0.5, "alpha": 0.1}}
    found = Classifier.load(
        learn(root, slides, pooling=pooling, stride=8, heads=heads, epochs=2, learning_rate=1e-3)
    )
    assert found.pooling == pooling and found.settings == heads.get(pooling, {})
    assert found.backbone.strides[-1] == 8
    side = found.cam(torch.rand(1, 3, 64, 64)).shape[-1]
    assert side == 7  # 3 at its own stride of 16
    logits = open_group(classify(root, slides) / "f" / "scores.zarr")["logits"][:]
    tiles = Tiles(root / "tiles" / "f" / "tiles.zarr").batch(range(4))
    with torch.no_grad():
        expected = found.logits(torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255).numpy()
    assert np.allclose(logits, expected, atol=1e-4)


def test_a_backbone_that_cannot_be_dilated_stops_before_training(study):
    root, slides = study
    with pytest.raises(ValueError, match="densenet121 cannot have .* stride 8.*set stride to null"):
        learn(root, slides, backbone="densenet121", stride=8)


def test_nothing_is_left_of_the_work(trained):
    root, _ = trained
    assert sorted(path.name for path in (root / "classifiers").iterdir()) == ["fold0", "fold0.json"]


def test_the_slides_of_the_test_split_play_no_part(study):
    """Not even by being changed: the classifier is not made again."""
    root, slides = study
    before = (root / "classifiers" / "fold0" / "manifest.json").read_bytes()
    shutil.rmtree(root / "tiles" / "e")
    learn(root, slides)
    assert (root / "classifiers" / "fold0" / "manifest.json").read_bytes() == before


def test_a_killed_job_goes_on_where_it_was(study, monkeypatch):
    root, slides = study
    expected = (root / "classifiers" / "fold0" / "model.safetensors").read_bytes()
    shutil.rmtree(root / "classifiers")
    epochs, save = [], resuming.save

    def killed(work, state):
        save(work, state)
        epochs.append(state["epoch"])
        if epochs == [1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(resuming, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(root, slides)
    assert not (root / "classifiers" / "fold0").exists()
    learn(root, slides)
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert (root / "classifiers" / "fold0" / "model.safetensors").read_bytes() == expected


def test_a_changed_setting_does_not_go_on_with_the_old_training(study, monkeypatch):
    root, slides = study
    expected = (root / "classifiers" / "fold0" / "model.safetensors").read_bytes()
    shutil.rmtree(root / "classifiers")
    kill(monkeypatch, lambda: learn(root, slides, learning_rate=0.5))
    assert (root / "classifiers" / ".fold0.work" / "checkpoint.pt").is_file()
    learn(root, slides)
    assert (root / "classifiers" / "fold0" / "model.safetensors").read_bytes() == expected


def test_a_class_without_tiles_is_a_sentence(tmp_path):
    slides = write_tiles(
        tmp_path,
        {"a": ("plain", "train", 3), "b": ("striped", "train", -1), "c": ("striped", "val", 2)},
    )
    with pytest.raises(ValueError, match="Fold 0 has no training tile of class striped.*verdicts"):
        learn(tmp_path, slides)


def test_a_weak_classifier_is_said_to_be_weak(tmp_path, caplog):
    """Labels that the tiles contradict in validation."""
    slides = write_tiles(
        tmp_path,
        {
            "a": ("plain", "train", 9),
            "b": ("striped", "train", 9),
            "c": ("plain", "val", 4),
            "d": ("striped", "val", 4),
        },
    )
    swapped = (tmp_path / "splits.tsv").read_text().replace("c\tp-c\tplain", "c\tp-c\tstriped")
    swapped = swapped.replace("d\tp-d\tstriped", "d\tp-d\tplain")
    (tmp_path / "splits.tsv").write_text(swapped)
    learn(tmp_path, slides, epochs=4)
    assert "too weak to localise from" in caplog.text
    found = manifest(tmp_path / "classifiers" / "fold0")["facts"]
    assert found["warning"] in caplog.text and "fold 0" in found["warning"]


def test_scores_are_those_of_the_classifier(trained):
    root, slides = trained
    scores = classify(root, slides)
    made = sorted(path.name for path in scores.iterdir() if path.is_dir())
    assert made == ["c", "d", "e", "f", "nothing"]
    group = open_group(scores / "f" / "scores.zarr")
    logits, probability = group["logits"][:], group["probability"][:]
    assert logits.shape == probability.shape == (4, 2) and logits.dtype == np.float32
    tiles = Tiles(root / "tiles" / "f" / "tiles.zarr").batch(range(4))
    with torch.no_grad():
        model = Classifier.load(root / "classifiers" / "fold0")
        expected = model.logits(torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255).numpy()
    assert np.allclose(logits, expected, atol=1e-4)
    assert np.allclose(probability.sum(axis=1), 1, atol=1e-6)
    facts = manifest(scores / "f")["facts"]
    good = probability[[0, 2, 3]]  # tile 1 is bad: scored, not counted
    assert facts["pooled"] == pytest.approx(good.mean(axis=0), abs=1e-6)
    assert facts["predicted"] == "striped" and facts["tiles"] == 4
    assert manifest(scores / "e")["facts"]["predicted"] == "plain"


def test_a_slide_without_tiles_has_no_prediction(trained):
    root, slides = trained
    found = manifest(classify(root, slides) / "nothing")
    assert found["verdict"] == "ok_empty"
    assert found["facts"] == {"tiles": 0, "pooled": None, "predicted": None}
    assert open_group(root / "scores/fold0/nothing/scores.zarr")["logits"].shape == (0, 2)


def test_pooling_and_negative_class_are_settings(study):
    root, slides = study
    facts = {}
    for pooling in ("mean", "max"):
        facts[pooling] = manifest(classify(root, slides, pooling=pooling) / "e")["facts"]["pooled"]
    probability = open_group(root / "scores/fold0/e/scores.zarr")["probability"][:][[0, 2, 3, 4]]
    assert facts["max"][1] == pytest.approx(float(probability[:, 1].max()), abs=1e-6)
    assert facts["max"][1] > facts["mean"][1]


def test_tiles_of_another_size_are_refused(study):
    root, slides = study
    file = root / "classifiers" / "fold0" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tile_px": 64}))
    with pytest.raises(RuntimeError, match="classifier of fold 0 takes tiles of 64 px.*have 32 px"):
        classify(root, slides)
