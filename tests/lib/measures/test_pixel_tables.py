"""The number of pixel masks behind a row: those that taught, and those that chose."""

import numpy as np

from workflow.lib.measures.pixel_metrics import BINS
from workflow.lib.measures.pixel_tables import Counted, Threshold, metric_rows


def counted(slide, fold, masks):
    counts = np.zeros((2, BINS), np.int64)
    counts[0, 200], counts[1, 800] = 30, 10
    return Counted(slide, f"p-{slide}", fold, counts, 0, masks=frozenset(masks))


def used(first=(), second=()):
    slides = [counted("a", "0", first), counted("b", "1", second)]
    chosen = [
        Threshold("otsu_val", "0", 0.5),
        Threshold("otsu_val", "1", 0.5),
        Threshold("best_val", "0", 0.5, frozenset({"v", "t"})),
        Threshold("best_val", "1", 0.5, frozenset({"w"})),
    ]
    rows = metric_rows(slides, chosen, method="none", replicates=20, seed=0)
    return {(row["fold"], row["metric"]): row["pixel_masks_used"] for row in rows}


def test_masks_that_taught_and_masks_that_chose_count_once_each():
    found = used({"t", "u"}, {"a", "t"})
    for metric in ("pxap", "truth_uncovered", "miou@otsu_val"):
        assert [found[fold, metric] for fold in ("0", "1", "all")] == [2, 2, 3]
    assert found["1", "threshold@otsu_val"] == 2
    assert [found[fold, "miou@best_val"] for fold in ("0", "1", "all")] == [3, 3, 5]


def test_without_teachers_only_choosers_count():
    found = used()
    assert {found[fold, "pxap"] for fold in ("0", "1", "all")} == {0}
    assert [found[fold, "miou@best_val"] for fold in ("0", "1", "all")] == [2, 1, 3]
