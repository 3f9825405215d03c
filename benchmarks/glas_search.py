"""What can be known of where glands are on GlaS, step by step, from nothing to pixel labels.

    python benchmarks/glas_search.py --slides PATH/slides.tsv --weights PATH

Every row is the PxAP of a map of all images, in cells of 4 px, with its 95% interval over patients.
What is learnt is learnt on frozen SqueezeNet features and judged out of fold, patients apart. What
no row does is to choose anything by a pixel of truth; rows that learn from truth say so: they are
limits. docs/decisions/glas.md tells what was made of it.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from skimage.color import rgb2hed
from skimage.morphology import area_closing
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.glas_images import (
    CELL_PX,
    STEP_PX,
    Maps,
    Study,
    linear,
    read_study,
    scaled,
    shrink,
)
from workflow.lib.evidence.glands import darken, gland_map

MPP, CELL_UM = 0.62005, 4 * 0.62005
GLANDS = {"min_lumen_um2": 500.0, "max_lumen_um2": 20_000.0, "wall_um": 20.0}  # as in config.yaml
BLUR_PX = 4  # 2.5 um


def main() -> None:
    study = read_study(__doc__)
    for part in (no_labels, limits, from_glands, from_labels):
        part(study)


def no_labels(study: Study) -> None:
    """Maps that need neither label nor learning."""
    study.say("constant: the share of glands", [np.zeros(t.shape) for t in study.truth])
    red = [rgb[..., 0] for rgb in study.rgb]
    for blur in (BLUR_PX, 2 * BLUR_PX):
        dark = [darken(r, cell_px=CELL_PX, blur_px=blur) for r in red]
        study.say(f"darkness of red, blurred by {blur * MPP:.1f} um", dark)
    stain = [shrink(gaussian_filter(rgb2hed(rgb)[..., 0], 8), CELL_PX) for rgb in study.rgb]
    study.say("haematoxylin (colour deconvolution), blurred by 5.0 um", stain)
    dark = [darken(r, cell_px=CELL_PX, blur_px=BLUR_PX) for r in red]
    closed = [area_closing(d, round(GLANDS["max_lumen_um2"] / CELL_UM**2)) for d in dark]
    study.say("darkness with lumens filled", closed)
    study.glands = [gland_map(d, cell_um=CELL_UM, **GLANDS) for d in dark]
    study.say("glands: and lumens grown by their wall", study.glands)
    for key in GLANDS:
        for factor in (0.5, 2.0):
            changed = GLANDS | {key: factor * GLANDS[key]}
            maps = [gland_map(d, cell_um=CELL_UM, **changed) for d in dark]
            study.say(f"glands, {key} {changed[key]:g} instead of {GLANDS[key]:g}", maps)


def limits(study: Study) -> None:
    """What features hold, told by truth: no result of a weakly supervised method."""
    truth = [shrink(t.astype(np.float32), 2) > 0.5 for t in study.truth]
    seeds = [(np.arange(0, t.size, 7), t.ravel()[::7].astype(int)) for t in truth]
    for name, used in (("2", [0]), ("4", [1]), ("8", [2]), ("16", [3]), ("all", [0, 1, 2, 3])):
        parts = [np.concatenate([f[c] for c in used]) for f in study.features]
        study.say(f"linear, learnt from TRUTH, stride {name}", study.learn(seeds, parts))
    deep = [f[2] for f in study.features]
    points = np.concatenate([f[:, ::11].T for f in deep])
    model = KMeans(64, n_init=1, random_state=study.seed).fit(points)
    where = [model.predict(np.ascontiguousarray(f.T)) for f in deep]
    every, glands = np.concatenate(where), np.concatenate([t.ravel() for t in truth])
    share = np.bincount(every, glands, 64) / np.bincount(every, minlength=64)
    told = [share[w].reshape(study.grid(i)) for i, w in enumerate(where)]
    study.say("64 clusters, each at its TRUE share of glands", told)


def from_glands(study: Study) -> None:
    """A linear model of all features that learns from the gland map, and what it adds."""
    features = [np.concatenate(f) for f in study.features]
    maps = [scaled(shrink(g, 2)) for g in study.glands]
    for step in ("the gland map", "that mean, a second round"):
        learnt = study.learn(study.draw(maps, 0.6, 0.2), features)
        study.say(f"linear, learnt from {step}", learnt)
        both = zip(learnt, study.glands, strict=True)
        maps = [scaled(a + scaled(shrink(g, 2))) for a, g in both]
        study.say(f"mean of the gland map and what learnt from {step}", maps)


def from_labels(study: Study) -> None:
    """What the labels of images say of where, and of which map is the right one."""
    for name, level in (("8", 2), ("16", 3)):
        drawn = [study.rng.choice(f[level].shape[1], 100) for f in study.features]
        seeds = [(d, np.full(100, y)) for d, y in zip(drawn, study.label, strict=True)]
        classes = study.learn(seeds, [f[level] for f in study.features])
        own = [c if y else 1 - c for c, y in zip(classes, study.label, strict=True)]
        study.say(f"a location's own score of the label, stride {name}", own)
    found, deep = [], [f[3] for f in study.features]
    truth = np.concatenate([shrink(1.0 * t, 2).ravel() > 0.5 for t in study.truth])
    for blur in (4, 8, 16):
        for maps in candidates(study, blur):
            flat = [m.ravel() for m in maps]
            order = roc_auc_score(truth, np.concatenate([scaled(f) for f in flat]))
            both = list(zip(deep, flat, strict=True))
            inside = [f[:, m >= np.quantile(m, 0.6)].mean(1) for f, m in both]
            outside = [f[:, m <= np.quantile(m, 0.4)].mean(1) for f, m in both]
            found.append((order, told_apart(study, inside), told_apart(study, outside)))
    order, inside, outside = np.array(found).T
    print(f"\n{len(found)} maps by stain and texture: does the label tell which shows glands?")
    for name, score in {"within": inside, "within less without": inside - outside}.items():
        rank = spearmanr(order, score)
        print(f"  AUROC of the label {name}: Spearman {rank.statistic:.2f} (p {rank.pvalue:.2f})")


def candidates(study: Study, blur: int) -> list[Maps]:
    """Maps of stain, colour and texture, their negatives, and all of these with lumens filled."""
    made = [lambda i: -i.mean(2), lambda i: -i[..., 0], lambda i: i.min(2) - i.max(2)]
    made += [lambda i: rgb2hed(i)[..., 0], lambda i: rgb2hed(i)[..., 1]]
    made += [lambda i: np.hypot(*np.gradient(gaussian_filter(i.mean(2), 1)))]
    lumen = round(GLANDS["max_lumen_um2"] / (STEP_PX * MPP) ** 2)
    found = []
    for make in made:
        maps = [shrink(gaussian_filter(make(rgb / 255.0), blur), STEP_PX) for rgb in study.rgb]
        for sign in (1, -1):
            signed = [scaled(sign * m) for m in maps]
            found += [signed, [area_closing(m, lumen) for m in signed]]
    return found


def told_apart(study: Study, features: list[np.ndarray]) -> float:
    """AUROC, out of fold, of the labels of images from features (D,) of each."""
    rows, score = np.stack(features), np.zeros(len(features))
    for fold in np.unique(study.fold):
        test = study.fold == fold
        model = linear(class_weight="balanced").fit(rows[~test], study.label[~test])
        score[test] = model.decision_function(rows[test])
    return roc_auc_score(study.label, score)


if __name__ == "__main__":
    main()
