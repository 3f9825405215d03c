"""One edit, exactly these rules, where a network learnt the clusters and every use of it is on."""

import pytest

from tests.workflow.stages import AUDIT, CAMS, EVIDENCE, NETWORK, REPORT
from tests.workflow.study import LEARNT, Study


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A study whose clusters a network learnt, with every use of them switched on."""
    study = Study.make(tmp_path_factory.mktemp("learnt"), **LEARNT)
    study.run()
    return study


def learn_with_dcec(study):
    study.edit_config("cluster", method="dcec")
    study.edit_config("train_classifier", checkpoint="random")


EDITS_OF_THE_LEARNT = {
    "nothing": (lambda s: None, set()),
    "the rounds of DeepCluster": (lambda s: s.edit_config("train_deepcluster", rounds=3), NETWORK),
    "k-means, which is not used": (lambda s: s.edit_config("train_clusters", count=4), REPORT),
    "the share of pooled evidence": (lambda s: s.edit_config("make_cams", consistency=0.4), CAMS),
    "a method of the cams that was only compared, left out": (
        lambda s: s.edit_config("make_cams", methods=["cam"]),
        AUDIT | EVIDENCE,
    ),
    "the clusters of locations": (
        lambda s: s.edit_config("pool_evidence", count=4),
        {"pool_evidence"} | CAMS,
    ),
    "the penalty of the probes": (
        lambda s: s.edit_config("probe_networks", penalty=2.0),
        {"probe_networks", "evaluate_probes"} | AUDIT,
    ),
    "another clustering, from which no classifier can start": (
        learn_with_dcec,
        {"train_dcec"} | NETWORK - {"train_deepcluster"},
    ),
}


@pytest.mark.parametrize("name", EDITS_OF_THE_LEARNT)
def test_one_edit_of_a_learnt_clustering_exactly_these_rules(learnt, tmp_path, name):
    study = learnt.beside(tmp_path / "study")
    change, expected = EDITS_OF_THE_LEARNT[name]
    change(study)
    assert set(study.would_run()) == expected


def test_consistency_concerns_the_cams_alone(learnt, tmp_path):
    """Maps of other methods, which are only compared, do not read it and stand."""
    study = learnt.beside(tmp_path / "study")
    of_all = study.would_run("--forceall")
    study.edit_config("make_cams", consistency=0.4)
    jobs = study.would_run()
    assert 2 * jobs["make_cams"] == of_all["make_cams"]
    assert 3 * jobs["refine_masks"] == 2 * of_all["refine_masks"]  # all but layercam
