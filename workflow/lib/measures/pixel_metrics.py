"""How well probabilities of pixels agree with pixel truth, from histograms alone.

A slide becomes two histograms over 1000 thresholds, one of its background and one of its
foreground pixels. They are small whatever the slide's size, they add up over slides, and every
metric here is a function of such a sum: so pooling and resampling never touch a pixel again.

PxAP is the pixel-wise average precision of Choe et al. (CVPR 2020) as used for histology by Rony
et al. (2019) and NEGEV (Belharbi et al., MIDL 2022): pixels of the whole split in one pool.
"""

from collections.abc import Iterable

import numpy as np

from workflow.lib.measures.bootstrap import Measured, measure, sum_by
from workflow.lib.tiles.codes import FULL

BINS = 1001  # [0, .001), [.001, .002) ... [.999, 1), and exactly 1
THRESHOLDS = np.arange(BINS) / 1000

# The bin of every code in whole numbers: code / 65535 >= k / 1000 holds exactly when bin >= k.
_BIN_OF_CODE = (np.arange(FULL + 1, dtype=np.int64) * 1000 // FULL).astype(np.int16)


def histograms(
    scores: np.ndarray, truth: np.ndarray, covered: np.ndarray | None = None
) -> np.ndarray:
    """Count background (row 0) and foreground (row 1) pixels by score, (2, 1001) int64.

    `scores` are uint16 codes (probability * 65535) or floats in 0..1; `truth` is nonzero on
    foreground; pixels where `covered` is 0 are left out. All three have one shape.
    Raises ValueError for other shapes, and for scores that are NaN or outside 0..1.
    """
    if scores.shape != truth.shape or (covered is not None and covered.shape != scores.shape):
        raise ValueError(
            f"scores are {scores.shape} but truth is {truth.shape}"
            + (f" and coverage {covered.shape}" if covered is not None else "")
        )
    if scores.dtype == np.uint16:
        bins = _BIN_OF_CODE[scores]
    else:
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("a score is NaN or outside 0..1; probabilities are expected")
        bins = np.searchsorted(THRESHOLDS, scores, side="right") - 1
    joint = bins + BINS * (truth != 0).astype(np.int16)
    if covered is not None:
        joint = joint[covered != 0]
    return np.bincount(joint.ravel(), minlength=2 * BINS).reshape(2, BINS)


def count_bands(
    bands: Iterable[tuple[int, np.ndarray, np.ndarray]], truth: np.ndarray
) -> tuple[np.ndarray, int]:
    """`histograms` of a heatmap that comes band by band, (2, 1001), and the truth it leaves out.

    `bands` are (row0, uint16 codes (r, W), covered (r, W)); `truth` is (H, W). Pixels without
    coverage do not count: nobody looked there. How many of them are foreground is the second
    result.
    """
    counts, uncovered = np.zeros((2, BINS), np.int64), 0
    for row, scores, covered in bands:
        part = truth[row : row + len(scores)]
        counts += histograms(scores, part, covered)
        uncovered += int(((part != 0) & (covered == 0)).sum())
    return counts, uncovered


def precision_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of `score >= threshold` for each of `THRESHOLDS`, each (..., 1001).

    `counts` is (..., 2, 1001). Precision is NaN where nothing scores that high, recall where
    there is no foreground.
    """
    above = _at_or_above(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = above[..., 1, :] / above.sum(-2)
        recall = above[..., 1, :] / above[..., 1, :1]
    return precision, recall


def pxap(counts: np.ndarray) -> np.ndarray:
    """PxAP in percent, of shape (...) for `counts` (..., 2, 1001); NaN without foreground.

    100 * sum_k precision_k * (recall_k - recall_{k-1}) over descending thresholds. The published
    code adds edges at 1, 2 and 3 and starts its sum at index 1: the first bin that it skips is
    [2, 3], which no probability reaches, so nothing is lost and recall starts from 0 here.
    A perfect map gives 100; a constant map gives 100 times the share of foreground.
    """
    precision, recall = precision_recall(counts)
    gained = recall - np.concatenate([recall[..., 1:], np.zeros_like(recall[..., :1])], axis=-1)
    return 100 * np.where(gained > 0, np.nan_to_num(precision) * gained, gained * 0).sum(-1)


def confusion(counts: np.ndarray, threshold: float) -> np.ndarray:
    """Pixels as [[tn, fp], [fn, tp]] when `score >= threshold` is foreground, (..., 2, 2) int64.

    `threshold` is one of `THRESHOLDS`; row = truth, column = prediction.
    """
    index = round(threshold * 1000)
    if index / 1000 != threshold:
        raise ValueError(f"{threshold} is no multiple of 0.001")
    return np.stack([counts[..., :index].sum(-1), counts[..., index:].sum(-1)], axis=-1)


def overlaps(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Dice and IoU of foreground and background, each of shape (...), from `confusion` cells.

    NaN where a class is neither in the truth nor predicted: there is nothing to agree on.
    """
    tn, fp, fn, tp = (cells[..., row, column] for row in (0, 1) for column in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        iou_fg, iou_bg = tp / (tp + fp + fn), tn / (tn + fp + fn)
        return {
            "dice_fg": 2 * tp / (2 * tp + fp + fn),
            "dice_bg": 2 * tn / (2 * tn + fp + fn),
            "iou_fg": iou_fg,
            "iou_bg": iou_bg,
            "miou": (iou_fg + iou_bg) / 2,
        }


def measure_ranking(
    counts: np.ndarray, uncovered: np.ndarray, patients: np.ndarray, *, replicates: int, seed: int
) -> dict[str, Measured]:
    """What needs no threshold, over the pool of S slides, with intervals over `patients` (S,).

    `counts` (S, 2, 1001) and `uncovered` (S,) as from `count_bands`. pxap; pxap_chance, which is
    what a constant map would score; truth_uncovered, the share of the foreground without a tile.
    """
    pools = sum_by(patients, counts.reshape(len(counts), -1))
    left_out = sum_by(patients, uncovered)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        pooled = (weights @ pools).reshape(-1, 2, BINS)
        outside, (background, foreground) = weights @ left_out, pooled.sum(-1).T
        marked = np.where(foreground > 0, foreground, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "pxap": pxap(pooled),
                "pxap_chance": 100 * marked / (marked + background),
                "truth_uncovered": outside / (outside + foreground),
            }

    return measure(metrics, patients=len(pools), replicates=replicates, seed=seed)


def measure_overlaps(
    cells: np.ndarray, patients: np.ndarray, *, replicates: int, seed: int
) -> dict[str, Measured]:
    """`overlaps` of the pooled `confusion` cells (S, 2, 2), with intervals over `patients` (S,)."""
    pools = sum_by(patients, cells)
    return measure(
        lambda weights: overlaps(np.tensordot(weights, pools, axes=1)),
        patients=len(pools),
        replicates=replicates,
        seed=seed,
    )


def best_threshold(counts: np.ndarray) -> float | None:
    """The threshold with the highest mean IoU on `counts` (2, 1001); the lowest one of several.

    It needs pixel truth, and says nothing about slides that it was chosen on. None unless there
    is both foreground and background.
    """
    if not counts.any(-1).all():
        return None
    above = _at_or_above(counts)
    cells = np.stack([above[:, :1] - above, above], axis=-1)  # (truth, threshold, prediction)
    miou = overlaps(cells.swapaxes(0, 1))["miou"]
    return float(THRESHOLDS[np.nanargmax(miou)])


def otsu_threshold(counts: np.ndarray) -> float | None:
    """Otsu's threshold (IEEE SMC 9, 1979) of a histogram of scores (1001,); it needs no truth.

    `score >= threshold` is foreground. Of thresholds that part the pixels alike (an empty gap
    between two peaks) the middle one is taken. None when all scores share one bin.
    """
    counts = np.asarray(counts, np.float64)
    low = np.cumsum(counts)[:-1]  # pixels below threshold k = 1 ... 1000
    high = counts.sum() - low
    mass = np.cumsum(counts * THRESHOLDS)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = (mass[-1] - mass[:-1]) / high - mass[:-1] / low
        between = np.where((low > 0) & (high > 0), low * high * distance**2, -1.0)
    if not between.size or between.max() < 0:
        return None
    best = np.flatnonzero(np.isclose(between, between.max(), rtol=1e-12, atol=0))
    return float(THRESHOLDS[1 + best[len(best) // 2]])


def _at_or_above(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
