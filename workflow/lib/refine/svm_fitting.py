"""A support vector machine fitted to pixels: parameters by cross-validation, and a probability."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.svm import SVC

from workflow.lib.cohort.partitions import partitions
from workflow.lib.refine.pixel_samples import Pixels
from workflow.lib.refine.pixel_svm import PixelSvm, scale

PENALTY = 1e6  # inverse, of the two numbers of the probability: as good as none


def fit_svm(
    pixels: Pixels,
    *,
    gamma: Sequence[float],
    cost: Sequence[float],
    foreground_weight: Sequence[float],
    folds: int,
    search_pixels: int,
    illumination_px: float,
    step_px: int,
    seed: int,
    threads: int,
) -> tuple[PixelSvm, list[dict], str]:
    """The machine, how each choice of parameters did, and in words what the choice rests on.

    Every gamma, cost (C) and weight of the foreground is cross-validated on `search_pixels` of the
    pixels, whole patients held out; the choice with the best average precision of all held-out
    decisions is fitted to all pixels. Its probability is Platt's sigmoid on the decisions that it
    makes on held-out patients, of all pixels. With one patient, or where each patient shows one
    class alone, tiles are held out instead. Raises ValueError where tiles cannot be either.
    """
    low, high = pixels.features.amin(dim=0), pixels.features.amax(dim=0)
    scaled = scale(pixels.features, low, high).double().numpy()
    rng = np.random.default_rng(seed)
    few = _few(pixels.truth, search_pixels, rng)
    grid = list(itertools.product(gamma, cost, foreground_weight))
    parts, kind = _hold_out(pixels.only(few), folds, seed)
    with ThreadPoolExecutor(threads) as workers:  # libsvm lets go of the interpreter
        found = [
            (average_precision_score(pixels.truth[few], decisions), choice)
            for choice in grid
            for decisions in [_held_out(workers, scaled[few], pixels.truth[few], parts, choice)]
        ]
        best = max(found, key=lambda each: each[0])[1]
        parts, kind = _hold_out(pixels, folds, seed)
        slope, offset = fit_sigmoid(
            _held_out(workers, scaled, pixels.truth, parts, best), pixels.truth
        )
    machine = _fit(scaled, pixels.truth, best)
    names = ("gamma", "cost", "foreground_weight")
    rows = [dict(zip(names, each, strict=True)) | {"average_precision": ap} for ap, each in found]
    said = f"gamma {best[0]:g}, C {best[1]:g} and foreground weight {best[2]:g}: the best average "
    said += f"precision of {len(parts)}-fold cross-validation over {kind} of training slides"
    model = PixelSvm(
        torch.from_numpy(machine.support_vectors_),
        torch.from_numpy(machine.dual_coef_[0]),
        low,
        high,
        gamma=float(best[0]),
        bias=float(machine.intercept_[0]),
        slope=slope,
        offset=offset,
        illumination_px=illumination_px,
        step_px=step_px,
    )
    return model, rows, said


def fit_sigmoid(decisions: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the probability 1 / (1 + exp(-(slope * decision + offset))).

    Platt (1999): the most likely, where each pixel of a class with n pixels counts as (n + 1) of
    n + 2 for its class, so that classes that never meet do not make an endless slope.
    """
    counts = np.array([(~truth).sum(), truth.sum()])
    sure = ((counts + 1) / (counts + 2))[truth.astype(int)]
    twice = np.concatenate([decisions, decisions])[:, None]
    model = LogisticRegression(C=PENALTY, max_iter=1000)
    model.fit(twice, np.concatenate([truth, ~truth]), np.concatenate([sure, 1 - sure]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _few(truth: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of up to `count` pixels, half of each class where there are as many, in order."""
    halves = [rng.permutation(np.flatnonzero(truth == kind))[: count // 2] for kind in (0, 1)]
    return np.sort(np.concatenate(halves))


def _hold_out(pixels: Pixels, folds: int, seed: int) -> tuple[list[np.ndarray], str]:
    """Which pixels each fold holds out (bool), and whether by patients or by tiles."""
    for kind, groups in (("patients", pixels.patients), ("tiles", pixels.tiles)):
        count = min(folds, len(np.unique(groups)))
        if count < 2:
            continue
        for parts in partitions(pixels.truth, groups, count, seed):
            if all(len(np.unique(pixels.truth[~part])) == 2 for part in parts):
                return parts, kind
    raise ValueError(
        "svm cannot be cross-validated: its training pixels are of one tile, or each tile shows "
        "one class alone; give masks of more slides, or leave svm out of refine_masks.methods"
    )


def _held_out(
    workers: ThreadPoolExecutor,
    features: np.ndarray,
    truth: np.ndarray,
    parts: Sequence[np.ndarray],
    choice: tuple[float, float, float],
) -> np.ndarray:
    """Decisions (n,) on each pixel by a machine that was fitted to the other parts."""
    decisions = np.empty(len(truth))

    def decide(part: np.ndarray) -> None:
        machine = _fit(features[~part], truth[~part], choice)
        decisions[part] = machine.decision_function(features[part])

    list(workers.map(decide, parts))
    return decisions


def _fit(features: np.ndarray, truth: np.ndarray, choice: tuple[float, float, float]) -> SVC:
    gamma, cost, weight = choice
    return SVC(gamma=gamma, C=cost, class_weight={0: 1, 1: weight}, cache_size=500).fit(
        features, truth.astype(int)
    )
