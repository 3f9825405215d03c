"""Where the tissue is, found on a small copy of the slide."""

import math

import cv2
import numpy as np

GLASS_SATURATION = 0.15  # mean saturation above which a class of pixels is no glass, however tinted
CONTRAST = 0.06  # of saturation: tissue differs from glass by more, glass in itself by less

# Hues in degrees. H&E lies between 245 (haematoxylin) and 360 (eosin), DAB between 15 and 45, and
# the haematoxylin behind DAB is blue but pale. Felt pens are green, or blue and saturated.
GREEN_HUES = (75, 170)
BLUE_HUES = (170, 240)
GREEN_SATURATION = 0.25
BLUE_SATURATION = 0.5
INK_MARGIN_UM = 50.0  # how far the pale border of a pen stroke reaches

BLACK_VALUE = 100  # 0..255; black is darker than this ...
BLACK_CHROMA = 30  # ... and its channels differ by less: the densest stain is never this grey

SMALL_SHARE = 0.1  # of the image: nothing larger is a speck, however small the image is


def mask_tissue(
    thumbnail: np.ndarray,
    *,
    mask_mpp: float,
    min_area_um2: float,
    close_um: float,
    saturation_floor: float,
) -> np.ndarray:
    """Tissue on an RGB thumbnail (h, w, 3) uint8 of `mask_mpp` um per pixel, (h, w) bool.

    Tissue is more saturated (HSV) than Otsu's threshold (IEEE SMC 9, 1979), which is never taken
    below `saturation_floor` (0..1), nor so high that pale tissue is lost beside a strong stain.
    Black (scanner borders, padding, black ink) and green and blue ink are not tissue; red ink
    cannot be told from eosin. Gaps narrower than `close_um` are closed, holes and pieces smaller
    than `min_area_um2` are filled and dropped.

    Otsu always finds two classes, also where there is one. An image without contrast in saturation
    is glass alone when it is pale: all False. An image whose less saturated class is not glass
    (too colourful, or too varied) is mostly tissue: then everything above the floor counts. A stain
    that is itself green or blue (trichrome, Alcian blue) needs a tissue mask of the user's own.
    """
    if thumbnail.ndim != 3 or thumbnail.shape[2] != 3 or thumbnail.dtype != np.uint8:
        raise ValueError(
            f"the thumbnail is {thumbnail.shape} {thumbnail.dtype}; give (h, w, 3) uint8"
        )
    min_area_px = min(min_area_um2 / mask_mpp**2, SMALL_SHARE * thumbnail[..., 0].size)
    # A black or green speck is a nucleus full of DAB or pigment, not a border or a pen stroke.
    excluded = _drop_small(_black(thumbnail) | _ink(thumbnail, mask_mpp), min_area_px)
    saturation = _saturation(thumbnail)
    counted = saturation[~excluded]
    if not counted.size:
        return np.zeros(excluded.shape, bool)
    mask = (saturation >= _threshold(counted, saturation_floor)) & ~excluded
    mask = _close(mask, close_um / mask_mpp)
    mask = ~_drop_small(~mask, min_area_px) & ~excluded
    return _drop_small(mask, min_area_px)


def _saturation(rgb: np.ndarray) -> np.ndarray:
    """HSV saturation of (h, w, 3) uint8, (h, w) uint8, single noisy pixels smoothed away."""
    return cv2.medianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1], 3)


def _threshold(saturation: np.ndarray, floor: float) -> float:
    """Least saturation (0..255) of tissue, from the pixels (N,) uint8 that may be tissue."""
    lowest = max(floor * 255, 1)
    split, _ = cv2.threshold(saturation.reshape(1, -1), 0, 255, cv2.THRESH_OTSU)
    low, high = saturation[saturation <= split], saturation[saturation > split]
    if not low.size or not high.size or high.mean() - low.mean() < 255 * CONTRAST:
        return lowest if saturation.mean() >= 255 * GLASS_SATURATION else math.inf
    spread = np.subtract(*np.percentile(low, [75, 25]))
    if low.mean() >= 255 * GLASS_SATURATION or spread >= 255 * CONTRAST:
        return lowest
    # A strong stain pulls Otsu's threshold up until pale stroma and mucin count as glass.
    highest = max(255 * GLASS_SATURATION, low.mean() + 255 * CONTRAST)
    return max(min(split + 1, highest), lowest)


def _black(rgb: np.ndarray) -> np.ndarray:
    value = rgb.max(axis=2)
    return (value < BLACK_VALUE) & (value - rgb.min(axis=2) < BLACK_CHROMA)


def _ink(rgb: np.ndarray, mask_mpp: float) -> np.ndarray:
    """Pen strokes: clearly green or strongly blue pixels and their paler border, (h, w) bool."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hue, saturation = hsv[..., 0] * np.float32(2), hsv[..., 1] / np.float32(255)
    green = (hue >= GREEN_HUES[0]) & (hue < GREEN_HUES[1])
    blue = (hue >= BLUE_HUES[0]) & (hue < BLUE_HUES[1])
    stroke = (green & (saturation > GREEN_SATURATION)) | (blue & (saturation > BLUE_SATURATION))
    near = cv2.dilate(stroke.astype(np.uint8), _disc(INK_MARGIN_UM / mask_mpp)) > 0
    return stroke | (near & (green | blue))


def _close(mask: np.ndarray, gap_px: float) -> np.ndarray:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(gap_px / 2)) > 0


def _disc(radius_px: float) -> np.ndarray:
    reach = int(radius_px)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return (y * y + x * x <= radius_px**2).astype(np.uint8)


def _drop_small(mask: np.ndarray, min_area_px: float) -> np.ndarray:
    """`mask` (h, w) bool without its 8-connected pieces below `min_area_px`."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    kept[0] = False  # piece 0 is what is not in the mask
    return kept[pieces]
