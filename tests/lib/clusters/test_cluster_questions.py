import math

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from workflow.lib.clusters import cluster_questions
from workflow.lib.clusters.cluster_questions import ENRICHMENT, Assigned, answers, enriched
from workflow.lib.clusters.enrichment import recall_patients
from workflow.lib.measures.bootstrap import resample


def slides(*rows):
    return [
        Assigned(f"s{number}", patient, label, site, np.array(counts))
        for number, (patient, label, site, counts) in enumerate(rows)
    ]


# Clusters are sites: x has cluster 0, y has cluster 1; labels are spread over both.
BY_SITE = slides(
    ("A", "no", "x", [4, 0]),
    ("B", "yes", "x", [4, 0]),
    ("C", "no", "y", [0, 4]),
    ("D", "yes", "y", [0, 4]),
)
# Clusters are labels.
BY_LABEL = slides(
    ("A", "no", "x", [4, 0]),
    ("B", "yes", "x", [0, 4]),
    ("C", "no", "y", [4, 0]),
    ("D", "yes", "y", [0, 4]),
)


def ask(*folds, replicates=50):
    return {name: (value, n) for name, value, n in answers(folds, replicates=replicates, seed=0)}


def values(*folds):
    return {name: value[0] for name, (value, _) in ask(*folds).items()}


def test_clusters_that_are_sites():
    found = values(BY_SITE)
    assert found["nmi"] == pytest.approx(0) and found["purity"] == 0.5
    assert found["nmi_site"] == 1 and found["site_accuracy"] == 1 and found["site_chance"] == 0.5
    # 16 tiles: clusters have ln 2, patients ln 4, and knowing the patient is knowing the cluster
    assert found["nmi_patient"] == pytest.approx(2 * math.log(2) / (math.log(2) + math.log(4)))
    # two patients of each cluster share the guess
    assert found["patient_accuracy"] == 0.5 and found["patient_chance"] == 0.25


def test_clusters_that_are_labels():
    found = values(BY_LABEL)
    assert found["nmi"] == found["ari"] == found["purity"] == 1
    assert found["nmi_site"] == pytest.approx(0)
    # Without A, x has cluster 1 alone. So has y without C, and the guess is shared; without D it
    # has cluster 0 alone, and A looks like y. So do the others.
    assert found["site_accuracy"] == 0.25


def test_nmi_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    rows = slides(*((f"p{n % 5}", "", "xyz"[n % 3], rng.integers(1, 9, 4)) for n in range(12)))
    tiles = [
        (slide, k) for slide in rows for k, count in enumerate(slide.counts) for _ in range(count)
    ]
    clusters = [k for _, k in tiles]
    found = values(rows)
    for metric, of in (("nmi_site", "site"), ("nmi_patient", "patient")):
        names = [getattr(slide, of) for slide, _ in tiles]
        assert found[metric] == pytest.approx(normalized_mutual_info_score(names, clusters))


