"""With labels that mean nothing, a study finds nothing; with a leak it would.

The demo is run once, as config/permuted.yaml has it; docs/decisions/audit.md has more seeds. A
whole run for each of many permutations would take hours. What can leak is who is in which fold and
who is counted, so that is the workflow's own: the permutation, the split, the probe with its
weights and the metrics with their intervals over patients. Features are a frozen network's with
random weights, once for all permutations. Slides of a patient share a stain, by which a network can
know a patient again: what a split by slide instead of by patient would give away.
"""

import cv2
import numpy as np
import pytest
import torch

from demo.cohort import SPECIMENS
from demo.draw_cohort import draw_cohort
from tests.synthetic import draw_pixels
from tests.workflow.study import Study
from workflow.lib.clusters.linear_probes import fit_probe
from workflow.lib.cohort.permutation import permute_labels
from workflow.lib.cohort.sheet import Slide
from workflow.lib.cohort.splits import split_patients
from workflow.lib.jobs.tables import read_table
from workflow.lib.measures.label_tables import Scored, metric_rows
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.tiles.inference import to_input

CLASSES = ["normal", "tumour"]
PATIENTS, SLIDES_OF_EACH, TILE_PX = 20, 3, 64
SEEDS = range(25)
SPLIT = {"folds": 4, "val_fraction": 0, "group_by": "patient"}


@pytest.fixture(scope="module")
def cohort():
    """Slides, and the features (M, D) of the tiles of each."""
    network = build_backbone("squeezenet1_1", checkpoint="random", weights=None, seed=0).eval()
    slides, features = [], {}
    for number in range(PATIENTS * SLIDES_OF_EACH):
        patient = number % PATIENTS
        tint = np.random.default_rng([7, patient]).uniform(0.8, 1.0, 3)
        rng = np.random.default_rng([8, number])
        pixels, _ = draw_pixels((512, 512), rng, dense=patient % 2)
        pixels = cv2.resize((pixels * tint).astype(np.uint8), (256, 256))
        tiles = pixels.reshape(4, TILE_PX, 4, TILE_PX, 3).swapaxes(1, 2)[1:3, 1:3]
        tiles = np.ascontiguousarray(tiles.reshape(-1, TILE_PX, TILE_PX, 3))
        slides.append(Slide(f"s{number:02d}", None, f"p{patient:02d}", CLASSES[patient % 2]))
        with torch.inference_mode():
            maps = network(to_input(tiles, torch.device("cpu")))
        features[slides[-1].slide] = maps.mean(dim=(2, 3)).numpy()
    return slides, features


def auroc(slides, features, *, seed, level):
    """The row of metrics.tsv for all folds of a probe that is trained and tested by fold."""
    scored = []
    placed = split_patients(slides, **SPLIT, seed=seed)
    owner = {slide.slide: slide.patient for slide in slides}
    for fold in sorted({row.fold for row in placed}):
        rows = {"train": [], "test": []}
        for row in placed:
            rows[row.split] += [row] * (row.fold == fold)
        counts = [len(features[row.slide]) for row in rows["train"]]
        labels = np.repeat([CLASSES.index(row.label) for row in rows["train"]], counts)
        tiles = np.concatenate([features[row.slide] for row in rows["train"]])
        of_slide = np.repeat(np.arange(len(counts)), counts)
        probe = fit_probe(tiles, labels, of_slide, penalty=1.0)
        for row in rows["test"]:
            found = probe.predict_proba(features[row.slide])
            found = found.mean(axis=0, keepdims=True) if level == "image" else found
            about = {"slide": row.slide, "patient": owner[row.slide], "fold": str(fold)}
            truth = CLASSES.index(row.label)
            scored.append(Scored(**about, truth=truth, predicted=found.argmax(1), scores=found))
    about = {"classes": CLASSES, "negative": "normal", "replicates": 300, "seed": 0}
    found = metric_rows(scored, level=level, method="probe", **about)
    return next(row for row in found if (row["fold"], row["metric"]) == ("all", "auroc"))


def distance(rows):
    """How many standard errors the mean AUROC over permutations is above 0.5."""
    values = np.array([row["value"] for row in rows])
    return (values.mean() - 0.5) / (values.std(ddof=1) / np.sqrt(len(values)))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["image", "tile"])
def test_nothing_is_found_where_there_is_nothing(cohort, level):
    slides, features = cohort
    rows = [
        auroc(permute_labels(slides, seed=seed), features, seed=seed, level=level) for seed in SEEDS
    ]
    covered = [row["ci_low"] <= 0.5 <= row["ci_high"] for row in rows]
    assert abs(distance(rows)) < 2.5
    assert np.mean(covered) >= 0.8  # less than 95%: intervals take the models as given


@pytest.mark.slow
def test_the_labels_as_they_are_are_found(cohort):
    """Else finding nothing in permuted ones would show nothing."""
    slides, features = cohort
    assert auroc(slides, features, seed=0, level="image")["ci_low"] > 0.6


@pytest.mark.slow
def test_a_split_by_slide_would_be_found_out(cohort):
    """Every slide a patient of its own: a patient is trained on and tested, and its stain tells."""
    slides, features = cohort
    rows = []
    for seed in SEEDS:
        permuted = permute_labels(slides, seed=seed)
        alone = [Slide(s.slide, None, s.slide, s.label) for s in permuted]
        rows.append(auroc(alone, features, seed=seed, level="image"))
    assert distance(rows) > 5


@pytest.mark.slow
def test_the_demo_with_permuted_labels_finds_nothing(tmp_path):
    """From slides to the numbers of the classifier."""
    study = Study.make(tmp_path)
    study.config.write_text((tmp_path / "config/permuted.yaml").read_text())
    draw_cohort(tmp_path / "data/demo", SPECIMENS)
    study.run("--", "results/permuted/evaluation/classifier.tsv")
    rows = read_table(tmp_path / "results/permuted/evaluation/classifier.tsv")
    of_all = {row["level"]: row for row in rows if (row["fold"], row["metric"]) == ("all", "auroc")}
    assert set(of_all) == {"image", "tile"}
    for row in of_all.values():
        assert float(row["ci_low"]) <= 0.5 <= float(row["ci_high"])
