"""The section of the page on clusters: what was fitted on what, and what came of it."""

import base64
import hashlib
import re

import pytest

from tests.scripts.page import Page
from tests.scripts.reported import Finished


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Builds a study in a folder of its own, and stands there; one method keeps it quick."""
    monkeypatch.chdir(tmp_path)
    return lambda **words: Finished(tmp_path, **({"methods": ("none",)} | words)).build()


def test_clusters_say_what_they_hold_and_what_they_give_away(make):
    page = Page(make().report())
    words = page.words()
    assert "k-means on the features of net9." in words
    assert "Fitted on the training slides of each fold" in words
    assert "Fold 0: 2 clusters, fitted on 4 tiles" in words
    assert "tile all folds 3 0.25 0.50" in words  # NMI with labels, with patients
    assert "for 0.50 [0.25, 0.75] of the tiles (mean over patients; by chance 0.12)" in words
    assert "cluster label normal label tumour most of one patient" in words
    assert "0 +0.6 [0.2, 0.9] −2.0 [−3.0, 0.5] p1 75% (of all tiles 25%)" in words
    assert '<td class="n up1"><b>+0.6</b>' in page.source
    assert '<td class="n down3">−2.0 ' in page.source
    assert "linear classifier reads" not in words and "transductive" not in words


def test_a_network_that_learnt_to_cluster_shows_how(make):
    page = Page(make(clustering="deepcluster").report())
    words = page.words()
    assert "DeepCluster: net9 learns to tell its own clusters of tiles apart" in words
    assert "Kept is round 2 of 3, where the dots are: a probe." in words
    assert "Learning ended with round 3: enough was enough." in words
    assert "tiles layer1 (stride 4) 0.75 [0.50, 1.00] 0.62 [0.50, 1.00]" in words
    alts = page.attributes("alt")
    assert "Fold 0: filters of the first layer; grey is a weight of 0" in alts
    assert "linear probe, AUROC on validation tiles" in alts
    assert {"NMI limit", "churn limit", "start"} <= drawn(page)
    learnt = hashlib.sha256(b"learnt").hexdigest()
    assert f"DeepCluster, fold 0 random none needed: no weights of others {learnt}" in words
    assert "Encoder net9" not in words
    assert page.numbers()[2].startswith("0.88 ")  # of the classifier, not of a probe
    assert "AUROC out of fold, all folds together, of a logistic regression" in words


def test_an_autoencoder_learns_in_epochs_and_has_no_start(make):
    page = Page(make(clustering="dcec").report())
    assert "DCEC: an autoencoder learns to draw tiles again" in page.words()
    assert "Kept is epoch 2 of 3" in page.words()
    assert "tolerance" in drawn(page) and not {"start", "NMI limit"} & drawn(page)


def drawn(page):
    """Texts in the charts of a page."""
    found = set()
    for source in page.attributes("src"):
        if source.startswith("data:image/svg"):
            svg = base64.b64decode(source.split(",")[1]).decode()
            found |= set(re.findall(">([^<>]+)</text>", svg))
    return found


def test_clusters_fitted_on_test_slides_are_called_transductive(make):
    page = Page(make(fit_on="all").report())
    assert '<p class="warn">Fitted on all slides of each fold, the test slides' in page.source
    assert "without their labels" in page.words() and "transductive" in page.words()
    assert "linear classifier reads" not in page.words()  # of k-means there is none
    unlabelled = Page(make(classes=(), methods=(), fit_on="all").report()).words()
    assert "nothing is held out: the clusters are fitted on every" in unlabelled
    assert "transductive" not in unlabelled


def test_a_probe_of_a_network_that_saw_the_test_slides_is_not_out_of_fold(make):
    """The classifier is: a study in which it uses such clusters is refused."""
    page = Page(make(clustering="deepcluster", fit_on="all").report())
    said = "AUROC on the test slides, all folds together, of a logistic regression on the frozen "
    said += "layer: as the clustering trained it (on these slides too, without their labels), as it"
    assert said in page.words() and "AUROC out of fold" not in page.words()
    assert page.numbers()[2].endswith("labels of 2 slides, out of fold")
