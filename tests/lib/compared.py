"""Metrics of made-up methods, for the tests of tables that compare them."""

from workflow.lib.jobs.tables import METRICS
from workflow.lib.measures.method_tables import compare_methods

NAMES = {"none": "CAM, unrefined", "negev": "NEGEV", "unet": "U-Net", "svm": "SVM"}
NAMES |= {"points": "Points"}


def row(metric, value, method, *, level="pixel", fold="all", masks=0, n=10, ci=True):
    low, high = (str(value - 1), str(value + 1)) if ci else ("", "")
    cells = (fold, "test", level, method, metric, str(value), low, high, str(n), str(masks))
    return dict(zip(METRICS, cells, strict=True))


def classified(auroc=0.5):
    return [
        row("auroc", 0.25, "classifier", level="tile"),
        row("auroc", 0.125, "classifier (top_k)", level="image", fold="0"),
        row("auroc", 0.75, "abmil", level="image"),
        row("auroc", 0.875, "probe dcec conv1", level="image"),
        row("auroc", auroc, "classifier (top_k)", level="image"),
    ]


def pixels(method, pxap, dice=0.5, miou=0.25, masks=0, chance=40.0):
    return [
        row("pxap", pxap, method, masks=masks),
        row("pxap", 99.0, method, fold="0"),
        row("pxap_chance", chance, method, ci=False),
        row("dice_fg@otsu_val", dice, method, masks=masks),
        row("dice_fg@best_val", 0.99, method, masks=masks + 7),
        row("miou@otsu_val", miou, method, masks=masks),
    ]


CAMS = dict.fromkeys(NAMES, "cam")


def compare(*methods, costs=None, cams=CAMS):
    metrics = [*classified(), *(one for rows in methods for one in rows)]
    return compare_methods(metrics, NAMES, costs or {}, cams=cams)
