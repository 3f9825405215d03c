"""Features of a slide: HDF5 for TRIDENT and CLAM, HDF5 for STAMP, a tensor for CLAM.

The first two cannot share a file: both call the places of tiles `coords`, one in whole level-0 px,
the other in um. All bytes follow from the arrays: no time is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

CHUNK_ROWS = 256
UM_OF_10X = 10.0  # um per px times magnification: what "20x" means is 0.5 um per px


@dataclass(frozen=True)
class Geometry:
    """How the tiles of a slide lie: pixels of `mpp` um, of which `scale` level-0 px make one."""

    mpp: float
    scale: float
    tile_px: int
    stride_px: int
    width_px0: int
    height_px0: int

    @property
    def mpp0(self) -> float:
        return self.mpp / self.scale

    @property
    def side_px0(self) -> float:
        """Side of a tile in level-0 px."""
        return self.tile_px * self.scale


def write_trident(
    path: Path,
    blocks: Iterable[np.ndarray],
    origins: np.ndarray,
    geometry: Geometry,
    *,
    dimension: int,
    slide: str,
    encoder: str,
) -> None:
    """Write `features` (N, D) float32 and `coords` (N, 2) int64 with what TRIDENT and CLAM ask for.

    blocks: consecutive rows (B, D) of the features; origins (N, 2): (y, x) in level-0 px, written
    as (x, y). Both data sets can grow, and N may be 0. Magnifications are 10 um over the pixel
    size, so that their quotient is exactly `scale`; older readers find the same pixels at level 0
    (`patch_level`) and shrink them by `custom_downsample`. Raises ValueError when the blocks are
    not one row per tile.
    """
    magnification, target = (_whole(UM_OF_10X / mpp) for mpp in (geometry.mpp0, geometry.mpp))
    told = {"name": slide, "savetodir": "."}
    placed = {
        **told,
        "save_path": ".",
        "patch_size": geometry.tile_px,
        "patch_size_level0": round(geometry.side_px0),
        "patch_level": 0,
        "custom_downsample": _whole(geometry.scale),
        "downsample": np.ones(2),
        "level_dim": np.array([geometry.width_px0, geometry.height_px0]),
        "downsampled_level_dim": np.array([geometry.width_px0, geometry.height_px0]),
        "level0_magnification": magnification,
        "target_magnification": target,
        "overlap": geometry.tile_px - geometry.stride_px,
        "level0_width": geometry.width_px0,
        "level0_height": geometry.height_px0,
    }
    with h5py.File(path, "w") as file:
        rows = _write(file, "features", blocks, (len(origins), dimension))
        rows.attrs.update(told | {"encoder": encoder})
        coords = _create(file, "coords", (len(origins), 2), np.int64)
        coords[:] = origins[:, ::-1]
        coords.attrs.update(placed)


def write_stamp(
    path: Path,
    blocks: Iterable[np.ndarray],
    origins: np.ndarray,
    geometry: Geometry,
    *,
    dimension: int,
    encoder: str,
    recipe: str,
) -> None:
    """Write `feats` (N, D) float32 and `coords` (N, 2) float64 (x, y) in um, as STAMP asks for.

    Arguments as in `write_trident`; `recipe` is what the features were made by. No STAMP version
    is written: a reader that is older than it would refuse the file.
    """
    with h5py.File(path, "w") as file:
        _write(file, "feats", blocks, (len(origins), dimension))
        coords = _create(file, "coords", (len(origins), 2), np.float64)
        coords[:] = origins[:, ::-1] * geometry.mpp0
        file.attrs.update(
            {
                "unit": "um",
                "tile_size_um": float(geometry.tile_px * geometry.mpp),
                "tile_size_px": geometry.tile_px,
                "extractor": encoder,
                "feat_type": "tile",
                "code_hash": recipe,
            }
        )


def write_tensor(path: Path, features: np.ndarray) -> None:
    """Write `features` (N, D) as a float32 tensor for CLAM; it loads with `weights_only`."""
    torch.save(torch.from_numpy(np.ascontiguousarray(features, np.float32)), path)


def _write(
    file: h5py.File, name: str, blocks: Iterable[np.ndarray], shape: tuple[int, int]
) -> h5py.Dataset:
    """A data set of float32 rows, filled block by block."""
    rows, start = _create(file, name, shape, np.float32), 0
    for block in blocks:
        end = start + len(block)
        if end > shape[0]:
            raise ValueError(f"{name}: more rows of features than the {shape[0]} tiles")
        rows[start:end] = block
        start = end
    if start != shape[0]:
        raise ValueError(f"{name}: {start} rows of features for {shape[0]} tiles")
    return rows


def _create(file: h5py.File, name: str, shape: tuple[int, int], dtype: type) -> h5py.Dataset:
    chunks = (max(1, min(shape[0], CHUNK_ROWS)), shape[1])
    maximum = (None, shape[1])
    return file.create_dataset(name, shape, dtype, chunks=chunks, maxshape=maximum)


def _whole(number: float) -> int | float:
    """An integer where it is one, as most readers know magnifications."""
    return round(number) if abs(number - round(number)) < 1e-6 else number
