"""The plain cam of a classifier that is still learning, as evidence for the tiles of one slide."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

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
    folder: Path,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and evidence (B, t, t) float32 in 0..1 of the `count` tiles (t, t) of a slide.

    Of the class `label`, at one scale of the tile; of a slide of the class `negative`, which has no
    evidence of its own, the finding with the most. `scale` as in cams.scale_cams, over the slide.
    Where all tiles have to be seen first, for the scale or the finding, their cams wait in a file
    in `folder` that nobody else sees: a slide can be larger than memory.
    """
    findings = [label] if label != negative else [c for c in model.classes if c != negative]
    shown = [model.classes.index(name) for name in findings]
    blocks = infer(model.cam, read, count, batch=batch, device=device)
    of, low, high = shown[0], 0.0, 0.0
    with TemporaryFile(dir=folder) as kept:
        if scale == "minmax" or len(shown) > 1:
            places, total, lows, highs = [], 0.0, np.inf, -np.inf
            for rows, cams in blocks:
                np.save(kept, cams)
                places.append(rows)
                total = total + cams.sum((0, 2, 3), np.float64)
                lows = np.minimum(lows, cams.min((0, 2, 3)))
                highs = np.maximum(highs, cams.max((0, 2, 3)))
            if not places:
                return
            of = max(shown, key=lambda k: total[k])
            low, high = float(lows[of]), float(highs[of])
            kept.seek(0)
            blocks = ((rows, np.load(kept)) for rows in places)
        for rows, cams in blocks:
            found = scale_cams(torch.from_numpy(cams), of, scale=scale, low=low, high=high)
            yield rows, upsample(found, model.tile_px).numpy()
