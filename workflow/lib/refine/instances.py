"""Which pixels of a tile are of one object: those whose displacements lead to one centre.

Ahn, Cho, Kwak: IRNet, CVPR 2019, section 4.3.
"""

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

ITERATIONS = 300  # of following displacements, as published
STILL = 2.5  # px of the map; where displacements are shorter a centre is near, as published


def refine_centroids(displacement: torch.Tensor, iterations: int = ITERATIONS) -> torch.Tensor:
    """Where pixels end that follow the displacement (2, h, w), (y, x) in pixels: (2, h, w).

    p <- p + D(p), D bilinear between pixels; nothing leaves the map.
    """
    height, width = displacement.shape[1:]
    last = displacement.new_tensor([height - 1, width - 1])[:, None, None]
    rows, columns = (torch.arange(side, device=displacement.device) for side in (height, width))
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).to(displacement)
    for _ in range(iterations):
        # grid_sample wants (x, y), from -1 to 1 over the pixels' centres
        where = (2 * place / last.clamp(min=1) - 1).flip(0).movedim(0, -1)
        moved = functional.grid_sample(
            displacement[None], where[None], padding_mode="border", align_corners=True
        )[0]
        place = (place + moved).clamp(min=0).minimum(last)
    return place


def find_instances(displacement: torch.Tensor) -> torch.Tensor:
    """The instance of every pixel, (h, w) int64 from 0 on, by its displacement (2, h, w).

    Centres are the connected parts (4 neighbours) of the map in which displacements are shorter
    than 2.5 px; a pixel is of the one that it is led to. What is led to none is one instance more.
    """
    still = displacement.square().sum(dim=0).sqrt() < STILL
    centres, _ = ndimage.label(still.cpu().numpy())
    row, column = refine_centroids(displacement).round().long().cpu().numpy()
    reached = centres[row, column]
    numbers = np.unique(reached, return_inverse=True)[1].reshape(reached.shape)
    return torch.from_numpy(numbers).to(displacement.device)
