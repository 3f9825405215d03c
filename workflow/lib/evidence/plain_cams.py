"""The plain cam of a classifier that is still learning, as evidence for the tiles of one slide."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from workflow.lib.evidence.cams import Scale, scale_cams, upsample
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.inference import infer


def plain_evidence(
    model: Classifier,
    read: Callable[[Sequence[int]], np.ndarray],
    count: int,
    *,
    label: str,
    negative: str | None,
    scale: Scale,
    batch: int,
    device: torch.device,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and evidence (B, t, t) float32 in 0..1 of the `count` tiles (t, t) of a slide.

    Of the class `label`, at one scale of the tile; of a slide of the class `negative`, which has no
    evidence of its own, the finding with the most. `scale` as in cams.scale_cams, over the slide.
    """
    maps = [found for _, found in infer(model.cam, read, count, batch=batch, device=device)]
    if not maps:
        return
    cams = torch.from_numpy(np.concatenate(maps))
    shown = [label] if label != negative else [c for c in model.classes if c != negative]
    of = max(map(model.classes.index, shown), key=lambda k: float(cams[:, k].mean()))
    low, high = float(cams[:, of].min()), float(cams[:, of].max())
    evidence = scale_cams(cams, of, scale=scale, low=low, high=high)
    for start in range(0, count, batch):
        rows = slice(start, min(start + batch, count))
        yield rows, upsample(evidence[rows], model.tile_px).numpy()
