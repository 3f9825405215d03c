"""Evidence that follows the picture: a fully connected conditional random field.

Krähenbühl & Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials,
NeurIPS 2011. Their mean-field updates with Potts compatibility and symmetrically normalised
kernels, of two labels. The libraries that compute it with a permutohedral lattice are no longer
kept; here the kernels of a tile are plain matrices, at a resolution at which they fit, and the
result is upsampled along the picture. On a tile of 56 x 56 that is exact.
"""

import torch
from torch.nn import functional

from workflow.lib.refine.gaussian_kernels import gaussian_kernel, grid_side, places

FLOOR = 1e-3  # no evidence is so sure that neighbours have no say


class RandomField:
    """Mean-field probability of the foreground.

    position_um, colour: deviations of the bilateral kernel, in um and in 0..255 of RGB
    smooth_um: deviation of the spatial kernel
    bilateral_weight, smooth_weight: how much each of them counts (`compat`)
    iterations: of the mean field
    mpp: um per pixel of the tiles
    """

    def __init__(
        self,
        *,
        position_um: float,
        colour: float,
        bilateral_weight: float,
        smooth_um: float,
        smooth_weight: float,
        iterations: int,
        mpp: float,
    ) -> None:
        self.position_um, self.colour, self.smooth_um = position_um, colour, smooth_um
        self.bilateral_weight, self.smooth_weight = bilateral_weight, smooth_weight
        self.iterations, self.mpp = iterations, mpp

    def __call__(self, tiles: torch.Tensor, evidence: torch.Tensor) -> torch.Tensor:
        """Probability (B, t, t) from RGB tiles (B, 3, t, t) and evidence (B, t, t), in 0..1."""
        side = evidence.shape[-1]
        small = grid_side(side)
        pictures = functional.interpolate(tiles, (small, small), mode="area")
        unary = functional.interpolate(evidence[:, None], (small, small), mode="area")[:, 0]
        found = [
            self.infer(picture, prior, mpp=self.mpp * side / small)
            for picture, prior in zip(pictures, unary, strict=True)
        ]
        if not found:
            return evidence
        refined = torch.stack(found)
        return refined if small == side else _upsample_along(refined, pictures, tiles)

    def infer(self, picture: torch.Tensor, prior: torch.Tensor, *, mpp: float) -> torch.Tensor:
        """Probability (h, w) of one picture (3, h, w) with prior (h, w), exactly; mpp of a pixel.

        Several priors (K, h, w) of the picture share its kernels, and give (K, h, w).

        Q(x) is proportional to P(x) exp(sum_k w_k sum_y k(x, y) Q(y)), iterated from Q = P, where
        every kernel k has a zero diagonal and is divided by the roots of its row sums.
        """
        place = places(prior) * mpp
        colours = picture.flatten(1).T * 255
        both = torch.cat([place / self.position_um, colours / self.colour], dim=1)
        kernel = self.bilateral_weight * _normalised(both)
        kernel += self.smooth_weight * _normalised(place / self.smooth_um)
        logit = torch.logit(prior.flatten(-2).clamp(FLOOR, 1 - FLOOR)).movedim(-1, 0)
        q = logit.sigmoid()
        for _ in range(self.iterations):
            q = torch.sigmoid(logit + kernel @ (2 * q - 1))
        return q.movedim(0, -1).reshape(prior.shape)


def _normalised(features: torch.Tensor) -> torch.Tensor:
    """Gaussian kernel (N, N) of rows (N, D), without itself, D^-1/2 K D^-1/2."""
    kernel = gaussian_kernel(features)
    kernel.fill_diagonal_(0)
    root = kernel.sum(1).clamp_(min=torch.finfo(kernel.dtype).tiny).rsqrt_()
    return kernel.mul_(root[:, None]).mul_(root[None])


def _upsample_along(
    maps: torch.Tensor, pictures: torch.Tensor, tiles: torch.Tensor, *, deviation: float = 0.1
) -> torch.Tensor:
    """Maps (B, h, w) of pictures (B, 3, h, w) at the size of tiles (B, 3, t, t), edges kept.

    Joint bilateral upsampling (Kopf et al., SIGGRAPH 2007) over the 3 x 3 cells round a pixel:
    a cell counts by its bilinear nearness and by how like the pixel's colour its own is.
    """
    size = tiles.shape[-2:]
    stack = torch.cat([maps[:, None], pictures], dim=1)
    padded = functional.pad(stack, (1, 1, 1, 1), mode="replicate")
    total = weight = 0.0
    height, width = maps.shape[1:]
    for dy in range(3):
        for dx in range(3):
            shifted = padded[:, :, dy : dy + height, dx : dx + width]
            near = functional.interpolate(shifted, size, mode="bilinear", align_corners=False)
            far = 2.0 ** -(abs(dy - 1) + abs(dx - 1))
            alike = (near[:, 1:] - tiles).square().sum(1).div(-2 * deviation**2).exp()
            each = far * (alike + 1e-6)
            total, weight = total + each * near[:, 0], weight + each
    return total / weight
