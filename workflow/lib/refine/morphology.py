"""Evidence without specks and pinholes, at every threshold at once.

Opening, area opening and area closing commute with thresholds: what a threshold cuts from the
result is the cut of the evidence, opened, without small objects and with small holes filled. So no
threshold has to be chosen here, and the ranking of pixels is kept.
"""

import cv2
import numpy as np
import torch
from skimage.morphology import area_closing, area_opening

LEVELS = 1000  # as finely as maps are measured


def clean(
    evidence: torch.Tensor,
    *,
    open_um: float,
    min_object_um2: float,
    max_hole_um2: float,
    mpp: float,
) -> torch.Tensor:
    """Evidence (B, t, t) in 0..1, cleaned tile by tile, in steps of 1/1000; same shape and device.

    Each level set is opened with a disc of diameter open_um (below 2 pixels: not at all), loses
    objects smaller than min_object_um2 and holes smaller than max_hole_um2. Neighbours are 8 for
    objects and 4 for holes. What touches the border of the tile goes on beyond it, nobody knows how
    far: it stays. mpp: um per pixel.
    """
    radius = int(open_um / mpp / 2)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    found = []
    for tile in np.round(evidence.float().cpu().numpy() * LEVELS).astype(np.uint16):
        opened = cv2.morphologyEx(tile, cv2.MORPH_OPEN, disc) if radius else tile
        least, most = (_pixels(area, mpp) for area in (min_object_um2, max_hole_um2))
        rim = -(-max(least, most) // (4 * tile.shape[0])) + 1  # as large as what is looked for
        framed = np.pad(opened, rim, constant_values=LEVELS)
        kept = area_opening(framed, least, connectivity=2)[rim:-rim, rim:-rim]
        framed = np.pad(kept, rim, constant_values=0)
        found.append(area_closing(framed, most, connectivity=1)[rim:-rim, rim:-rim])
    levels = np.stack(found) if found else np.zeros(evidence.shape)
    return torch.from_numpy(levels.astype(np.float32) / LEVELS).to(evidence.device)


def _pixels(area_um2: float, mpp: float) -> int:
    """The fewest pixels of an object of that area."""
    return max(1, int(np.ceil(area_um2 / mpp**2)))
