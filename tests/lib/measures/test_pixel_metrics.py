import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from sklearn.metrics import average_precision_score, jaccard_score

from workflow.lib.measures.pixel_metrics import (
    BINS,
    THRESHOLDS,
    best_threshold,
    confusion,
    histograms,
    otsu_threshold,
    overlaps,
    precision_recall,
    pxap,
)


def made_up(seed, size=20_000, share=0.3):
    """Scores that know something of the truth, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < share
    return rng.beta(np.where(truth, 4, 2), np.where(truth, 2, 4)), truth


def codes(scores):
    return np.round(scores * 65535).astype(np.uint16)


def published_pxap(scores, truth):
    """The protocol as published, on pixels: 1003 edges, descending, starting at index 1."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    tp = np.histogram(scores[truth], bins=edges)[0][::-1].cumsum()
    fp = np.histogram(scores[~truth], bins=edges)[0][::-1].cumsum()
    occupied = tp + fp > 0
    precision = tp / np.maximum(tp + fp, 1)
    recall = tp / truth.sum()
    return 100 * (precision[1:] * np.diff(recall))[occupied[1:]].sum()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.02, 0.98))
def test_pxap_is_the_average_precision_of_scikit_learn_on_binned_scores(seed, share):
    scores, truth = made_up(seed, 2000, share)
    scores = np.append(scores, [0.5, 0.5])
    truth = np.append(truth, [True, False])
    binned = np.floor(codes(scores).astype(np.int64) * 1000 / 65535)
    expected = average_precision_score(truth, binned)
    assert pxap(histograms(codes(scores), truth)) / 100 == pytest.approx(expected, abs=1e-12)


def test_pxap_on_many_pixels_is_within_a_thousandth_of_scikit_learn():
    scores, truth = made_up(0)
    expected = average_precision_score(truth, scores)
    for form in (scores, codes(scores)):
        assert pxap(histograms(form, truth)) / 100 == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_pxap_is_the_published_sum(seed):
    scores, truth = made_up(seed)
    scores[:50] = 1.0  # the pixels that the edge at 1 is for
    assert pxap(histograms(scores, truth)) == pytest.approx(published_pxap(scores, truth), abs=1e-9)


def test_perfect_map_scores_100():
    truth = np.array([[True, False], [False, True]])
    assert pxap(histograms(truth.astype(float), truth)) == 100
    assert pxap(histograms(np.where(truth, 0.4, 0.3), truth)) == pytest.approx(100)


@pytest.mark.parametrize("value", [0.0, 0.0004, 0.5, 0.9995, 1.0])
def test_constant_map_scores_the_share_of_foreground(value):
    """Also at 0 and at 1: the bin that the published sum skips is one that nothing reaches."""
    truth = np.arange(1000) < 250
    assert pxap(histograms(np.full(1000, value), truth)) == pytest.approx(25)


def test_pxap_by_hand():
    # descending: fg .9 | bg .8 | fg .7, fg .7 | bg .1
    scores = np.array([0.9, 0.8, 0.7, 0.7, 0.1])
    truth = np.array([1, 0, 1, 1, 0])
    assert pxap(histograms(scores, truth)) == pytest.approx(100 * (1 / 3 * 1 + 2 / 3 * 3 / 4))


def test_without_foreground_pxap_is_undefined_not_zero():
    assert np.isnan(pxap(histograms(np.array([0.2, 0.8]), np.array([0, 0]))))


def test_codes_and_floats_meet_every_threshold_alike():
    """A code counts as at or above k / 1000 exactly when code / 65535 >= k / 1000."""
    every = np.arange(65536, dtype=np.uint16)
    for index in (1, 29, 290, 570, 999, 1000):
        counted = histograms(every, np.zeros(65536))[0, index:].sum()
        assert counted == sum(1000 * code >= 65535 * index for code in range(65536))
    exact = histograms(THRESHOLDS, np.zeros(BINS))[0]
    assert (exact == 1).all()


def test_histograms_of_parts_add_up():
    scores, truth = made_up(4, 3000)
    whole = histograms(codes(scores), truth)
    parts = [
        histograms(codes(scores[part]), truth[part]) for part in (slice(0, 999), slice(999, None))
    ]
    assert np.array_equal(whole, sum(parts))
    assert whole.sum() == 3000


