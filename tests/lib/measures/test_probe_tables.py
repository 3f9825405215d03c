"""Tables of probes: values by hand, intervals as of a classifier, gains on the same patients."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from workflow.lib.clusters.linear_probes import Probe
from workflow.lib.measures.label_tables import Scored, metric_rows
from workflow.lib.measures.probe_tables import probe_rows

# Four slides of two tiles, two patients a class; the probability of the second class of each tile.
SLIDES, LABELS = np.repeat(np.arange(4), 2), np.array([0, 1, 0, 1])
PATIENTS = ["A", "B", "C", "D"]
TRAINED = [0.1, 0.2, 0.8, 0.9, 0.3, 0.2, 0.7, 0.6]
START = [0.1, 0.2, 0.8, 0.15, 0.3, 0.75, 0.7, 0.6]
CONSTANT = [0.5] * 8
UPSIDE_DOWN = [1 - value for value in TRAINED]


def table(**columns):
    """Rows of the named probes, `network_layer` or `random0_layer`, by (level, method, metric)."""
    scores = {}
    for name, values in columns.items():
        network, layer = name.split("_")
        seed = int(network[-1]) if network[-1].isdigit() else None
        scores[Probe(network.rstrip("0123456789"), seed, layer, 3)] = np.stack(
            [1 - np.array(values), values], axis=1
        )
    rows = probe_rows(
        scores,
        SLIDES,
        labels=LABELS,
        patients=PATIENTS,
        clustering="dcec",
        positive=1,
        replicates=300,
        seed=0,
    )
    return {(row["level"], row["method"], row["metric"]): row for row in rows}


def test_rows_by_hand():
    rows = table(
        trained_a=CONSTANT,
        trained_b=TRAINED,
        start_a=CONSTANT,
        start_b=START,
        random0_a=TRAINED,
        random0_b=CONSTANT,
        random1_a=CONSTANT,
        random1_b=UPSIDE_DOWN,
    )
    found = {key: row["value"] for key, row in rows.items()}
    assert found["tile", "probe dcec b", "auroc"] == 1
    assert found["tile", "probe dcec a", "auroc"] == 0.5
    # START: positives .8 .15 .7 .6, negatives .1 .2 .3 .75: .8 beats 4, .15 one, .7 and .6 three
    expected = (4 + 1 + 3 + 3) / 16
    assert found["tile", "probe start b", "auroc"] == pytest.approx(expected)
    labels = LABELS[SLIDES]
    assert expected == pytest.approx(roc_auc_score(labels, START))
    # slides of START: positives .475 .65, negatives .15 .525
    assert found["image", "probe start b", "auroc"] == pytest.approx(3 / 4)
    assert found["tile", "probe random b", "auroc"] == 0.25  # the mean of 0.5 and 0
    assert found["tile", "probe random b", "auroc_min"] == 0
    assert found["tile", "probe random b", "auroc_max"] == 0.5
    assert found["tile", "probe random a", "auroc_max"] == 1
    gains = {key: value for key, value in found.items() if key[2] == "auroc_gain"}
    assert gains == {
        ("tile", "probe dcec over start b", "auroc_gain"): pytest.approx(1 - expected),
        ("image", "probe dcec over start b", "auroc_gain"): 0.25,
        ("tile", "probe dcec over random b", "auroc_gain"): 0.75,
        ("image", "probe dcec over random b", "auroc_gain"): 0.75,
    }
    assert {(row["n"], row["fold"], row["pixel_masks_used"]) for row in rows.values()} == {
        (4, "all", 0)
    }


def test_without_start_and_random_networks_nothing_is_gained():
    assert {key[2] for key in table(trained_b=TRAINED)} == {"auroc"}


def test_a_gain_is_taken_on_the_same_patients():
    """A network against itself differs by nothing in every replicate."""
    rows = table(trained_b=START, start_b=START)
    gain = rows["tile", "probe dcec over start b", "auroc_gain"]
    assert (gain["value"], gain["ci_low"], gain["ci_high"]) == (0, 0, 0)
    single = rows["tile", "probe start b", "auroc"]
    assert single["ci_low"] < single["value"] < single["ci_high"]


def many(seed, classes):
    rng = np.random.default_rng(seed)
    labels = np.arange(12) % classes
    slides = np.repeat(np.arange(12), rng.integers(1, 5, 12))
    scores = rng.dirichlet(np.ones(classes), len(slides))
    scores += 0.2 * np.eye(classes)[labels[slides]]
    return scores / scores.sum(1, keepdims=True), labels, slides


@pytest.mark.parametrize("classes", [2, 3])
def test_values_and_intervals_are_those_of_the_classifier(classes):
    scores, labels, slides = many(2, classes)
    names = [f"p{number // 2}" for number in range(12)]
    found = probe_rows(
        {Probe("trained", None, "b", 3): scores},
        slides,
        labels=labels,
        patients=names,
        clustering="dcec",
        positive=1 if classes == 2 else None,
        replicates=100,
        seed=4,
    )
    tile = next(row for row in found if row["level"] == "tile")
    scored = [
        Scored(str(n), names[n], "0", labels[n], scores[slides == n].argmax(1), scores[slides == n])
        for n in range(12)
    ]
    rows = metric_rows(
        scored,
        level="tile",
        method="x",
        classes=["a", "b", "c"][:classes],
        negative="a",
        replicates=100,
        seed=4,
    )
    expected = next(row for row in rows if (row["fold"], row["metric"]) == ("all", "auroc"))
    assert [tile[key] for key in ("value", "ci_low", "ci_high", "n")] == [
        pytest.approx(expected[key]) for key in ("value", "ci_low", "ci_high", "n")
    ]


def test_slides_without_tiles_do_not_count_and_one_class_is_not_defined():
    rows = list(
        probe_rows(
            {Probe("trained", None, "b", 3): np.array([[0.5, 0.5], [0.2, 0.8]])},
            np.array([1, 3]),
            labels=LABELS,
            patients=PATIENTS,
            clustering="dcec",
            positive=1,
            replicates=10,
            seed=0,
        )
    )
    assert [row["n"] for row in rows] == [2, 2]
    assert all(np.isnan([row["value"], row["ci_low"]]).all() for row in rows)
