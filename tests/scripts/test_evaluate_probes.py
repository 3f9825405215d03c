"""evaluate_probes: the probes of all folds as one table."""

import numpy as np
import pytest

from tests.scripts.tile_study import shard
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import commit
from workflow.lib.jobs.tables import METRICS, read_table, write_table
from workflow.lib.tiles.stores import create_group, write_rows
from workflow.scripts.evaluate_probes import evaluate_probes
from workflow.scripts.summarise_study import summarise_study

CLASSES = ["normal", "tumour"]
# slide -> patient, label, fold that tests it
SLIDES = {
    "a": ("A", "normal", 0),
    "b": ("B", "tumour", 0),
    "c": ("C", "normal", 1),
    "d": ("D", "tumour", 1),
    "none": ("E", "tumour", 1),
}
PROBES = [
    ["trained", None, "shallow", 3],
    ["trained", None, "deep", 5],
    ["random", 0, "shallow", 3],
    ["random", 0, "deep", 5],
    ["random", 1, "shallow", 3],
    ["random", 1, "deep", 5],
]
MADE = [Slide(name, None, patient, label) for name, (patient, label, _) in SLIDES.items()]
# slide -> tumour probability of its tiles, by index of PROBES; the others are 0.5
DEEP = {"a": [0.1, 0.2], "b": [0.9, 0.8], "c": [0.3, 0.1], "d": [0.7]}


@pytest.fixture
def study(tmp_path):
    rows = [
        {
            "fold": fold,
            "slide": name,
            "patient": patient,
            "label": label,
            "split": "test" if fold == tested else "train",
        }
        for fold in (0, 1)
        for name, (patient, label, tested) in SLIDES.items()
    ]
    write_table(tmp_path / "splits.tsv", rows[0], rows)
    for fold in (0, 1):
        write_fold(tmp_path, fold)
    return tmp_path


def write_fold(study, fold, probes=PROBES, classes=CLASSES):
    slides = [name for name, about in SLIDES.items() if about[2] == fold]
    counts = [len(DEEP.get(name, [])) for name in slides]

    def work(folder):
        attrs = {"classes": classes, "fold": fold, "slides": slides, "probes": probes}
        group = create_group(folder / "scores.zarr", attrs)
        write_rows(group, "slide", np.repeat(np.arange(len(slides)), counts).astype(np.int32))
        for index, (network, _, layer, _) in enumerate(probes):
            tumour = np.concatenate([np.array(DEEP.get(name, [])) for name in slides])
            if layer == "shallow" or network == "random":
                tumour = np.full(len(tumour), 0.5)
            scores = np.stack([1 - tumour, tumour], axis=1).astype(np.float32)
            write_rows(group, f"probability{index}", scores)

    index = study / f"fold{fold}.json"
    commit(index, shard("probe_networks", MADE, probes=probes, classes=classes), work)


def evaluate(study, **changed):
    settings = {"classes": CLASSES, "negative": "normal", "clustering": "deepcluster"}
    settings |= {"seed": 0, "bootstrap": 200} | changed
    evaluate_probes(
        [study / "fold1.json", study / "fold0.json"],
        study / "splits.tsv",
        study / "probes.tsv",
        shard=shard("evaluate_probes", MADE, **settings),
        **settings,
    )
    return {
        (row["level"], row["method"], row["metric"]): row
        for row in read_table(study / "probes.tsv")
    }


def test_folds_are_pooled(study):
    rows = evaluate(study)
    deep = rows["tile", "probe deepcluster deep", "auroc"]
    assert deep["value"] == "1" and deep["fold"] == "all"
    assert rows["image", "probe deepcluster deep", "auroc"]["n"] == "4"  # none has no tile
    assert rows["tile", "probe random deep", "auroc"]["value"] == "0.5"
    gain = rows["image", "probe deepcluster over random deep", "auroc_gain"]
    assert (gain["value"], gain["ci_low"], gain["ci_high"]) == ("0.5", "0.5", "0.5")
    assert not any("over start" in method for _, method, _ in rows)
    assert {key[2] for key in rows} == {"auroc", "auroc_min", "auroc_max", "auroc_gain"}


def test_the_rows_fit_into_the_table_of_the_study(study):
    evaluate(study)
    tables, splits = [study / "probes.tsv"], study / "splits.tsv"
    summarise_study(tables, None, splits, study / "metrics.tsv", permute=False)
    rows = read_table(study / "metrics.tsv")
    assert tuple(rows[0]) == METRICS and len(rows) == len(read_table(study / "probes.tsv"))


def test_the_other_class_as_negative_gives_the_same_ranking(study):
    first = evaluate(study)
    second = evaluate(study, negative="tumour")
    assert {k: r["value"] for k, r in first.items()} == {k: r["value"] for k, r in second.items()}


def test_a_fold_without_probes_adds_no_slide(study, caplog):
    write_fold(study, 1, probes=[])
    rows = evaluate(study)
    assert rows["image", "probe deepcluster deep", "auroc"]["n"] == "2"
    assert "Fold 1 has no probe; its 3 test slides do not count" in caplog.text


def test_without_any_probe_the_table_is_empty(study):
    for fold in (0, 1):
        write_fold(study, fold, probes=[])
    assert evaluate(study) == {}
    assert (study / "probes.tsv").read_text() == "\t".join(METRICS) + "\n"


def test_folds_of_other_layers_are_not_pooled(study):
    write_fold(study, 1, probes=PROBES[:2])
    with pytest.raises(RuntimeError, match="Folds 0 and 1 .* probe them again"):
        evaluate(study)


def test_scores_of_other_classes_are_refused(study):
    write_fold(study, 1, classes=["benign", "tumour"])
    with pytest.raises(RuntimeError, match=r"Fold 1 was probed for \['benign', 'tumour'\]"):
        evaluate(study)


def test_slides_that_the_fold_learnt_from_are_refused(study):
    text = (study / "splits.tsv").read_text()
    (study / "splits.tsv").write_text(
        text.replace("0\tb\tB\ttumour\ttest", "0\tb\tB\ttumour\ttrain")
    )
    with pytest.raises(RuntimeError, match="Fold 0 was probed on b, which it does not test"):
        evaluate(study)