def test_pixels_outside_coverage_do_not_count():
    scores = np.array([[0.9, 0.1], [0.8, 0.2]])
    truth = np.array([[1, 0], [0, 1]])
    covered = np.array([[1, 1], [0, 0]])
    assert np.array_equal(histograms(scores, truth, covered), histograms(scores[:1], truth[:1]))


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_scores_that_are_no_probabilities_are_refused(bad):
    with pytest.raises(ValueError, match="outside 0..1"):
        histograms(np.array([0.5, bad]), np.array([0, 1]))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        histograms(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="coverage"):
        histograms(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 2)))


def test_confusion_and_overlaps_by_hand():
    scores = np.array([0.9, 0.6, 0.6, 0.2, 0.5])
    truth = np.array([1, 1, 0, 1, 0])
    cells = confusion(histograms(scores, truth), 0.5)
    assert cells.tolist() == [[0, 2], [1, 2]]  # at 0.5 means foreground
    found = overlaps(cells)
    assert found["iou_fg"] == pytest.approx(2 / 5)
    assert found["dice_fg"] == pytest.approx(4 / 7)
    assert found["iou_bg"] == 0
    assert found["miou"] == pytest.approx(1 / 5)


def test_overlaps_agree_with_scikit_learn():
    scores, truth = made_up(7)
    found = overlaps(confusion(histograms(scores, truth), 0.45))
    predicted = scores >= 0.45
    assert found["iou_fg"] == pytest.approx(jaccard_score(truth, predicted))
    assert found["iou_bg"] == pytest.approx(jaccard_score(~truth, ~predicted))
    assert found["dice_bg"] == pytest.approx(2 * found["iou_bg"] / (1 + found["iou_bg"]))


def test_overlap_of_an_absent_class_is_undefined():
    found = overlaps(confusion(histograms(np.array([0.1, 0.2]), np.array([0, 0])), 0.5))
    assert np.isnan(found["dice_fg"]) and found["dice_bg"] == 1


def test_a_threshold_between_bins_is_refused():
    with pytest.raises(ValueError, match=r"0\.0005"):
        confusion(np.zeros((2, BINS), int), 0.0005)


def test_metrics_work_on_a_stack_of_histograms():
    stack = np.stack([histograms(*made_up(seed, 500)) for seed in range(3)])
    each = [pxap(counts) for counts in stack]
    assert pxap(stack).tolist() == each
    miou = overlaps(confusion(stack, 0.5))["miou"]
    assert miou[1] == overlaps(confusion(stack[1], 0.5))["miou"]
    precision, recall = precision_recall(stack)
    assert precision.shape == recall.shape == (3, BINS)
    assert (recall[:, 0] == 1).all() and (np.diff(recall) <= 0).all()


def test_best_threshold_is_the_best_of_all():
    counts = histograms(*made_up(9))
    chosen = best_threshold(counts)
    every = [overlaps(confusion(counts, threshold))["miou"] for threshold in THRESHOLDS]
    assert overlaps(confusion(counts, chosen))["miou"] == max(every)


def test_no_best_threshold_without_both_classes():
    assert best_threshold(histograms(np.array([0.2, 0.7]), np.array([0, 0]))) is None
    assert best_threshold(histograms(np.array([0.2, 0.7]), np.array([1, 1]))) is None


@pytest.mark.parametrize("seed", range(3))
def test_otsu_agrees_with_scikit_image(seed):
    scores, truth = made_up(seed)
    counts = histograms(scores, truth).sum(0)
    expected = threshold_otsu(hist=(counts, THRESHOLDS))  # > expected there, >= ours here
    assert otsu_threshold(counts) == pytest.approx(expected, abs=0.002)


def test_otsu_parts_two_peaks_in_the_middle_of_the_gap():
    counts = histograms(np.r_[np.full(30, 0.2), np.full(10, 0.8)], np.zeros(40)).sum(0)
    assert otsu_threshold(counts) == pytest.approx(0.5, abs=0.01)


def test_otsu_of_one_value_or_nothing_is_undefined():
    assert otsu_threshold(histograms(np.full(9, 0.3), np.zeros(9)).sum(0)) is None
    assert otsu_threshold(np.zeros(BINS, int)) is None
