"""What a linear classifier can read from a layer of a frozen network.

The usual judge of features learnt without labels (Zhang et al., Colorful Image Colorization, ECCV
2016; DeepCluster, ECCV 2018): fit a linear classifier to each layer, score what it never saw. The
same network with random weights is judged beside it, because a random layer is no empty one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from workflow.lib.bootstrap import Measured, measure
from workflow.lib.label_metrics import macro_ranking
from workflow.lib.tables import NOT_DEFINED, metric_row

STEPS = 2000  # of the solver at most; it needs some dozens on standardised features


class Probe(NamedTuple):
    """Which layer of which network: "trained", "start" or "random", the last with its seed."""

    network: str
    seed: int | None
    layer: str
    dim: int


def draw_tiles(slides: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """At most `count` of the N tiles that lie on `slides` (N,) int; their rows, sorted.

    Every slide deals its tiles in random order, one a turn, so that a slide with few tiles keeps
    them and no slide crowds out another.
    """
    order = np.random.default_rng(seed).permutation(len(slides))
    dealt = order[np.argsort(slides[order], kind="stable")]  # slide after slide
    turn = np.empty(len(slides), np.int64)
    sizes = np.unique(slides, return_counts=True)[1]
    turn[dealt] = np.arange(len(slides)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[np.argsort(turn[order], kind="stable")[:count]])


def balanced_weights(slides: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights (N,) float64 with mean 1 that give classes the same weight, and slides of a class.

    slides, labels: (N,) int per tile; a slide has one label.
    """
    _, classes, tiles_of_class = np.unique(labels, return_inverse=True, return_counts=True)
    _, groups, tiles_of_slide = np.unique(slides, return_inverse=True, return_counts=True)
    slides_of_class = np.array(
        [len(np.unique(slides[classes == each])) for each in range(len(tiles_of_class))]
    )
    share = len(tiles_of_class) * slides_of_class[classes] * tiles_of_slide[groups]
    return len(labels) / share


def fit_probe(
    features: np.ndarray, labels: np.ndarray, slides: np.ndarray, *, penalty: float
) -> Pipeline:
    """A logistic regression on the standardised features (N, D) of tiles, as a scikit-learn model.

    It minimises the cross entropy, summed over tiles with `balanced_weights`, plus penalty / 2
    times the squared length of the coefficients. labels, slides: (N,) int. Columns of its
    probabilities are the labels that occur, ascending.
    Raises ValueError, without classes to part, when fewer than two labels occur.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError("a probe needs training tiles of two classes at least")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=STEPS))
    weights = balanced_weights(slides, labels)
    return model.fit(
        np.asarray(features, np.float64), labels, logisticregression__sample_weight=weights
    )


def pool_slides(
    scores: np.ndarray, slides: np.ndarray, *, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean scores (S, C) of the slides that have tiles, and which of `count` slides these are (S,).

    scores: (N, C) of tiles, slides: (N,) int.
    """
    tiles = np.bincount(slides, minlength=count)
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, slides, scores)
    present = np.flatnonzero(tiles)
    return sums[present] / tiles[present, None], present


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUROC of `scores` (N, C) for `labels` (N,) int, of more than two classes the mean; or NaN."""
    return float(macro_ranking(scores, labels, np.ones((1, len(labels))))[0][0])


def probe_rows(
    scores: Mapping[Probe, np.ndarray],
    slides: np.ndarray,
    *,
    labels: np.ndarray,
    patients: Sequence[str],
    clustering: str,
    positive: int | None,
    replicates: int,
    seed: int,
) -> Iterator[dict]:
    """Rows of a metrics table for tiles and for slides, all folds together.

    scores: probe -> (N, C) class probabilities of tested tiles, layers of a network shallow to
    deep; slides: (N,) int slide of a tile; labels: (S,) int; patients: S names; positive: see
    label_metrics.macro_ranking.

    auroc has an interval over patients; of random networks it is the mean over their seeds, and
    auroc_min and auroc_max are the lowest and the highest seed. auroc_gain is what training adds
    to the last layer over `start` and over `random`: the layer is fixed before anything is
    measured, and both networks are measured on the same draws of patients.
    """
    shown, labels = np.unique(slides), np.asarray(labels)
    names, columns = np.unique(np.asarray(patients, str)[shown], return_inverse=True)
    groups, gains = _groups(scores, clustering)
    draws = {"positive": positive, "patients": len(names), "replicates": replicates, "seed": seed}
    of_slides = {p: pool_slides(s, slides, count=len(labels))[0] for p, s in scores.items()}
    places = np.searchsorted(shown, slides)
    levels = {"tile": (scores, places), "image": (of_slides, np.arange(len(shown)))}
    for level, (found, items) in levels.items():
        about = {"fold": "all", "level": level, "n": len(shown)}
        values = _measure(found, labels[shown][items], columns[items], groups, gains, **draws)
        for (metric, method), value in values.items():
            yield metric_row(metric, *value, **about, method=method)


def _groups(
    scores: Iterable[Probe], clustering: str
) -> tuple[dict[str, list[Probe]], dict[str, tuple[str, str]]]:
    """Method -> its probes, which are several where seeds are; gain -> the methods it parts."""
    titles = {"trained": clustering, "start": "start", "random": "random"}
    groups: dict[str, list[Probe]] = {}
    for probe in scores:
        groups.setdefault(f"probe {titles[probe.network]} {probe.layer}", []).append(probe)
    gains = {}
    for layer in [probe.layer for probe in scores if probe.network == "trained"][-1:]:
        for other in ("start", "random"):
            if (base := f"probe {other} {layer}") in groups:
                title = f"probe {clustering} over {other} {layer}"
                gains[title] = (f"probe {clustering} {layer}", base)
    return groups, gains


def _measure(
    scores: Mapping[Probe, np.ndarray],
    labels: np.ndarray,
    columns: np.ndarray,
    groups: Mapping[str, Sequence[Probe]],
    gains: Mapping[str, tuple[str, str]],
    *,
    positive: int | None,
    patients: int,
    replicates: int,
    seed: int,
) -> dict[tuple[str, str], Measured]:
    """(metric, method) -> value and interval; columns: (N,) int patient of an item."""

    def ranked(weights: np.ndarray) -> dict[Probe, np.ndarray]:
        return {
            probe: macro_ranking(values, labels, weights, columns, positive=positive)[0]
            for probe, values in scores.items()
        }

    def metrics(weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        each = ranked(weights)
        values = {name: np.mean([each[p] for p in own], axis=0) for name, own in groups.items()}
        found = {("auroc", name): value for name, value in values.items()}
        return found | {("auroc_gain", n): values[a] - values[b] for n, (a, b) in gains.items()}

    measured = measure(metrics, patients=patients, replicates=replicates, seed=seed)
    whole = ranked(np.ones((1, patients)))
    for name, own in groups.items():
        if own[0].network == "random":
            starts = [float(whole[probe][0]) for probe in own]
            measured["auroc_min", name] = (min(starts), NOT_DEFINED)
            measured["auroc_max", name] = (max(starts), NOT_DEFINED)
    return measured
