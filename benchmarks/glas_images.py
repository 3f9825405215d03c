"""The images of GlaS, their truth, features and folds, for benchmarks/glas_*.py."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import zoom
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional
from tqdm import tqdm

from workflow.lib.cohort.sheet import read_sheet
from workflow.lib.cohort.splits import split_patients
from workflow.lib.measures.pixel_metrics import histograms, measure_ranking
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.slides.truth import read_mask

CELL_PX = 4
STEP_PX = 8  # px between the locations that are learnt from
REPLICATES = 1000
PER_IMAGE = 80  # locations of either side that an image gives to a linear model

Maps = list[np.ndarray]


def read_study(doc: str) -> "Study":
    """The study of the command line's arguments; `doc` tells what is measured."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--slides", type=Path, required=True, help="the sheet of the images")
    parser.add_argument("--weights", type=Path, help="folder of squeezenet1_1-imagenet*")
    parser.add_argument("--checkpoint", default="imagenet", help="random: only to try the command")
    parser.add_argument("--seed", type=int, default=0, help="of folds and draws")
    given = parser.parse_args()
    return Study(given.slides, given.checkpoint, given.weights, given.seed)


class Study:
    """The images, their truth and features, and the folds that they are tested in."""

    def __init__(self, sheet: Path, checkpoint: str, weights: Path | None, seed: int) -> None:
        self.seed, self.rng = seed, np.random.default_rng(seed)
        classes = ["benign", "malignant"]
        slides = read_sheet(sheet, classes=classes, labels_needed=True)
        placed = split_patients(slides, folds=5, val_fraction=0.25, group_by="patient", seed=seed)
        folds = {row.slide: row.fold for row in placed if row.split == "test"}
        self.fold = np.array([folds[slide.slide] for slide in slides])
        self.patient = np.array([slide.patient for slide in slides])
        self.label = np.array([classes.index(slide.label) for slide in slides])
        start = {"checkpoint": checkpoint, "weights": weights, "seed": seed}
        self.network = build_backbone("squeezenet1_1", **start).eval()
        self.rgb, self.truth, self.features = [], [], []
        for slide in tqdm(slides, desc="images", disable=None):
            rgb = np.array(Image.open(slide.path).convert("RGB"))
            shape = rgb.shape[:2]
            mask = read_mask(slide.mask, shape_px0=shape, out_shape=shape) > 0
            height, width = (side // 16 * 16 for side in shape)
            self.rgb.append(rgb[:height, :width])
            self.truth.append(shrink(mask[:height, :width].astype(np.float32), CELL_PX) > 0.5)
            self.features.append(locate(self.network, self.rgb[-1]))

    def say(self, name: str, maps: Maps) -> None:
        """Print the PxAP of `maps`, each scaled to 0..1 over its image, as published."""
        both = list(zip(maps, self.truth, strict=True))
        maps = [zoom(m, np.divide(t.shape, m.shape), order=1) for m, t in both]
        counts = [histograms(scaled(m), t) for m, t in zip(maps, self.truth, strict=True)]
        about = {"replicates": REPLICATES, "seed": self.seed}
        found = measure_ranking(np.stack(counts), np.zeros(len(maps)), self.patient, **about)
        value, (low, high) = found["pxap"]
        print(f"{name:58} {value:5.1f} [{low:.1f}, {high:.1f}]", flush=True)

    def learn(self, seeds: list[tuple[np.ndarray, np.ndarray]], features: Maps) -> Maps:
        """Probabilities out of fold of a linear model of locations; seeds: (rows, 0 or 1)."""
        found = [None] * len(seeds)
        for fold in np.unique(self.fold):
            train = np.flatnonzero(self.fold != fold)
            rows = np.concatenate([features[i][..., seeds[i][0]].T for i in train])
            model = linear().fit(rows, np.concatenate([seeds[i][1] for i in train]))
            for i in np.flatnonzero(self.fold == fold):
                found[i] = model.predict_proba(features[i].T)[:, 1].reshape(self.grid(i))
        return found

    def grid(self, image: int) -> tuple[int, int]:
        return tuple(side // STEP_PX for side in self.rgb[image].shape[:2])

    def draw(self, maps: Maps, above: float, below: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Locations above and below two cuts of maps in 0..1, as many as these have a share of."""
        found = []
        for each in maps:
            flat = scaled(each).ravel()
            sides = [np.flatnonzero(flat < below), np.flatnonzero(flat >= above)]
            share = 2 * PER_IMAGE / flat.size
            sides = [self.rng.permutation(s)[: int(share * len(s)) + 1] for s in sides]
            found.append((np.concatenate(sides), np.repeat([0, 1], [len(s) for s in sides])))
        return found


def linear(**options: object) -> object:
    logistic = LogisticRegression(C=1e-3, max_iter=300, **options)
    return make_pipeline(StandardScaler(), logistic)


def locate(network: torch.nn.Module, rgb: np.ndarray) -> Maps:
    """Features (D, N) of every map of the pyramid at locations STEP_PX apart."""
    tiles = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255
    size = [side // STEP_PX for side in rgb.shape[:2]]
    with torch.inference_mode():
        levels = [
            functional.interpolate(level, size, mode="bilinear", antialias=True)
            for level in network.pyramid(tiles)
        ]
    return [level[0].flatten(1).numpy() for level in levels]


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor for side in image.shape)
    cut = image[: height * factor, : width * factor]
    return cut.reshape(height, factor, width, factor).mean((1, 3))


def scaled(image: np.ndarray) -> np.ndarray:
    low, high = image.min(), image.max()
    return np.clip((image - low) / (high - low), 0, 1) if high > low else np.zeros_like(image)
