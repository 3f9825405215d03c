"""Tiles through a network, batch by batch: reading ahead, without gradients, in row order."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from workflow.lib.tiles.kept_memory import give_back, kept_memory

log = logging.getLogger(__name__)

Indices = TypeVar("Indices")  # tile indices in any form that the reader takes
READERS = 4  # batches read at a time; one reader has some 2,500 tiles of 256 px a second
MPP_TOLERANCE = 0.05  # share; scanners of the same nominal power differ by about this much


def infer(
    network: Callable[..., torch.Tensor],
    read: Callable[[Sequence[int]], np.ndarray],
    count: int,
    *,
    batch: int,
    device: torch.device,
    beside: Callable[[slice], torch.Tensor] | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and `network` of them for tiles 0 .. count - 1, `batch` at a time.

    read(indices) gives tiles (B, t, t, 3) uint8; the next batch is read while one is computed.
    network takes RGB (B, 3, t, t) float32 in 0..1 on `device` and gives one tensor (B, ...),
    which comes back as a float32 array. When a batch does not fit on the GPU it is halved.
    beside(rows) gives a tensor (B, ...) of those tiles that the network takes as well.
    """
    spans = [range(start, min(start + batch, count)) for start in range(0, count, batch)]
    with kept_memory(device):
        for span, pixels in read_ahead(read, spans):
            if len(span) < batch:  # the last one, with blocks of other sizes
                give_back()
            with torch.inference_mode():  # not around the yield: it would reach into the caller
                given = [to_input(pixels, device)]
                if beside:
                    given.append(beside(slice(span.start, span.stop)).to(device))
                output = _halving(network, *given)
                del given  # its memory is that of the next
            yield slice(span.start, span.stop), output.float().cpu().numpy()


def embed_rows(
    network: Callable[[torch.Tensor], torch.Tensor],
    read: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    *,
    dim: int,
    batch: int,
    device: torch.device,
) -> np.ndarray:
    """Features (N, dim) float32 by `network` of the tiles `rows` (N,), as read(rows) gives them."""
    features = np.empty((len(rows), dim), np.float32)  # once, and not in parts and whole
    of_rows = lambda span: read(rows[span.start : span.stop])  # noqa: E731
    for place, found in infer(network, of_rows, len(rows), batch=batch, device=device):
        features[place] = found
    return features


def read_ahead(
    read: Callable[[Indices], np.ndarray], batches: Sequence[Indices]
) -> Iterator[tuple[Indices, np.ndarray]]:
    """Each of `batches` with read(batch), the next being read while the caller computes.

    As many are read at a time as torch has threads, up to READERS: read is called from several.
    """
    readers = min(READERS, torch.get_num_threads())
    with ThreadPoolExecutor(readers) as pool:
        pending = deque(pool.submit(read, batch) for batch in batches[:readers])
        for index, batch in enumerate(batches):
            pixels = pending.popleft().result()
            following = index + readers
            pending.extend(pool.submit(read, each) for each in batches[following : following + 1])
            yield batch, pixels


def to_input(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """Tiles (B, t, t, 3) uint8 as RGB (B, 3, t, t) float32 in 0..1, channels last in memory."""
    tiles = torch.from_numpy(pixels).to(device, non_blocking=True).permute(0, 3, 1, 2)
    return tiles.to(torch.float32).div_(255.0)


def check_tiles(
    model: str,
    *,
    expects: tuple[int | None, float | None],
    tiles: tuple[int, float],
) -> None:
    """Refuse tiles that `model` was not made for: (tile_px, mpp) expected, and as they are.

    None expects nothing. Raises ValueError naming both values and what to change.
    """
    (tile_px, mpp), (given_px, given_mpp) = expects, tiles
    if tile_px is not None and tile_px != given_px:
        raise ValueError(
            f"E_FIT: {model} takes tiles of {tile_px} px, but these have {given_px} px; set "
            f"tile_slide.tile_px to {tile_px} or choose another model"
        )
    if mpp is not None and abs(given_mpp / mpp - 1) > MPP_TOLERANCE:
        raise ValueError(
            f"E_FIT: {model} was trained at {mpp:g} um per pixel, but these tiles have "
            f"{given_mpp:g}; set tile_slide.mpp to {mpp:g} or choose another model"
        )


def _halving(network: Callable[..., torch.Tensor], *given: torch.Tensor) -> torch.Tensor:
    try:
        return network(*given)
    except torch.OutOfMemoryError:
        if (count := len(given[0])) == 1:
            raise
        log.warning("%d tiles do not fit on the GPU; trying half. Lower compute.batch.", count)
    halves = zip(*(each.tensor_split(2) for each in given), strict=True)
    return torch.cat([_halving(network, *half) for half in halves])
