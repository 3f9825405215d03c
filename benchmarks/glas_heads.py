"""What pooling and the scale of the input do to class activation maps on GlaS.

    python benchmarks/glas_heads.py --slides PATH/slides.tsv --weights PATH

Every head that Microtome has is trained on the labels of whole images, on frozen SqueezeNet
features of stride 16 at three scales of the input, and judged out of fold, patients apart: the
AUROC of the labels, and the PxAP of the evidence for an image's own class. The epochs are fixed
beforehand, and no pixel of truth is used but to judge.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import glas_images
from benchmarks.glas_images import Study, read_study
from workflow.lib.measures.bootstrap import measure
from workflow.lib.measures.label_metrics import ranking
from workflow.lib.networks.heads import build_head

SCALES = (0.5, 1.0, 2.0)  # times the images' own 0.62 um per px
SETTINGS = {  # as in config.yaml
    "gap": {},
    "max": {},
    "lse": {"sharpness": 10},
    "wildcat": {"maps": 8, "share": 0.2, "alpha": 0.7},
    "attention": {},
}
EPOCHS, BATCH, RATE, DECAY = 30, 8, 1e-3, 1e-2


def main() -> None:
    study = read_study(__doc__)
    for scale in SCALES:
        features = [deepest(study, rgb, scale) for rgb in study.rgb]
        for pooling, settings in SETTINGS.items():
            maps, score = out_of_fold(study, features, pooling, settings)
            study.say(f"{pooling}, input at {scale:g}; AUROC {told(study, score)}", maps)


def deepest(study: Study, rgb: np.ndarray, scale: float) -> torch.Tensor:
    """The last feature map (D, h, w) of an image (height, width, 3) uint8 at a scale."""
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=way)
    tile = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        return study.network.pyramid(tile)[-1][0].clone()


def out_of_fold(
    study: Study, features: list[torch.Tensor], pooling: str, settings: dict
) -> tuple[list[np.ndarray], np.ndarray]:
    """Evidence (h, w) for the own class of every image, and the score (N,) of the second class."""
    maps, score = [None] * len(features), np.zeros(len(features))
    for fold in tqdm(np.unique(study.fold), desc=pooling, leave=False, disable=None):
        train = np.flatnonzero(study.fold != fold)
        both = torch.cat([features[i].flatten(1) for i in train], dim=1)
        mean, std = both.mean(1)[:, None, None], both.std(1)[:, None, None] + 1e-6
        standard = [(f - mean) / std for f in features]
        head = learn(study, standard, train, pooling, settings, EPOCHS)
        for i in np.flatnonzero(study.fold == fold):
            with torch.inference_mode():
                maps[i] = head.evidence(standard[i][None])[0, study.label[i]].numpy()
                score[i] = head.logits(standard[i][None]).softmax(1)[0, 1]
    return maps, score


def learn(
    study: Study,
    features: list[torch.Tensor],
    train: np.ndarray,
    pooling: str,
    settings: dict,
    epochs: int,
) -> torch.nn.Module:
    """A head that learnt the labels of the images `train`, both classes weighing the same."""
    torch.manual_seed(study.seed)
    rng = np.random.default_rng(study.seed)
    head = build_head(pooling, len(features[0]), 2, settings)
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    label = torch.from_numpy(study.label)
    weight = 1 / torch.bincount(label[train], minlength=2).float()
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(train), -(-len(train) // BATCH)):
            logits = torch.cat([head.logits(features[i][None]) for i in batch])
            optimiser.zero_grad()
            functional.cross_entropy(logits, label[batch], weight=weight).backward()
            optimiser.step()
    return head.eval()


def told(study: Study, score: np.ndarray) -> str:
    """AUROC of the labels of images with its interval over patients."""
    names, column = np.unique(study.patient, return_inverse=True)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"auroc": ranking(score, study.label == 1, weights, column)[0]}

    found = measure(
        metrics, patients=len(names), replicates=glas_images.REPLICATES, seed=study.seed
    )
    value, (low, high) = found["auroc"]
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
