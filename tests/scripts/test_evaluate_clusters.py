"""evaluate_clusters: labels out of fold, sites and patients on all slides, and the enrichment."""

from dataclasses import replace

import numpy as np
import pytest

from tests.scripts import outcome
from workflow.lib.clusters.cluster_questions import ENRICHMENT
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.tiles.stores import create_group, write_rows
from workflow.scripts.evaluate_clusters import evaluate_clusters
from workflow.scripts.summarise_study import summarise_study

SITES = {"A": "north", "B": "north", "C": "south", "D": "south", "E": "south"}


def assign(study, cluster_of):
    """One cluster a slide, and the bad tile of each in cluster 5, where it must not be seen."""
    for fold in (0, 1):

        def work(slide, folder, fold=fold):
            ids = np.full(outcome.count(slide.slide), cluster_of(slide), np.int32)
            ids[5:] = 5
            group = create_group(folder / "assignments.zarr", {"fold": fold})
            write_rows(group, "assignments", ids)
            write_rows(group, "bad", np.arange(len(ids)) == 5)
            return {"tiles": len(ids)}

        index = study / "assignments" / f"fold{fold}" / "all.json"
        visit(index, outcome.shard("assign_clusters"), work, upstream=[study / "tiles"])


def evaluate(study, sites=None, **changes):
    made = outcome.shard("evaluate_clusters")
    slides = [replace(slide, site=(sites or {}).get(slide.patient)) for slide in made.slides]
    given = {"clustering": "dcec", "seed": 0, "bootstrap": 50} | changes
    evaluate_clusters(
        [study / "assignments" / f"fold{fold}" / "all.json" for fold in (0, 1)],
        study / "splits.tsv",
        study / "clusters.tsv",
        study / "enrichment.tsv",
        shard=Shard("all", slides, made.recipe),
        **given,
    )
    rows = {(row["fold"], row["metric"]): row for row in read_table(study / "clusters.tsv")}
    return rows, read_table(study / "enrichment.tsv")


@pytest.fixture
def study(tmp_path):
    outcome.build(tmp_path)
    return tmp_path


def test_clusters_that_are_labels(study):
    assign(study, lambda slide: int(slide.label == "tumour"))
    rows, enriched = evaluate(study)
    for fold in ("0", "1", "all"):
        assert rows[fold, "nmi"]["value"] == rows[fold, "purity"]["value"] == "1"
    # labels: the slides that the fold tests; patients: all slides that have tiles
    assert [rows[fold, "nmi"]["n"] for fold in ("0", "1", "all")] == ["3", "3", "6"]
    assert [rows[fold, "nmi_patient"]["n"] for fold in ("0", "1", "all")] == ["6", "6", "6"]
    assert {(row["level"], row["method"]) for row in rows.values()} == {("tile", "dcec")}
    assert {metric for _, metric in rows} == {
        "nmi",
        "ari",
        "purity",
        "chance_purity",
        "nmi_patient",
        "patient_accuracy",
        "patient_chance",
    }
    # five patients; a tile of tumour is of A, B, D or E
    assert rows["0", "patient_chance"]["value"] == "0.2"
    assert tuple(enriched[0]) == ENRICHMENT
    found = {(r["fold"], r["of"], r["cluster"], r["name"]): r for r in enriched}
    # fold 0 tests a1 (normal) and a2, b (tumour), five readable tiles each
    cell = found["0", "label", "0", "normal"]
    assert [cell[key] for key in ("tiles", "patients", "share")] == ["5", "1", "1"]
    assert float(cell["expected"]) == pytest.approx(1 / 3, abs=1e-5)
    assert float(cell["log2_enrichment"]) == pytest.approx(np.log2(5.5 / (5 / 3 + 0.5)), abs=1e-5)
    assert {key[2] for key in found} == {"0", "1"}


def test_clusters_that_are_sites(study):
    assign(study, lambda slide: int(SITES.get(slide.patient) == "south"))
    rows, enriched = evaluate(study, SITES)
    for fold in ("0", "1", "all"):
        assert rows[fold, "nmi_site"]["value"] == rows[fold, "site_accuracy"]["value"] == "1"
        assert rows[fold, "site_chance"]["value"] == "0.5"
        assert rows[fold, "site_accuracy"]["n"] == "6"
    found = {(r["fold"], r["of"], r["cluster"], r["name"]): r for r in enriched}
    assert found["0", "site", "1", "south"]["tiles"] == "15"  # of train and val slides too
    assert found["0", "site", "1", "north"]["tiles"] == "0"


def test_a_study_without_labels_is_still_asked_for_sites_and_patients(study):
    text = (study / "splits.tsv").read_text()
    text = text.replace("\tnormal\t", "\t\t").replace("\ttumour\t", "\t\t")
    (study / "splits.tsv").write_text(text)
    assign(study, lambda slide: 0)
    rows, enriched = evaluate(study, SITES)
    assert ("0", "nmi") not in rows
    assert float(rows["all", "site_accuracy"]["value"]) == 0.5  # one cluster: chance
    assert float(rows["all", "patient_accuracy"]["value"]) == pytest.approx(0.2)
    assert {row["of"] for row in enriched} == {"site", "patient"}
    assert {float(row["log2_enrichment"]) for row in enriched} == {0}


def test_the_same_seed_gives_the_same_tables(study):
    assign(study, lambda slide: len(slide.slide) % 2)
    first, second = evaluate(study, SITES), evaluate(study, SITES)
    assert first == second


def test_the_rows_fit_into_the_table_of_the_study(study):
    assign(study, lambda slide: 0)
    rows, _ = evaluate(study, SITES)
    tables, splits = [study / "clusters.tsv"], study / "splits.tsv"
    summarise_study(tables, None, splits, study / "metrics.tsv", permute=False)
    assert len(read_table(study / "metrics.tsv")) == len(rows)


def test_a_study_without_assignments_has_two_empty_tables(study):
    rows, enriched = evaluate(study, SITES)
    assert rows == {} and enriched == []


def test_one_label_in_a_fold_leaves_agreement_empty(study):
    text = (study / "splits.tsv").read_text()
    (study / "splits.tsv").write_text(text.replace("0\ta1\tA\tnormal", "0\ta1\tA\ttumour"))
    assign(study, lambda slide: int(slide.label == "tumour"))
    rows, enriched = evaluate(study)
    assert rows["0", "nmi"]["value"] == rows["all", "nmi"]["value"] == ""
    assert rows["1", "nmi"]["value"] == "1"
    assert {row["fold"] for row in enriched if row["of"] == "label"} == {"1"}
