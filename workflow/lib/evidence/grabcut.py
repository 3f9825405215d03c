"""Saliency and GrabCut: segmentation by a classifier without a map of its own, the oldest baseline.

Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, ICLR workshop 2014. The saliency
of a class, the largest |gradient| over RGB of its unnormalised score, says where to begin; GrabCut
(Rother et al., SIGGRAPH 2004), which sees nothing but the colours of the tile, says where to end.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch.nn import functional

FOREGROUND, BACKGROUND = 0.95, 0.30  # quantiles of the saliency above and below which are seeds
ITERATIONS = 5  # of GrabCut
SMOOTH_PX = 2.0  # standard deviation; saliency is a speckle of single pixels
GRAPH_TILES = 8  # tiles that are differentiated at a time
STRIDE_PX = 4  # px of the tile per cell of the map, along each axis


def saliency(tiles: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Saliency (B, C, t, t) of every class in tiles (B, 3, t, t), not smoothed.

    score: from tiles to logits (B, C); one pass forwards, and one backwards for each class. The
        whole network is differentiated, a few tiles at a time, because its graph is large.
    """
    found = []
    for part in tiles.split(GRAPH_TILES):
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode
            leaf = part.clone().requires_grad_()
            gradients = [
                torch.autograd.grad(of.sum(), leaf, retain_graph=True)[0]
                for of in score(leaf).unbind(dim=1)
            ]
        found.append(torch.stack([gradient.abs().amax(dim=1) for gradient in gradients], dim=1))
    return torch.cat(found)


def cut_tiles(tiles: torch.Tensor, salient: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Masks (B, C, t / 4, t / 4) float32, 0 or 1, of tiles (B, 3, t, t) in 0..1.

    salient: (B, C, t, t). GrabCut runs on every pixel; a cell of the mask is 1 where most of its
    4 x 4 pixels are foreground.
    """
    pixels = (tiles.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    masks = [
        [cut(tile, of_class, seed=seed) for of_class in of_tile]
        for tile, of_tile in zip(pixels, salient.float().cpu().numpy(), strict=True)
    ]
    cells = (tiles.shape[2] // STRIDE_PX, tiles.shape[3] // STRIDE_PX)
    masks = torch.from_numpy(np.array(masks, np.float32)).view(salient.shape)
    shares = functional.interpolate(masks, cells, mode="area")
    return torch.where(shares.isnan(), shares, (shares > 0.5).float())


def cut(tile: np.ndarray, salient: np.ndarray, *, seed: int) -> np.ndarray:
    """The foreground (t, t) float32, 0 or 1, of a tile (t, t, 3) uint8 RGB.

    salient: (t, t) float32 of one class, 0 or more.
    Pixels between the seeds begin as background, so that the foreground has to grow. Without
    contrast, in the saliency or in the tile, there is no foreground; saliency that is not finite
    gives NaN.
    seed: of OpenCV's random generator, which starts the colour models; set anew for every tile, so
        that a tile's mask does not depend on those before it.
    """
    if not np.isfinite(salient).all():
        return np.full(salient.shape, np.nan, np.float32)
    salient = cv2.GaussianBlur(salient, (0, 0), SMOOTH_PX)
    low, high = np.quantile(salient, [BACKGROUND, FOREGROUND])
    known = np.full(salient.shape, cv2.GC_PR_BGD, np.uint8)
    known[salient < low] = cv2.GC_BGD
    known[salient > high] = cv2.GC_FGD
    seeded = (known == cv2.GC_BGD).any() and (known == cv2.GC_FGD).any()
    if not seeded or np.ptp(tile.reshape(-1, 3), axis=0).max() == 0:
        return np.zeros(salient.shape, np.float32)
    cv2.setRNGSeed(seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(tile[..., ::-1])
    cv2.grabCut(bgr, known, None, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.isin(known, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