def test_blocks_of_replicates_give_the_same_intervals(monkeypatch):
    rng = np.random.default_rng(0)
    rows = slides(*((f"p{n}", "ab"[n % 2], "xy"[n // 6], rng.integers(1, 9, 4)) for n in range(12)))
    whole = ask(rows)
    monkeypatch.setattr(cluster_questions, "BLOCK", 17)  # two replicates of 4 x 2 cells at once
    np.testing.assert_equal(ask(rows), whole)


def test_what_cannot_be_asked_is_left_out():
    unlabelled = slides(("A", "", "", [4, 0]), ("B", "", "", [1, 3]))
    assert set(ask(unlabelled)) == {"nmi_patient", "patient_accuracy", "patient_chance"}
    assert ask(slides(("A", "", "x", [4, 0]), ("A", "", "x", [1, 3]))) == {}
    assert ask() == {}
    one_site = slides(("A", "", "x", [4, 0]), ("B", "", "x", [1, 3]))
    assert "nmi_site" not in ask(one_site)
    # y has one patient only: without it, nothing is known of the site
    small = slides(("A", "", "x", [4, 0]), ("B", "", "x", [4, 0]), ("C", "", "y", [0, 4]))
    assert "site_accuracy" not in ask(small) and ask(small)["nmi_site"][0][0] == 1
    # and where two others are left it does not take part
    third = [*BY_SITE, Assigned("s9", "E", "", "z", np.array([1, 1]))]
    found = ask(third)
    assert found["site_chance"] == ((0.5, pytest.approx((math.nan,) * 2, nan_ok=True)), 4)
    assert found["nmi_site"][1] == found["nmi_patient"][1] == 5


def test_all_is_the_mean_of_the_folds():
    first, second, both = values(BY_SITE), values(BY_LABEL), values(BY_SITE, BY_LABEL)
    for name in ("nmi", "ari", "purity", "nmi_site", "site_accuracy"):
        assert both[name] == pytest.approx((first[name] + second[name]) / 2)
    assert ask(BY_SITE, BY_LABEL)["nmi"][1] == 4  # slides are counted once
    # what one fold cannot be asked is the mean of the others
    assert values(BY_SITE, slides(("A", "", "", [1, 1])))["nmi_site"] == 1


def test_constants_and_nmi_with_patients_have_no_interval():
    rng = np.random.default_rng(1)
    rows = slides(*((f"p{n}", "ab"[n % 2], "xy"[n // 6], rng.integers(1, 9, 4)) for n in range(12)))
    found = ask(rows, replicates=200)
    for name, ((_, (low, high)), _) in found.items():
        if name in ("site_chance", "patient_chance", "nmi_patient"):
            assert np.isnan([low, high]).all()
    low, high = found["patient_accuracy"][0][1]
    assert low <= found["patient_accuracy"][0][0] <= high
    low, high = found["site_accuracy"][0][1]
    assert low <= found["site_accuracy"][0][0] <= high and low < high


def test_patients_of_every_fold_are_drawn_together():
    """Folds that hold other patients: each counts those of its own that a replicate drew."""
    rng = np.random.default_rng(2)
    counts = {f"p{n:02}": rng.integers(1, 9, 4) for n in range(12)}
    names = sorted(counts)
    parts = (names[:8], names[4:])
    folds = [slides(*((name, "", "", counts[name]) for name in part)) for part in parts]
    found = ask(*folds, replicates=100)["patient_accuracy"][0]
    recalls = [
        recall_patients(np.stack([counts[name] for name in part]), np.arange(8), seed=0)
        for part in parts
    ]
    assert found[0] == pytest.approx(np.mean(recalls))
    drawn = resample(12, replicates=100, seed=0)
    values = np.mean(
        [
            np.average(np.tile(recall, (100, 1)), axis=1, weights=drawn[:, start : start + 8])
            for recall, start in zip(recalls, (0, 4), strict=True)
        ],
        axis=0,
    )
    assert found[1] == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_enrichment_of_labels_sites_and_patients():
    rows = [*BY_SITE, Assigned("s4", "D", "", "", np.array([2, 0]))]
    found = list(enriched(rows, replicates=50, seed=0))
    assert all(tuple(row) == ENRICHMENT[1:] for row in found)
    table = {(row["of"], row["cluster"], row["name"]): row for row in found}
    # labels: 16 tiles of four slides, 8 expected... of each cluster 4 and 4
    assert table["label", 0, "no"]["log2_enrichment"] == 0
    assert [table["label", 0, "yes"][key] for key in ("tiles", "patients", "share")] == [4, 1, 0.5]
    site = table["site", 0, "x"]
    assert (site["share"], site["expected"]) == (1, 0.5)
    assert site["log2_enrichment"] == pytest.approx(math.log2(8.5 / 4.5))
    assert table["site", 0, "y"]["tiles"] == 0
    # patients: 18 tiles of all five slides, cluster 0 has 10; D has 6, of which 10 / 3 expected
    patient = table["patient", 0, "D"]
    assert patient["tiles"] == 2
    assert patient["log2_enrichment"] == pytest.approx(math.log2(2.5 / (10 / 3 + 0.5)))
    assert np.isnan([patient["low"], patient["high"]]).all()
    assert ("patient", 0, "C") not in table and ("patient", 1, "C") in table


def test_nothing_to_compare_is_no_row():
    alone = slides(("A", "no", "x", [4, 0]))
    assert list(enriched(alone, replicates=10, seed=0)) == []
    assert list(enriched([], replicates=10, seed=0)) == []
